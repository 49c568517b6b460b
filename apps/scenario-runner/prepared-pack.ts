/** The pack that `fp oracle prepare` made last on this machine: what a submission without arguments runs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Settings } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

export function preparedPackFile(settings: Settings): string {
  return join(settings.stateDir, 'oracle', 'last-pack.json');
}

/** Throws RUN_REQUEST_INVALID when no pack was prepared here. */
export async function lastPreparedPack(settings: Settings): Promise<string> {
  const file = preparedPackFile(settings);
  try {
    const { pack_root: root } = JSON.parse(await readFile(file, 'utf8')) as { pack_root?: unknown };
    if (typeof root === 'string') return root;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !(error instanceof SyntaxError)) throw error;
  }
  throw new ScenarioRunnerError(
    'RUN_REQUEST_INVALID',
    'no pack is known: give --pack s3://bucket/path/, or make one with `fp oracle prepare`',
  );
}
