/** Runners on the real PostgreSQL and object store, each test file in a database and buckets of its own. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import pg from 'pg';
import { ObjectStore, type Bucket } from '../../../lib/index.ts';
import { loadSettings, type Envelope, type Settings } from '../../../apps/rails/index.ts';
import type { FrontDoorReceipt } from '../../../apps/rails/index.ts';
import {
  openScenarioRunner,
  type RunRequest,
  type ScenarioRunner,
  type ScenarioRunnerOptions,
} from '../../../apps/scenario-runner/index.ts';
import type { SealedPack } from './sealed-pack.ts';

const SILENCE = new Writable({
  write(_chunk, _encoding, done) {
    done();
  },
});

export interface RunnerFixture {
  readonly settings: Settings;
  readonly oracle: Bucket;
  readonly platform: Bucket;
  open(options?: ScenarioRunnerOptions): Promise<ScenarioRunner>;
  /** Rows of a query on the fixture's own database. */
  query<T extends pg.QueryResultRow>(sql: string, values?: unknown[]): Promise<T[]>;
  /** Closes every runner; removes the database and the buckets. */
  remove(): Promise<void>;
}

export async function runnerFixture(): Promise<RunnerFixture> {
  const id = randomBytes(5).toString('hex');
  const base = loadSettings({ ...process.env, FP_TOPIC_PREFIX: `sr-${id}.` });
  const database = `sr_test_${id}`;
  await onServer(base.postgres.dsn, `create database ${database}`);
  const dsn = new URL(base.postgres.dsn);
  dsn.pathname = `/${database}`;
  const folder = await mkdtemp(join(tmpdir(), 'scenario-runner-'));
  const settings: Settings = {
    ...base,
    stateDir: join(folder, 'state'),
    runsDir: join(folder, 'runs'),
    postgres: { dsn: dsn.toString() },
    objectStore: { ...base.objectStore, bucket: `fraud-platform-test-${id}` },
    oracleStore: { ...base.oracleStore, bucket: `oracle-store-test-${id}` },
  };
  const { endpoint } = base.objectStore;
  const keys = base.oracleStore.writer;
  if (keys === undefined)
    throw new Error('ORACLE_S3_ACCESS_KEY is not set: start the stack and load `fp stack env`');
  const writer = ObjectStore.connect({ endpoint, accessKey: keys.accessKey, secretKey: keys.secretKey });
  const store = ObjectStore.connect({
    endpoint,
    accessKey: base.objectStore.accessKey,
    secretKey: base.objectStore.secretKey,
  });
  await writer.ensureBucket(settings.oracleStore.bucket);
  const pool = new pg.Pool({ connectionString: settings.postgres.dsn, max: 2 });
  const opened: ScenarioRunner[] = [];
  return {
    settings,
    oracle: writer.bucket(settings.oracleStore.bucket),
    platform: store.bucket(settings.objectStore.bucket),
    async open(options = {}) {
      const runner = await openScenarioRunner(settings, {
        logTo: { stream: SILENCE, level: 'fatal' },
        ...options,
      });
      opened.push(runner);
      return runner;
    },
    async query<T extends pg.QueryResultRow>(sql: string, values: unknown[] = []) {
      return (await pool.query<T>(sql, values)).rows;
    },
    async remove() {
      await Promise.all(opened.map((runner) => runner.close()));
      await pool.end();
      await onServer(base.postgres.dsn, `drop database ${database} with (force)`);
      await empty(writer, settings.oracleStore.bucket);
      await empty(store, settings.objectStore.bucket);
      writer.close();
      store.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function onServer(dsn: string, sql: string): Promise<void> {
  const client = new pg.Client(dsn);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

async function empty(store: ObjectStore, name: string): Promise<void> {
  if (!(await store.bucketExists(name))) return;
  const bucket = store.bucket(name);
  for await (const { key } of bucket.list('')) await bucket.remove(key);
  await store.removeBucket(name);
}

/** Acknowledges events and keeps them, like a front door whose broker is always there; `fail` makes it reject. */
export class RecordingDoor {
  readonly events: Envelope[] = [];
  fail: Error | undefined;

  publish(event: Envelope): Promise<FrontDoorReceipt> {
    if (this.fail !== undefined) return Promise.reject(this.fail);
    this.events.push(event);
    return Promise.resolve({ topic: 'ingress', partition: 0, offset: this.events.length - 1 });
  }
}

export function requestFor(pack: SealedPack, key: string, change: Partial<RunRequest> = {}): RunRequest {
  return {
    run_equivalence_key: key,
    manifest_fingerprint: pack.world.manifest_fingerprint,
    parameter_hash: pack.world.parameter_hash,
    seed: pack.world.seed,
    scenario: { scenario_id: pack.world.scenario_id },
    window: {
      window_start_utc: '2026-01-01T00:00:00Z',
      window_end_utc: '2026-01-02T00:00:00Z',
      window_tz: 'UTC',
    },
    ...change,
  };
}
