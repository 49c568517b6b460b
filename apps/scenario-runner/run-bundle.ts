/** A platform run in one file: its artifacts from the object store, its logs, its session and its report. */
import { createWriteStream } from 'node:fs';
import { access, cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { Bucket } from '../../lib/index.ts';
import { parsePlatformRunId } from '../rails/index.ts';

export interface RunBundle {
  readonly path: string;
  readonly objects: number;
}

/**
 * Packs everything of a run into `<runsDir>/<platform_run_id>/<platform_run_id>.tar.gz`: objects under `artifacts/`,
 * the run's folder under `run/`. Needs `tar`. A bundle that is there is replaced when the new one is whole.
 */
export async function bundleRun(bucket: Bucket, runsDir: string, platformRunId: string): Promise<RunBundle> {
  parsePlatformRunId(platformRunId);
  const folder = join(runsDir, platformRunId);
  const path = join(folder, `${platformRunId}.tar.gz`);
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(runsDir, '.bundle-'));
  try {
    const content = join(work, platformRunId);
    let objects = 0;
    for await (const { key } of bucket.list(`${platformRunId}/`)) {
      const target = join(content, 'artifacts', key.slice(platformRunId.length + 1));
      await mkdir(dirname(target), { recursive: true });
      await pipeline(await bucket.getStream(key), createWriteStream(target));
      objects += 1;
    }
    await cp(folder, join(content, 'run'), {
      recursive: true,
      filter: (source) => source !== path,
    });
    const archive = join(work, 'bundle.tar.gz');
    await tar(['-czf', archive, '-C', work, platformRunId]);
    await access(archive);
    await rename(archive, path);
    return { path, objects };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

function tar(args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('tar', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString('utf8')));
    child.once('error', (error) =>
      reject(new Error(`tar could not be started: ${error.message}`, { cause: error })),
    );
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new Error(`tar ended with status ${code ?? 'none'}: ${complaint.trim()}`));
    });
  });
}
