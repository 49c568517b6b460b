/**
 * The whole platform on the stack under test, apart from everything else there: topics and groups under a prefix of
 * its own, a database and a bucket of its own, services as child processes of `fp`. `close` leaves nothing behind.
 */
import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { platformResources, loadSettings, type Settings, type TrafficMode } from '../../apps/rails/index.ts';
import {
  defaultRunRequest,
  issuePlatformRun,
  openScenarioRunner,
  reemit,
  submitRun,
  type RunOutcome,
  type ScenarioRunner,
} from '../../apps/scenario-runner/index.ts';
import {
  Admin,
  applyResources,
  ObjectStore,
  SchemaRegistry,
  type OutgoingBatch,
  nativeClient,
  producerDefaults,
} from '../../lib/index.ts';
import { eventually } from './eventually.ts';
import { samplePack, TEST_ORACLE_BUCKET, type SamplePack } from './sample-pack.ts';
import { ServiceProcess, type Exit } from './service-process.ts';
import { stackSetting } from './stack-settings.ts';

const SILENCE = new Writable({ write: (_chunk, _encoding, done) => done() });

const FP = fileURLToPath(new URL('../../apps/cli/fp.mjs', import.meta.url));
const SERVERS = [
  'KAFKA_BOOTSTRAP_SERVERS',
  'SCHEMA_REGISTRY_URL',
  'POSTGRES_DSN',
  'S3_ENDPOINT',
  'S3_ACCESS_KEY',
  'S3_SECRET_KEY',
  'ORACLE_S3_ACCESS_KEY',
  'ORACLE_S3_SECRET_KEY',
];
const GROUP_DEADLINE_MS = 20_000;
const DELIVERY_TIMEOUT_MS = 15_000;

const COMMANDS = {
  gate: ['gate', 'run'],
  ledger: ['ledger', 'run'],
  streamer: ['wsp', 'run'],
} as const;

export type ServiceName = keyof typeof COMMANDS;

/** A run that is READY, and how many events its replay will send. */
export interface TestRun extends RunOutcome {
  readonly messageId: string;
  readonly events: number;
  readonly pack: SamplePack;
}

export interface RunWish {
  readonly mode?: TrafficMode;
  /** Event seconds per wall second; 0 (the default) is as fast as possible. */
  readonly speedup?: number;
  readonly maxEvents?: number;
}

export class TestPlatform {
  readonly settings: Settings;
  readonly pool: pg.Pool;
  readonly admin: Admin;
  readonly #database: string;
  readonly #env: Readonly<Record<string, string | undefined>>;
  readonly #processes: ServiceProcess[] = [];
  #runner: ScenarioRunner | null = null;

  private constructor(tag: string, database: string, dsn: string) {
    this.#database = database;
    this.#env = {
      ...process.env,
      FP_PROFILE: 'local',
      FP_TOPIC_PREFIX: `${tag}.`,
      FP_BUCKET: `fraud-platform-${tag}`,
      FP_ORACLE_BUCKET: TEST_ORACLE_BUCKET,
      POSTGRES_DSN: dsn,
    };
    this.settings = loadSettings(this.#env);
    this.pool = new pg.Pool({ connectionString: dsn, max: 3 });
    // Dropping the database ends idle connections.
    this.pool.on('error', () => undefined);
    this.admin = new Admin({ bootstrapServers: this.settings.kafka.bootstrapServers });
  }

  /**
   * A platform with its database, and its topics and subjects unless they shall come later (`applyTopology`). No
   * service runs yet.
   */
  static async open(name: string, options: { readonly topology?: boolean } = {}): Promise<TestPlatform> {
    SERVERS.forEach(stackSetting);
    const id = randomBytes(4).toString('hex');
    const database = `platform_test_${id}`;
    const dsn = new URL(stackSetting('POSTGRES_DSN'));
    await onServer(`create database ${database}`);
    dsn.pathname = `/${database}`;
    const platform = new TestPlatform(`it-${name}-${id}`, database, dsn.toString());
    if (options.topology !== false) await platform.applyTopology();
    return platform;
  }

