/** The ledger's surroundings for a test file of its own: topics, bucket, database, and a producer as the gate is one. */
import { randomBytes } from 'node:crypto';
import { runLedger, type LedgerServiceOptions } from '../../apps/ingestion-gate/ledger/index.ts';
import {
  compileDecisionHeader,
  loadSettings,
  outcomeSchema as outcomeAvro,
  sha256Hex,
  type Outcome,
  type Settings,
} from '../../apps/rails/index.ts';
import {
  Admin,
  createLogger,
  nativeClient,
  ObjectStore,
  OutgoingBatch,
  SchemaRegistry,
  transactionalProducerDefaults,
  type Bucket,
  type CompiledSchema,
  type Producer,
} from '../../lib/index.ts';
import { ledgerDatabase, type LedgerDatabase } from './ledger-database.ts';

export const RUN = 'platform_20260102T000000Z';
export const SCENARIO_RUN = 'b'.repeat(32);
export const PARTITIONS = 4;
export const PAYLOAD_HASH = sha256Hex('payload');
export const KEY = sha256Hex('a flow');

export function eventId(partition: number, ingressOffset: number): string {
  return sha256Hex(`event ${String(partition)} ${String(ingressOffset)}`);
}

export interface RunningLedger {
  /** Ends it and waits; rejects with what had ended it before. */
  stop(): Promise<void>;
}

export class LedgerFixture {
  readonly logger = createLogger({
    component: 'ledger-test',
    level: process.env['LOG_LEVEL'] ?? 'silent',
  });
  readonly database: LedgerDatabase;
  readonly settings: Settings;
  readonly admin: Admin;
  readonly store: ObjectStore;
  readonly producer: Producer;
  readonly outcomeSchema: CompiledSchema;

  private constructor(
    parts: Pick<LedgerFixture, 'database' | 'settings' | 'admin' | 'store' | 'producer' | 'outcomeSchema'>,
  ) {
    this.database = parts.database;
    this.settings = parts.settings;
    this.admin = parts.admin;
    this.store = parts.store;
    this.producer = parts.producer;
    this.outcomeSchema = parts.outcomeSchema;
  }

  static async open(): Promise<LedgerFixture> {
    const database = await ledgerDatabase();
    const tag = randomBytes(4).toString('hex');
    const settings = loadSettings({
      ...process.env,
      FP_TOPIC_PREFIX: `fp-ledger-${tag}.`,
      FP_BUCKET: `fraud-platform-ledger-${tag}`,
      POSTGRES_DSN: database.dsn,
    });
    const admin = new Admin({ bootstrapServers: settings.kafka.bootstrapServers });
    await admin.createTopics(topicsOf(settings).map((name) => ({ name, partitions: PARTITIONS })));
    const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
    const subject = `${settings.topics.outcomes}-ig.outcome`;
    await registry.register(subject, outcomeAvro());
    const producer = nativeClient.createProducer({
      ...transactionalProducerDefaults,
      'bootstrap.servers': settings.kafka.bootstrapServers,
      'transactional.id': `ledger-test-${tag}`,
    });
    await producer.initTransactions(10_000);
    return new LedgerFixture({
      database,
      settings,
      admin,
      store: ObjectStore.connect(settings.objectStore),
      producer,
      outcomeSchema: await registry.latest(subject),
    });
  }

  async close(): Promise<void> {
    await this.producer.close(5_000);
    await this.admin.deleteTopics(topicsOf(this.settings));
    await this.admin.close();
    if (await this.store.bucketExists(this.bucket.name)) {
      for await (const { key } of this.bucket.list('')) await this.bucket.remove(key);
      await this.store.removeBucket(this.bucket.name);
    }
    this.store.close();
    await this.database.drop();
  }

  get bucket(): Bucket {
    return this.store.bucket(this.settings.objectStore.bucket);
  }

