/**
 * Makes sure of the programs that tests use beside the servers: a browser, kcat, and Python for the foreign client. On
 * Debian as root what is missing is installed from its packages; elsewhere the message says what to install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createProgress } from './provisioning/progress.mjs';
import { runLogged } from './provisioning/run-logged.mjs';

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const LOG = join(REPOSITORY, '.fp', 'logs', 'test-tools.log');

const TOOLS = [
  {
    name: 'Chromium',
    debianPackage: 'chromium',
    elsewhere: 'Chromium or Chrome, with CHROMIUM_PATH naming the program',
    isPresent: () =>
      [process.env.CHROMIUM_PATH, '/usr/bin/chromium'].some((path) => path !== undefined && existsSync(path)),
  },
  {
    name: 'kcat',
    debianPackage: 'kcat',
    elsewhere: 'kcat (macOS: brew install kcat)',
    isPresent: () => spawnSync('kcat', ['-V']).status === 0,
  },
  {
    name: 'Python 3 with venv',
    debianPackage: 'python3-venv',
    elsewhere: 'Python 3.9 or newer with its venv module',
    isPresent: () => spawnSync('python3', ['-c', 'import venv, ensurepip']).status === 0,
  },
];

const progress = createProgress();
const missing = TOOLS.filter((tool) => !tool.isPresent());
if (missing.length > 0) {
  const canInstall = existsSync('/usr/bin/apt-get') && process.getuid?.() === 0;
  if (!canInstall) fail(missing);
  const packages = missing.map((tool) => tool.debianPackage);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await progress.during('test tools', `installing ${packages.join(', ')}`, async () => {
    await runLogged('apt-get', ['update', '-q'], { log: LOG, env });
    await runLogged('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], {
      log: LOG,
      env,
    });
  });
  const still = missing.filter((tool) => !tool.isPresent());
  if (still.length > 0) fail(still);
}

/** @param {typeof TOOLS} tools */
function fail(tools) {
  process.stderr.write('the tests need programs that are not on this machine:\n');
  for (const { name, debianPackage, elsewhere } of tools) {
    process.stderr.write(`  ${name}: ${elsewhere} (Debian: apt-get install ${debianPackage})\n`);
  }
  process.exit(1);
}