  async applyTopology(): Promise<void> {
    await applyResources(platformResources(this.settings), this.admin, this.#registry());
  }

  /** A small sealed world; the same seed is the same world. */
  pack(seed: string, events: number): Promise<SamplePack> {
    return samplePack({ ...this.settings, postgres: { dsn: stackSetting('POSTGRES_DSN') } }, seed, events);
  }

  /** Starts a service; several of a kind are instances of one group. */
  start(service: ServiceName, env: Readonly<Record<string, string>> = {}): ServiceProcess {
    const started = new ServiceProcess(service, [FP, ...COMMANDS[service]], { ...this.#env, ...env });
    this.#processes.push(started);
    return started;
  }

  /** Asks every running service to end, as an operator would; answers how each did. */
  async terminateServices(): Promise<(Exit & { readonly name: string; readonly ms: number })[]> {
    const running = this.#processes.filter((service) => service.running);
    return Promise.all(
      running.map(async (service) => ({ name: service.name, ...(await service.terminate()) })),
    );
  }

  /** Throws when a service has ended by itself. */
  readonly check = (): void => {
    for (const service of this.#processes) service.check();
  };

  /** Leads a new platform run of the pack to READY. */
  async submit(pack: SamplePack, wish: RunWish = {}): Promise<TestRun> {
    const { context } = (this.#runner ??= await this.#openRunner());
    const platformRunId = await issuePlatformRun(this.pool);
    const request = await defaultRunRequest(context.oracle, context.policy, {
      platformRunId,
      packRoot: pack.root,
      ...(wish.mode === undefined ? {} : { mode: wish.mode }),
    });
    const outcome = await submitRun(context, {
      platform_run_id: platformRunId,
      pack_root: pack.root,
      request,
      replay: {
        speedup: wish.speedup ?? 0,
        ...(wish.maxEvents === undefined ? {} : { max_events: wish.maxEvents }),
      },
    });
    if (outcome.state !== 'READY' || outcome.message_id === null || !outcome.published) {
      throw new Error(`run ${platformRunId} is ${outcome.state}: ${JSON.stringify(outcome)}`);
    }
    const rows = outcome.outputs.reduce((sum, output) => sum + output.row_count, 0);
    return {
      ...outcome,
      messageId: outcome.message_id,
      events: Math.min(rows, wish.maxEvents ?? rows),
      pack,
    };
  }

  /** Emits READY again; the same run under the message id of its new attempt. */
  async replayAgain(run: TestRun): Promise<TestRun> {
    const { context } = (this.#runner ??= await this.#openRunner());
    const { message_id: messageId } = await reemit(context, {
      platform_run_id: run.platform_run_id,
      run_id: run.run_id,
      reemit_kind: 'READY_ONLY',
    });
    return { ...run, messageId };
  }

  /** Puts records onto a topic from outside, and waits until they are acknowledged. */
  async produce(batch: OutgoingBatch): Promise<void> {
    const producer = nativeClient.createProducer({
      ...producerDefaults,
      'bootstrap.servers': this.settings.kafka.bootstrapServers,
    });
    try {
      await producer.produce(batch);
      await producer.flush(DELIVERY_TIMEOUT_MS);
    } finally {
      await producer.close(DELIVERY_TIMEOUT_MS);
    }
  }

  /** Ends every service, then removes all that was made. Does all it can before it reports what failed. */
  async close(): Promise<void> {
    const failures: unknown[] = [];
    const step = async (work: () => Promise<unknown>): Promise<void> => {
      await work().catch((error: unknown) => failures.push(error));
    };
    await Promise.all(this.#processes.map((service) => step(() => service.dispose())));
    await step(async () => this.#runner?.close());
    await Promise.all([
      step(() => this.#removeFromKafka()),
      step(() => this.#removeSubjects()),
      step(() => this.#removeBucket()),
      step(async () => {
        await this.pool.end();
        await onServer(`drop database ${this.#database} with (force)`);
      }),
    ]);
    await step(() => this.admin.close());
    if (failures.length > 0) throw new AggregateError(failures, failures.map(String).join('\n'));
  }

  #registry(): SchemaRegistry {
    return new SchemaRegistry({ url: stackSetting('SCHEMA_REGISTRY_URL') });
  }

  #openRunner(): Promise<ScenarioRunner> {
    return openScenarioRunner(this.settings, { logTo: { stream: SILENCE, level: 'fatal' } });
  }

  async #removeFromKafka(): Promise<void> {
    const { prefix } = this.settings.topics;
    const own = (names: readonly string[]): string[] => names.filter((name) => name.startsWith(prefix));
    await this.admin.deleteTopics(own(await this.admin.listTopics()));
    // A killed member counts as one until its session is over.
    await eventually(
      `the groups of ${prefix} are deleted`,
      async () => {
        const groups = own(await this.admin.listGroups());
        await this.admin.deleteGroups(groups).catch(() => undefined);
        return groups.length === 0;
      },
      { deadlineMs: GROUP_DEADLINE_MS, everyMs: 500 },
    );
  }

  async #removeSubjects(): Promise<void> {
    const { client } = this.#registry();
    const { prefix } = this.settings.topics;
    const own = (await client.subjects()).filter((subject) => subject.startsWith(prefix));
    await Promise.all(
      own.map(async (subject) => {
        await client.deleteSubject(subject);
        await client.deleteSubject(subject, true);
      }),
    );
  }

  async #removeBucket(): Promise<void> {
    const { bucket: name, endpoint, accessKey, secretKey } = this.settings.objectStore;
    const store = ObjectStore.connect({ endpoint, accessKey, secretKey });
    try {
      if (!(await store.bucketExists(name))) return;
      const bucket = store.bucket(name);
      for await (const { key } of bucket.list('')) await bucket.remove(key);
      await store.removeBucket(name);
    } finally {
      store.close();
    }
  }
}

async function onServer(sql: string): Promise<void> {
  const client = new pg.Client(stackSetting('POSTGRES_DSN'));
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
