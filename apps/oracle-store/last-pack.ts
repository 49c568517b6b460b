/**
 * What this machine worked on last, so that commands run without arguments. A convenience of the command line only:
 * services are told their pack by READY.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

export interface LastPack {
  readonly folder?: string;
  readonly engine_run_root?: string;
  readonly pack_root?: string;
}

function fileIn(stateDir: string): string {
  return join(stateDir, 'oracle', 'last-pack.json');
}

export async function readLastPack(stateDir: string): Promise<LastPack> {
  try {
    return JSON.parse(await readFile(fileIn(stateDir), 'utf8')) as LastPack;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
}

/** Replaces the file whole: a reader sees the earlier or the new one. */
export async function rememberLastPack(stateDir: string, last: LastPack): Promise<void> {
  const file = fileIn(stateDir);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.${process.pid}`, JSON.stringify(last));
  await rename(`${file}.${process.pid}`, file);
}
