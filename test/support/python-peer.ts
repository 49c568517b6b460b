/** Python programs as peers: a virtual environment per user and set of requirements, made once and kept. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { provideCached } from '../../apps/dev-stack/provisioning/download-cache.mjs';
import { runLogged } from '../../apps/dev-stack/provisioning/run-logged.mjs';

const FOLDER = fileURLToPath(new URL('../peers/python/', import.meta.url));
const REQUIREMENTS = join(FOLDER, 'requirements.txt');
const MOST_OUTPUT_BYTES = 16 * 1024 * 1024;
const run = promisify(execFile);

/** Runs a program of test/peers/python and parses the JSON it prints. */
export async function runPython<T>(program: string, args: readonly string[]): Promise<T> {
  const python = await provideEnvironment();
  const { stdout } = await run(python, [join(FOLDER, program), ...args], { maxBuffer: MOST_OUTPUT_BYTES });
  return JSON.parse(stdout) as T;
}

/** The interpreter of the environment. */
async function provideEnvironment(): Promise<string> {
  let version: string;
  try {
    version = (await run('python3', ['--version'])).stdout.trim();
  } catch (error) {
    throw new Error('python3 is not there; `make test-tools` installs it or says how', { cause: error });
  }
  const hash = createHash('sha256').update(version).update(readFileSync(REQUIREMENTS)).digest('hex');
  const folder = await provideCached(`python-${hash.slice(0, 16)}`, async (draft, log) => {
    await runLogged('python3', ['-m', 'venv', draft], { log });
    await runLogged(
      join(draft, 'bin', 'python'),
      ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', REQUIREMENTS],
      { log },
    );
  });
  return join(folder, 'bin', 'python');
}
