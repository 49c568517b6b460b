/**
 * Where a command's environment comes from: the shell, else `.env.platform.local`, else the running stack's settings.
 * So `npx fp …` works in a fresh shell, and whoever sets a variable by hand wins.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { publishedEnvironment } from '../dev-stack/environment.ts';
import { DEFAULT_STACK, REPOSITORY, StackFolder } from '../dev-stack/stack-folder.ts';

const LOCAL_FILE = '.env.platform.local';

/**
 * Fills `env` in place; never replaces a variable that is set, unless it is set to nothing.
 *
 * @param repository where the local file and the stacks' folders are
 */
export function loadEnvironment(env: NodeJS.ProcessEnv, repository: string = REPOSITORY): void {
  fill(env, localFile(join(repository, LOCAL_FILE)));
  const stack = new StackFolder(env['FP_STACK'] || DEFAULT_STACK, join(repository, '.fp', 'stacks'));
  fill(env, { ...publishedEnvironment(stack) });
}

function fill(env: NodeJS.ProcessEnv, values: Readonly<Record<string, string | undefined>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (env[name] === undefined || env[name] === '') env[name] = value;
  }
}

function localFile(path: string): Readonly<Record<string, string | undefined>> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new Error(`cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  return parseEnv(text);
}
