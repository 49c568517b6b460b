#!/usr/bin/env node
/**
 * Puts the compiled Kafka clients in place; npm runs it after installing.
 *
 * Two things are compiled: node-rdkafka (with its librdkafka), about two minutes, and the batch addon beside this
 * file, seconds. Both are kept in a cache per user, so a second checkout compiles nothing. What comes from the
 * cache is loaded once before it is trusted.
 *
 *   FP_CACHE_DIR, else $XDG_CACHE_HOME/kafka-stream-topologies, else ~/.cache/kafka-stream-topologies
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const here = dirname(fileURLToPath(import.meta.url));
const rdkafka = dirname(require.resolve('node-rdkafka/package.json'));
const version = JSON.parse(readFileSync(join(rdkafka, 'package.json'), 'utf8')).version.replace(/^v/, '');
const mac = process.platform === 'darwin';
const library = mac ? 'librdkafka.1.dylib' : 'librdkafka.so.1';
const cxxLibrary = mac ? 'librdkafka++.1.dylib' : 'librdkafka++.so.1';
const cores = String(availableParallelism());

const libc =
  process.platform === 'linux'
    ? process.report.getReport().header.glibcVersionRuntime === undefined
      ? 'musl'
      : 'glibc'
    : 'libc';
const platformKey = `${process.platform}-${process.arch}-abi${process.versions.modules}-${libc}`;
const cacheRoot =
  process.env.FP_CACHE_DIR ??
  join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'kafka-stream-topologies');
const rdkafkaCache = join(cacheRoot, 'node-rdkafka', `${version}-${platformKey}`);

class BuildError extends Error {}

const say = (text) => process.stdout.write(`kafka clients: ${text}\n`);

const COMPILER_HELP = mac
  ? 'install the command line tools: xcode-select --install'
  : 'install a C and C++ compiler, make and python3 (Debian, Ubuntu: apt install build-essential python3; ' +
    'Fedora: dnf install gcc gcc-c++ make python3; Alpine: apk add build-base python3 linux-headers)';

function requireTool(names) {
  const found = names.find(
    (name) => name && spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
  if (found === undefined) {
    throw new BuildError(
      `${names.filter(Boolean).join(' or ')} not found. Both Kafka clients (the batch addon and node-rdkafka) are ` +
        `compiled on this machine: ${COMPILER_HELP}; then run: node ${join(here, 'build.mjs')}`,
    );
  }
  return found;
}

/** Runs a command with its output in a log; says every ten seconds that it goes on; shows the log's end on failure. */
async function run(what, command, args, cwd, log) {
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const output = openSync(log, 'a');
  const ticker = setInterval(() => say(`${what} … ${seconds()}`), 10_000);
  try {
    const { code, error } = await new Promise((resolve) => {
      const child = spawn(command, args, { cwd, stdio: ['ignore', output, output] });
      child.on('error', (cause) => resolve({ code: -1, error: cause }));
      child.on('close', (status) => resolve({ code: status }));
    });
    if (code !== 0) {
      const tail = readFileSync(log, 'utf8').split('\n').slice(-40).join('\n');
      throw new BuildError(
        `${what} failed (${error?.message ?? `exit code ${code}`}). The end of ${log}:\n${tail}`,
      );
    }
    say(`${what}: done in ${seconds()}`);
  } finally {
    clearInterval(ticker);
    closeSync(output);
  }
}

/** Node's own headers when they are installed beside it, so that node-gyp need not download them. */
function nodeHeaders() {
  if (process.env.npm_config_nodedir !== undefined) return [];
  const prefix = dirname(dirname(process.execPath));
  const header = join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(header)) return [];
  const text = readFileSync(header, 'utf8');
  const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
  const found = `${part('MAJOR')}.${part('MINOR')}.${part('PATCH')}`;
  return found === process.versions.node ? [`--nodedir=${prefix}`] : [];
}