  /** One admitted record of the traffic topic; its event id follows from where it came from. */
  admit(batch: OutgoingBatch, partition: number, ingressOffset: number, options: AdmitOptions = {}): void {
    const header = compileDecisionHeader(this.settings.topics.ingress, {
      policy_id: 'ig.gate',
      revision: '1',
    });
    batch.add({
      topic: this.settings.topics.traffic,
      partition,
      key: KEY,
      value: options.value ?? Buffer.from('the ledger never reads it'),
      headers: [
        ['event_type', 's3_event_stream_with_fraud_6B'],
        ['event_class', 'traffic_fraud'],
        ['platform_run_id', options.run ?? RUN],
        [
          'decision',
          options.decision ??
            header(
              partition,
              ingressOffset,
              eventId(partition, ingressOffset),
              SCENARIO_RUN,
              PAYLOAD_HASH,
              'ig.partitioning.v0.traffic',
            ),
        ],
      ],
    });
  }

  /** An outcome record; by default a QUARANTINE of something unparseable. */
  notAdmitted(
    batch: OutgoingBatch,
    partition: number,
    ingressOffset: number,
    outcome: Partial<Outcome> = {},
  ): void {
    const full: Outcome = {
      decision: 'QUARANTINE',
      reason_codes: ['UNPARSEABLE'],
      reason_detail: null,
      retryable: false,
      event_id: null,
      event_type: null,
      event_class: null,
      platform_run_id: null,
      scenario_run_id: null,
      manifest_fingerprint: null,
      ts_utc: null,
      payload_hash: null,
      partition_key: null,
      dedupe_key: null,
      partitioning_profile_id: null,
      policy_id: 'ig.gate',
      policy_revision: '1',
      ingress_topic: this.settings.topics.ingress,
      ingress_partition: partition,
      ingress_offset: ingressOffset,
      original_ingress_topic: null,
      original_ingress_partition: null,
      original_ingress_offset: null,
      decided_at_utc: '2026-01-02T00:00:00.000000Z',
      raw: null,
      raw_sha256: null,
      raw_length: -1,
      ...outcome,
    };
    batch.add({
      topic: this.settings.topics.outcomes,
      partition,
      key: KEY,
      value: this.outcomeSchema.encode(full),
    });
  }

  async transaction(fill: (batch: OutgoingBatch) => void, end: 'commit' | 'abort' = 'commit'): Promise<void> {
    const batch = new OutgoingBatch();
    fill(batch);
    this.producer.beginTransaction();
    await this.producer.produce(batch);
    await this.producer.flush(10_000);
    if (end === 'commit') await this.producer.commitTransaction(10_000);
    else await this.producer.abortTransaction(10_000);
  }

  startLedger(options: Partial<LedgerServiceOptions> = {}): RunningLedger {
    const control = new AbortController();
    const running = runLedger({
      settings: this.settings,
      signal: control.signal,
      logger: this.logger,
      idleFlushMs: 1_000,
      ...options,
    });
    running.catch(() => undefined);
    return {
      async stop() {
        control.abort();
        await running;
      },
    };
  }

  async receiptCount(): Promise<number> {
    const { rows } = await this.database.pool.query<{ n: string }>('select count(*) as n from receipts');
    return Number(rows[0]!.n);
  }

  /** Waits until everything that has a receipt is in the object store. */
  async archived(): Promise<void> {
    await until('all segments', async () => {
      const { rows } = await this.database.pool.query<{ waiting: string; all: string }>(
        'select count(*) filter (where archived_records < records) as waiting, count(*) as all from receipt_segments',
      );
      return rows[0]!.waiting === '0' && rows[0]!.all !== '0';
    });
  }

  /** Every object of the bucket with its bytes. */
  async objects(): Promise<Map<string, Buffer>> {
    const objects = new Map<string, Buffer>();
    for await (const { key } of this.bucket.list('')) objects.set(key, await this.bucket.get(key));
    return objects;
  }
}

export interface AdmitOptions {
  readonly run?: string;
  readonly value?: Buffer;
  /** Instead of a true decision header. */
  readonly decision?: string;
}

function topicsOf(settings: Settings): string[] {
  const { traffic, control, audit, outcomes } = settings.topics;
  return [traffic, control, audit, outcomes];
}

export async function until(what: string, holds: () => Promise<boolean>, ms = 40_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within ${String(ms / 1000)} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
