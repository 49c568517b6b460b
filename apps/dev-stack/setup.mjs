/**
 * Makes a fresh clone ready: checks the tools, then installs the npm dependencies (which compiles the native Kafka client)
 * and fetches the servers' software side by side. Does nothing that is up to date. Plain JavaScript on Node alone,
 * because it runs before they are installed.
 */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot } from './provisioning/download-cache.mjs';
import { chooseFlavour } from './provisioning/flavour.mjs';
import { withLock } from './provisioning/lock.mjs';
import {
  COMPILE_TOOLS,
  describeMissing,
  isNodeSupported,
  missingTools,
} from './provisioning/prerequisites.mjs';
import { createProgress } from './provisioning/progress.mjs';
import { runLogged } from './provisioning/run-logged.mjs';
import { DOWNLOADED_PRODUCTS, isProvided, provideSoftware } from './provisioning/software.mjs';

const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const MODULES = join(REPOSITORY, 'node_modules');
const STAMP = join(MODULES, '.setup-complete');
const LOGS = join(REPOSITORY, '.fp', 'logs');
const NATIVE_CLIENT = join(REPOSITORY, 'lib', 'kafka', 'native');

const progress = createProgress();

/**
 * What the installation was made from. Compiled code fits one Node ABI; the native client's own sources can change
 * without the lockfile.
 *
 * @returns {{ dependencies: string, nativeClient: string }}
 */
function installationKey() {
  const machine = `${process.platform}-${process.arch}-abi-${process.versions.modules}`;
  const sources = readdirSync(NATIVE_CLIENT, { withFileTypes: true }).filter((entry) => entry.isFile());
  return {
    dependencies: digest(machine, readFileSync(join(REPOSITORY, 'package-lock.json'))),
    nativeClient: digest(machine, ...sources.map(({ name }) => readFileSync(join(NATIVE_CLIENT, name)))),
  };
}

/** @param {...(string | Buffer)} contents */
function digest(...contents) {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(content);
  return hash.digest('hex');
}

/** @returns {{ dependencies?: string, nativeClient?: string }} */
function installed() {
  try {
    return JSON.parse(readFileSync(STAMP, 'utf8'));
  } catch {
    return {};
  }
}

function isInstalled() {
  const wanted = installationKey();
  const { dependencies, nativeClient } = installed();
  return dependencies === wanted.dependencies && nativeClient === wanted.nativeClient;
}

async function installDependencies() {
  if (isInstalled()) return;
  const missing = missingTools(COMPILE_TOOLS);
  if (missing.length > 0) throw new Error(`these tools are missing:\n${describeMissing(missing)}`);
  const key = installationKey();
  const isCurrent = installed().dependencies === key.dependencies;
  rmSync(STAMP, { force: true });
  if (isCurrent) {
    await progress.during('native client', 'its sources changed: compiling', () =>
      runLogged('node', [join(NATIVE_CLIENT, 'build.mjs')], {
        log: join(LOGS, 'native-client.log'),
        cwd: REPOSITORY,
      }),
    );
  } else {
    // Not `npm ci`: it refuses a lockfile without the optional packages of platforms that the registry it was written
    // against did not carry. Installing without saving takes the locked versions, and this platform's optional ones.
    await progress.during(
      'npm',
      'installing dependencies and the native Kafka client (compiled once per user, 2 minutes)',
      () =>
        runLogged('npm', ['install', '--no-save', '--no-fund', '--no-audit'], {
          log: join(LOGS, 'npm-install.log'),
          cwd: REPOSITORY,
        }),
    );
  }
  writeFileSync(STAMP, JSON.stringify(key));
}

/** Kafka and the registry are downloads; MinIO is a compilation, and its provisioner reuses what MinIO compiled. */
async function fetchServers() {
  await Promise.all([
    provideSoftware('kafka', progress),
    provideSoftware('apicurio-registry', progress),
    provideSoftware('minio', progress).then(() => provideSoftware('minio-admin', progress)),
  ]);
}

async function setup() {
  if (!isNodeSupported(process.versions.node)) {
    throw new Error(
      `Node ${process.versions.node} is too old: install Node 20.12 or newer (https://nodejs.org)`,
    );
  }
  const { flavour, reason } = chooseFlavour(process.env['STACK']);
  const fetched = [...DOWNLOADED_PRODUCTS, /** @type {const} */ ('minio-admin')].every((product) =>
    isProvided(product),
  );
  if (isInstalled() && (flavour === 'compose' || fetched)) return;
  progress.line('setup', `servers: ${flavour} (${reason}); software is kept in ${cacheRoot()}`);
  const outcomes = await Promise.allSettled([
    installDependencies(),
    flavour === 'native' ? fetchServers() : undefined,
  ]);
  const failures = outcomes
    .filter((outcome) => outcome.status === 'rejected')
    .map((outcome) => outcome.reason);
  if (failures.length > 0)
    throw new AggregateError(failures, failures.map((failure) => failure.message).join('\n'));
  progress.line('setup', 'everything is ready');
}

try {
  await withLock(join(REPOSITORY, '.fp', 'setup.lock'), setup, {
    onWait: (pid) =>
      progress.line('setup', `process ${pid} is setting up this checkout already; waiting for it`),
  });
} catch (error) {
  process.stderr.write(`setup: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
