/** A gate, a ledger and an HTTP front door of their own on the real servers: own topics, groups, database and bucket. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { runDoor, type DoorOptions } from '../../apps/ingestion-gate/http/index.ts';
import {
  compileEngineEventId,
  loadSettings,
  outputDefinition,
  type Settings,
} from '../../apps/rails/index.ts';
import { createAdmin, createLogger, ObjectStore } from '../../lib/index.ts';
import { ledgerDatabase, type LedgerDatabase } from './ledger-database.ts';

const FP = fileURLToPath(new URL('../../apps/cli/fp.mjs', import.meta.url));
const DEADLINE_MS = 60_000;

export const EVENTS = 's3_event_stream_with_fraud_6B';
export const RUN = 'platform_20260105T000000Z';
const WORLD = {
  manifest_fingerprint: 'c8'.repeat(32),
  parameter_hash: '56'.repeat(32),
  scenario_id: 'baseline_v1',
  seed: '42',
};
const eventIdOf = compileEngineEventId(outputDefinition(EVENTS));

export interface PushedEvent {
  readonly event_id: string;
  readonly payload: Readonly<Record<string, unknown>>;
  readonly [field: string]: unknown;
}

/** A valid event as a producer would send it; `flow` and `seq` make its id. */
export function event(flow: string, seq = 0, change: Readonly<Record<string, unknown>> = {}): PushedEvent {
  const payload = {
    flow_id: flow,
    event_seq: seq,
    event_type: 'AUTH_REQUEST',
    ts_utc: '2025-11-22T10:00:00.000000Z',
    amount: '12.50',
  };
  return {
    event_id: eventIdOf(WORLD, payload),
    event_type: EVENTS,
    ts_utc: payload.ts_utc,
    ...WORLD,
    run_id: 'a1'.repeat(16),
    platform_run_id: RUN,
    scenario_run_id: 'b2'.repeat(16),
    schema_version: 'v1',
    producer: 'svc:world_stream_producer',
    payload,
    ...change,
  };
}

const ANCHORS = 's3_flow_anchor_with_fraud_6B';
const anchorIdOf = compileEngineEventId(outputDefinition(ANCHORS));

/** The anchor of a flow: the bus promises it before the flow's events. */
export function anchor(flow: string, change: Readonly<Record<string, unknown>> = {}): PushedEvent {
  const ids = ['merchant_id', 'party_id', 'account_id', 'instrument_id', 'device_id', 'ip_id'];
  const payload = {
    flow_id: flow,
    arrival_seq: 1,
    ...Object.fromEntries(ids.map((name) => [name, '7'])),
    ts_utc: '2025-11-22T10:00:00.000000Z',
    amount: '12.50',
  };
  return event(flow, 0, { event_id: anchorIdOf(WORLD, payload), event_type: ANCHORS, payload, ...change });
}

export interface Door {
  readonly url: string;
  close(): Promise<void>;
}

export class FrontDoorFixture {
  readonly settings: Settings;
  readonly database: LedgerDatabase;
  readonly #env: NodeJS.ProcessEnv;
  readonly #children = new Set<ChildProcess>();

  private constructor(settings: Settings, database: LedgerDatabase, env: NodeJS.ProcessEnv) {
    this.settings = settings;
    this.database = database;
    this.#env = env;
  }

  static async create(): Promise<FrontDoorFixture> {
    const tag = randomBytes(4).toString('hex');
    const database = await ledgerDatabase();
    const env = {
      ...process.env,
      FP_TOPIC_PREFIX: `fp-door-${tag}.`,
      FP_BUCKET: `fraud-platform-door-${tag}`,
      POSTGRES_DSN: database.dsn,
    };
    const settings = loadSettings(env);
    const store = ObjectStore.connect(settings.objectStore);
    await store.ensureBucket(settings.objectStore.bucket);
    store.close();
    return new FrontDoorFixture(settings, database, env);
  }

  /** Starts `fp <args>` on this fixture's topics and database. */
  start(...args: string[]): ChildProcess {
    const child = spawn(process.execPath, [FP, ...args], {
      env: this.#env,
      stdio: ['ignore', process.env['LOG_LEVEL'] === undefined ? 'ignore' : 'inherit', 'inherit'],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Runs `fp <args>` to its end. */
  async run(...args: string[]): Promise<{ readonly code: number; readonly output: string }> {
    const child = spawn(process.execPath, [FP, ...args], {
      env: this.#env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const [code] = (await once(child, 'close')) as [number];
    return { code, output };
  }

  async applyTopology(): Promise<void> {
    const { code, output } = await this.run('topology', 'apply');
    if (code !== 0) throw new Error(output);
  }

  /** A front door in this process, open and not RED unless `waitForHealth` is false. */
  async open(
    options: Partial<DoorOptions> & {
      readonly auth?: Readonly<Record<string, string>>;
      readonly waitForHealth?: boolean;
    } = {},
  ): Promise<Door> {
    const { auth, waitForHealth, ...door } = options;
    const stop = new AbortController();
    const level = process.env['LOG_LEVEL'] ?? 'fatal';
    let opened!: (address: { readonly host: string; readonly port: number }) => void;
    const listening = new Promise<{ readonly host: string; readonly port: number }>(
      (done) => (opened = done),
    );
    const running = runDoor({
      settings: this.settings,
      env: { IG_AUTH_MODE: 'disabled', ...auth },
      port: 0,
      signal: stop.signal,
      logger: createLogger({ component: 'front-door-test', level }),
      onListening: opened,
      ...door,
    });
    const { host, port } = await Promise.race([
      listening,
      running.then(() => Promise.reject(new Error('closed'))),
    ]);
    const url = `http://${host}:${port}`;
    if (waitForHealth !== false) {
      await eventually(async () => {
        const response = await fetch(`${url}/healthz`);
        return response.ok ? true : undefined;
      }, 'the front door to be healthy');
    }
    return {
      url,
      close: async () => {
        stop.abort();
        await running;
      },
    };
  }

  async stop(child: ChildProcess): Promise<number | null> {
    if (child.exitCode !== null) return child.exitCode;
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    const [code] = (await exited) as [number | null];
    return code;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#children].map((child) => this.stop(child)));
    const { topics, kafka, groups, objectStore } = this.settings;
    const admin = createAdmin({ bootstrapServers: kafka.bootstrapServers });
    const mine = (await admin.listTopics()).filter((name) => name.startsWith(topics.prefix));
    await admin.deleteTopics(mine);
    const known = new Set(await admin.listGroups());
    await admin.deleteGroups([groups.gate, groups.ledger].filter((group) => known.has(group)));
    await admin.close();
    const store = ObjectStore.connect(objectStore);
    const bucket = store.bucket(objectStore.bucket);
    for await (const { key } of bucket.list('')) await bucket.remove(key);
    await store.removeBucket(objectStore.bucket);
    store.close();
    await this.database.drop();
  }
}

/** Asks until there is an answer; fails with what was awaited. */
export async function eventually<T>(ask: () => Promise<T | undefined>, what: string): Promise<T> {
  const until = Date.now() + DEADLINE_MS;
  let last: unknown;
  while (Date.now() < until) {
    try {
      const answer = await ask();
      if (answer !== undefined) return answer;
    } catch (error) {
      last = error;
    }
    await delay(50);
  }
  throw new Error(`waited ${DEADLINE_MS} ms for ${what}`, { cause: last });
}
