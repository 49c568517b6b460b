/**
 * Runs tiers of tests one after another and ends with one line for all of them: `N passed, N failed`. The tiers that
 * need servers get a fresh stack of their own, which is gone afterwards.
 *
 * Usage: node test/tiers.mjs unit integration faults browser
 */
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { TapCounter } from './tap-counter.mjs';

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '..');
const TIERS = {
  unit: { folders: ['test/lib', 'test/apps'], servers: false },
  integration: { folders: ['test/integration'], servers: true },
  // One file at a time: a pause that is meant to be too long for one test must not be so for another.
  faults: { folders: ['test/faults'], servers: true, concurrency: 1 },
  browser: { folders: ['test/browser'], servers: true },
};

/** @param {string} folder */
function hasTests(folder) {
  const path = join(REPOSITORY, folder);
  return (
    existsSync(path) &&
    readdirSync(path, { recursive: true }).some((file) => String(file).endsWith('.test.ts'))
  );
}

/**
 * @param {string} name
 * @param {{ folders: string[], servers: boolean, concurrency?: number }} tier
 * @returns {Promise<{ passed: number, failed: number }>}
 */
async function runTier(name, tier) {
  const folders = tier.folders.filter(hasTests);
  if (folders.length === 0) {
    process.stdout.write(`\n${name}: there are no tests in ${tier.folders.join(', ')}\n`);
    return { passed: 0, failed: 1 };
  }
  process.stdout.write(`\n${name}\n`);
  const concurrency = tier.concurrency === undefined ? [] : ['--concurrency', String(tier.concurrency)];
  const files = folders.map((folder) => `${folder}/**/*.test.ts`);
  const ava = ['npx', 'ava', '--tap', ...concurrency, ...files];
  const command = tier.servers
    ? ['node', 'apps/cli/fp.mjs', 'stack', 'exec', '--fresh', '--name', `test-${name}`, '--', ...ava]
    : ava;
  const child = spawn(command[0], command.slice(1), {
    cwd: REPOSITORY,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal)));
  const counter = new TapCounter((line) => process.stdout.write(`${line}\n`));
  for await (const line of createInterface({ input: child.stdout })) counter.push(line);
  return counter.result(await exited);
}

// A Ctrl-C reaches the tier's own processes through the terminal; this one stays until they have cleaned up.
process.on('SIGINT', () => undefined);

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in TIERS));
if (names.length === 0 || unknown.length > 0) {
  process.stderr.write(`usage: node test/tiers.mjs ${Object.keys(TIERS).join('|')} …\n`);
  process.exit(2);
}
let passed = 0;
let failed = 0;
for (const name of names) {
  const result = await runTier(name, TIERS[name]);
  process.stdout.write(`${name}: ${result.passed} passed, ${result.failed} failed\n`);
  passed += result.passed;
  failed += result.failed;
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exitCode = failed === 0 ? 0 : 1;