/** One builder at a time per cache, over all checkouts. A dead builder's lock is taken over. */
async function withLock(body) {
  mkdirSync(cacheRoot, { recursive: true });
  const lock = join(cacheRoot, 'build.lock');
  for (let waited = 0; ; waited++) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    if (lockIsStale(lock)) rmSync(lock, { force: true });
    else {
      if (waited % 20 === 0) say(`another build holds ${lock}, waiting`);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
  try {
    return await body();
  } finally {
    rmSync(lock, { force: true });
  }
}

function lockIsStale(lock) {
  try {
    // The holder may be in another container, where its pid means nothing: old age counts, too.
    if (Date.now() - statSync(lock).mtimeMs > 20 * 60_000) return true;
    const pid = Number(readFileSync(lock, 'utf8'));
    if (!Number.isInteger(pid) || pid <= 0) return false; // being written
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

/** Copies a folder so that it appears whole or not at all. */
function place(from, to) {
  const temporary = `${to}.new-${process.pid}`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, temporary, { recursive: true, verbatimSymlinks: true });
  rmSync(to, { recursive: true, force: true });
  renameSync(temporary, to);
}

/** Whether a fresh process can load a native module; the reason when it cannot. */
function loads(file) {
  if (!existsSync(file)) return { ok: false, reason: `${file} does not exist` };
  const { status, stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file], {
    encoding: 'utf8',
  });
  return {
    ok: status === 0,
    reason:
      String(stderr)
        .split('\n')
        .find((line) => line.includes('Error')) ?? '',
  };
}

const rdkafkaBuild = join(rdkafka, 'build');
const rdkafkaModule = (root) => join(root, 'Release', 'node-librdkafka.node');
const complete = (root) =>
  [
    rdkafkaModule(root),
    join(root, 'deps', library),
    join(root, 'deps', 'include', 'librdkafka', 'rdkafka.h'),
  ].every(existsSync);

async function buildRdkafka() {
  const cc = requireTool([process.env.CC, 'cc', 'gcc', 'clang']);
  requireTool([process.env.CXX, 'c++', 'g++', 'clang++']);
  const make = requireTool([process.env.MAKE, 'make', 'gmake']);
  requireTool([process.env.PYTHON, 'python3', 'python']);
  mkdirSync(cacheRoot, { recursive: true });
  const log = join(cacheRoot, `node-rdkafka-${version}.log`);
  writeFileSync(log, '');
  say(`compiling node-rdkafka ${version} with ${cc} on ${cores} cores (once per machine; log: ${log})`);
  const gyp = require.resolve('node-gyp/bin/node-gyp.js');
  const sources = join(rdkafka, 'deps', 'librdkafka');
  const headers = nodeHeaders();
  // In this order, because node-gyp's own parallel make races librdkafka's configure, and builds librdkafka serially.
  await run('node-gyp configure', process.execPath, [gyp, 'configure', ...headers], rdkafka, log);
  await run('librdkafka configure', process.execPath, [join('util', 'configure.js')], rdkafka, log);
  await run('librdkafka compile', make, ['-C', sources, '-j', cores, 'libs'], rdkafka, log);
  await run('librdkafka install', make, ['-C', sources, 'install'], rdkafka, log);
  await run('node-rdkafka compile', process.execPath, [gyp, 'build', '-j', cores, ...headers], rdkafka, log);

  const staged = `${rdkafkaCache}.stage-${process.pid}`;
  rmSync(staged, { recursive: true, force: true });
  mkdirSync(join(staged, 'Release'), { recursive: true });
  mkdirSync(join(staged, 'deps'), { recursive: true });
  cpSync(rdkafkaModule(rdkafkaBuild), rdkafkaModule(staged));
  cpSync(join(rdkafkaBuild, 'deps', 'include'), join(staged, 'deps', 'include'), { recursive: true });
  for (const name of [library, cxxLibrary])
    cpSync(join(rdkafkaBuild, 'deps', name), join(staged, 'deps', name));
  if (mac) relocateOnMac(staged);
  const check = loads(rdkafkaModule(staged));
  if (!check.ok)
    throw new BuildError(`node-rdkafka was compiled but does not load from ${staged}: ${check.reason}`);
  place(staged, rdkafkaCache);
  rmSync(staged, { recursive: true, force: true });
  spawnSync(make, ['-C', sources, 'clean'], { stdio: 'ignore' });
}

/** On macOS names of libraries are absolute paths of where they were built; make them relative to the loader. */
function relocateOnMac(root) {
  const names = [library, cxxLibrary];
  for (const name of names)
    execFileSync('install_name_tool', ['-id', `@rpath/${name}`, join(root, 'deps', name)]);
  const change = (file, prefix) => {
    for (const name of names) {
      execFileSync('install_name_tool', [
        '-change',
        join(rdkafkaBuild, 'deps', name),
        `${prefix}/${name}`,
        file,
      ]);
    }
  };
  change(rdkafkaModule(root), '@loader_path/../deps');
  change(join(root, 'deps', cxxLibrary), '@loader_path');
}

async function ensureRdkafka() {
  if (complete(rdkafkaCache) && !loads(rdkafkaModule(rdkafkaCache)).ok) {
    say(`${rdkafkaCache} does not load on this machine, compiling again`);
    rmSync(rdkafkaCache, { recursive: true, force: true });
  }
  if (!complete(rdkafkaCache)) await buildRdkafka();
  if (
    !complete(rdkafkaBuild) ||
    existsSync(join(rdkafkaBuild, 'Release', 'obj.target')) ||
    !loads(rdkafkaModule(rdkafkaBuild)).ok
  ) {
    place(rdkafkaCache, rdkafkaBuild);
    say(`node-rdkafka ${version} put in place from ${rdkafkaCache}`);
  }
}

const SOURCES = ['client.c', 'consumer.c', 'producer.c'];
const addonBuild = join(here, 'build');

function addonFlags(deps) {
  return [
    '-std=gnu11',
    '-O2',
    '-g',
    '-fPIC',
    '-pthread',
    '-fvisibility=hidden',
    '-DNAPI_VERSION=8',
    '-Wall',
    '-Wextra',
    `-I${join(dirname(require.resolve('node-api-headers/package.json')), 'include')}`,
    `-I${join(deps, 'include')}`,
    ...(mac
      ? ['-bundle', '-undefined', 'dynamic_lookup', '-Wl,-rpath,@loader_path']
      : ['-shared', '-Wl,-rpath,$ORIGIN']),
  ];
}

async function ensureAddon() {
  const deps = join(rdkafkaCache, 'deps');
  const hash = createHash('sha256');
  for (const name of ['client.h', ...SOURCES]) hash.update(readFileSync(join(here, name))).update('\0');
  hash.update(
    addonFlags('')
      .filter((flag) => !flag.startsWith('-I'))
      .join(' '),
  );
  const key = `${version}-${platformKey}-${hash.digest('hex').slice(0, 16)}`;
  const cached = join(cacheRoot, 'kafka-addon', key);
  const stamp = join(addonBuild, 'key');
  const inPlace = () =>
    existsSync(stamp) && readFileSync(stamp, 'utf8') === key && loads(join(addonBuild, 'kafka.node')).ok;
  if (inPlace()) return;
  if (!loads(join(cached, 'kafka.node')).ok) {
    const cc = requireTool([process.env.CC, 'cc', 'gcc', 'clang']);
    const staged = `${cached}.stage-${process.pid}`;
    rmSync(staged, { recursive: true, force: true });
    mkdirSync(staged, { recursive: true });
    // The addon carries its librdkafka along, so it does not depend on where node-rdkafka is installed.
    cpSync(join(deps, library), join(staged, library));
    const log = join(cacheRoot, 'kafka-addon.log');
    writeFileSync(log, '');
    const args = [...addonFlags(deps), ...SOURCES, '-o', join(staged, 'kafka.node'), join(staged, library)];
    await run('batch addon compile', cc, args, here, log);
    const check = loads(join(staged, 'kafka.node'));
    if (!check.ok) throw new BuildError(`the batch addon was compiled but does not load: ${check.reason}`);
    writeFileSync(join(staged, 'key'), key);
    place(staged, cached);
    rmSync(staged, { recursive: true, force: true });
  }
  place(cached, addonBuild);
  say(`batch addon put in place from ${cached}`);
}

try {
  if (process.platform === 'win32') {
    throw new BuildError('Windows is not supported directly; use WSL2.');
  }
  await withLock(async () => {
    await ensureRdkafka();
    await ensureAddon();
  });
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  process.stderr.write(`kafka clients: ${error.message}\n`);
  process.exitCode = 1;
}
