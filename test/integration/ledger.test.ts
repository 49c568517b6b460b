/** The receipt ledger on real servers: transactions in Kafka, receipts in PostgreSQL, segments in the object store. */
import { randomBytes } from 'node:crypto';
import { DuckDBInstance } from '@duckdb/node-api';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { reconcile, runLedger } from '../../apps/ingestion-gate/ledger/index.ts';
import {
  compileDecisionHeader,
  loadSettings,
  outcomeSchema as outcomeAvro,
  receiptId,
  runObjects,
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
  type CompiledSchema,
  type Producer,
} from '../../lib/index.ts';
import { ledgerDatabase, type LedgerDatabase } from './ledger-database.ts';

const RUN = 'platform_20260102T000000Z';
const SCENARIO_RUN = 'b'.repeat(32);
const PARTITIONS = 4;

let database: LedgerDatabase;
let settings: Settings;
let admin: Admin;
let store: ObjectStore;
let producer: Producer;
let outcomeSchema: CompiledSchema;
const logger = createLogger({ component: 'ledger-test', level: process.env['LOG_LEVEL'] ?? 'error' });

test.before(async () => {
  database = await ledgerDatabase();
  const tag = randomBytes(4).toString('hex');
  settings = loadSettings({
    ...process.env,
    FP_TOPIC_PREFIX: `fp-ledger-${tag}.`,
    FP_BUCKET: `fraud-platform-ledger-${tag}`,
    POSTGRES_DSN: database.dsn,
  });
  admin = new Admin({ bootstrapServers: settings.kafka.bootstrapServers });
  const { traffic, control, audit, outcomes } = settings.topics;
  await admin.createTopics(
    [traffic, control, audit, outcomes].map((name) => ({ name, partitions: PARTITIONS })),
  );
  store = ObjectStore.connect(settings.objectStore);
  await store.ensureBucket(settings.objectStore.bucket);
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const subject = `${outcomes}-ig.outcome`;
  await registry.register(subject, outcomeAvro());
  outcomeSchema = await registry.latest(subject);
  producer = nativeClient.createProducer({
    ...transactionalProducerDefaults,
    'bootstrap.servers': settings.kafka.bootstrapServers,
    'transactional.id': `ledger-test-${tag}`,
  });
  await producer.initTransactions(10_000);
});

test.after.always(async () => {
  await producer.close(5_000);
  const { traffic, control, audit, outcomes } = settings.topics;
  await admin.deleteTopics([traffic, control, audit, outcomes]);
  await admin.close();
  const bucket = store.bucket(settings.objectStore.bucket);
  for await (const { key } of bucket.list('')) await bucket.remove(key);
  await store.removeBucket(settings.objectStore.bucket);
  store.close();
  await database.drop();
});

const PAYLOAD_HASH = sha256Hex('payload');
const KEY = sha256Hex('a flow');

/** One admitted record of the traffic topic; ingress offset and event id follow from where it comes from. */
function admit(batch: OutgoingBatch, partition: number, ingressOffset: number, run = RUN): void {
  const header = compileDecisionHeader(settings.topics.ingress, { policy_id: 'ig.gate', revision: '1' });
  batch.add({
    topic: settings.topics.traffic,
    partition,
    key: KEY,
    value: Buffer.from('the ledger never reads it'),
    headers: [
      ['event_type', 's3_event_stream_with_fraud_6B'],
      ['event_class', 'traffic_fraud'],
      ['platform_run_id', run],
      [
        'decision',
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

function eventId(partition: number, ingressOffset: number): string {
  return sha256Hex(`event ${String(partition)} ${String(ingressOffset)}`);
}

function notAdmitted(
  batch: OutgoingBatch,
  partition: number,
  ingressOffset: number,
  outcome: Partial<Outcome>,
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
    ingress_topic: settings.topics.ingress,
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
  batch.add({ topic: settings.topics.outcomes, partition, key: KEY, value: outcomeSchema.encode(full) });
}

async function transaction(
  fill: (batch: OutgoingBatch) => void,
  end: 'commit' | 'abort' = 'commit',
): Promise<void> {
  const batch = new OutgoingBatch();
  fill(batch);
  producer.beginTransaction();
  await producer.produce(batch);
  await producer.flush(10_000);
  if (end === 'commit') await producer.commitTransaction(10_000);
  else await producer.abortTransaction(10_000);
}

interface RunningLedger {
  stop(): Promise<void>;
}

function startLedger(): RunningLedger {
  const control = new AbortController();
  const running = runLedger({ settings, signal: control.signal, logger, idleFlushMs: 1_000 });
  running.catch(() => undefined);
  return {
    async stop() {
      control.abort();
      await running;
    },
  };
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 40_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not within 40 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function receiptCount(): Promise<number> {
  const { rows } = await database.pool.query<{ n: string }>('select count(*) as n from receipts');
  return Number(rows[0]!.n);
}

test.serial(
  'CI-57 CI-86 every committed record has exactly one receipt with its own offset, through restarts and two owners',
  async (t) => {
    let expected = 0;
    const first = startLedger();
    for (let round = 0; round < 10; round += 1) {
      await transaction((batch) => {
        for (let i = 0; i < 200; i += 1) admit(batch, i % PARTITIONS, round * 200 + i);
      });
      expected += 200;
    }
    await transaction((batch) => {
      for (let i = 0; i < 50; i += 1) admit(batch, i % PARTITIONS, 9_000 + i);
    }, 'abort');
    await until('the first receipts', async () => (await receiptCount()) > 0);
    const second = startLedger();
    for (let round = 10; round < 20; round += 1) {
      await transaction((batch) => {
        for (let i = 0; i < 200; i += 1) admit(batch, i % PARTITIONS, round * 200 + i);
      });
      expected += 200;
    }
    await first.stop();
    await until('receipts of everything', async () => (await receiptCount()) >= expected);
    await second.stop();
    const third = startLedger();
    await transaction((batch) => admit(batch, 0, 4_000));
    expected += 1;
    await until('the last receipt', async () => (await receiptCount()) >= expected);
    await third.stop();

    const { rows } = await database.pool.query<{
      receipts: string;
      ids: string;
      places: string;
      wrong: string;
    }>(
      `select count(*) as receipts, count(distinct receipt_id) as ids, count(distinct (eb_partition, eb_offset)) as places,
       count(*) filter (where ingress_partition <> eb_partition) as wrong from receipts`,
    );
    t.deepEqual(rows[0], {
      receipts: String(expected),
      ids: String(expected),
      places: String(expected),
      wrong: '0',
    });
  },
);

test.serial(
  "CI-63 CI-61 a duplicate shows its original's place, an unreadable record has a receipt with its evidence",
  async (t) => {
    await transaction((batch) => {
      notAdmitted(batch, 1, 5_001, {
        decision: 'DUPLICATE',
        reason_codes: ['DUPLICATE'],
        platform_run_id: RUN,
        scenario_run_id: SCENARIO_RUN,
        event_type: 's3_event_stream_with_fraud_6B',
        event_class: 'traffic_fraud',
        event_id: eventId(1, 1),
        payload_hash: PAYLOAD_HASH,
        partition_key: KEY,
        original_ingress_topic: settings.topics.ingress,
        original_ingress_partition: 1,
        original_ingress_offset: 1,
      });
      notAdmitted(batch, 2, 5_002, {
        event_id: 'not\u0000an id',
        raw: Buffer.from([1, 0, 255]),
        raw_sha256: sha256Hex(Buffer.from([1, 0, 255])),
        raw_length: 3,
      });
      notAdmitted(batch, 3, 5_003, {
        platform_run_id: RUN,
        reason_codes: ['PINS_MISSING'],
        raw: Buffer.from('bad'),
      });
    });
    const before = await receiptCount();
    const ledger = startLedger();
    await until('three more receipts', async () => (await receiptCount()) >= before + 3);
    const { rows: duplicates } = await database.pool.query(
      `select d.receipt_id, d.eb_topic, d.eb_partition, d.eb_offset = a.eb_offset as same_place, d.event_id, d.reason_codes
     from receipts d join receipts a on a.event_id = d.event_id and a.decision = 'ADMIT' where d.decision = 'DUPLICATE'`,
    );
    t.deepEqual(duplicates, [
      {
        receipt_id: receiptId(RUN, 'DUPLICATE', settings.topics.ingress, 1, 5_001),
        eb_topic: settings.topics.traffic,
        eb_partition: 1,
        same_place: true,
        event_id: eventId(1, 1),
        reason_codes: ['DUPLICATE'],
      },
    ]);
    const { rows: quarantined } = await database.pool.query<Record<string, unknown>>(
      `select platform_run_id, event_id, reason_codes, eb_offset, eb_offset_kind, admitted_at_utc, evidence_refs
     from receipts where decision = 'QUARANTINE' and ingress_offset = 5002`,
    );
    t.like(quarantined[0], {
      platform_run_id: null,
      event_id: 'not\ufffdan id',
      reason_codes: ['UNPARSEABLE'],
      eb_offset: null,
      eb_offset_kind: null,
      admitted_at_utc: null,
    });
    t.true(
      (quarantined[0]!['evidence_refs'] as { kind: string; ref: string }[]).some(
        (each) => each.kind === 'u0000_replaced_in' && each.ref === 'event_id',
      ),
    );
    const segments = async (): Promise<string[]> => {
      const keys: string[] = [];
      for await (const { key } of store.bucket(settings.objectStore.bucket).list('')) keys.push(key);
      return keys;
    };
    const quarantineKey = runObjects(RUN).ig.quarantine(settings.topics.outcomes, 3, 0);
    await until('all segments', async () => {
      const { rows } = await database.pool.query(
        'select from receipt_segments where archived_records < records',
      );
      return rows.length === 0 && (await segments()).includes(quarantineKey);
    });
    await ledger.stop();
    const counted = await reconcile(database.pool, RUN, { from: 'rows' });
    t.deepEqual(await reconcile(database.pool, RUN), counted);
    t.like(counted, { duplicate: 1, quarantined: 1, reasons: { PINS_MISSING: 1 }, unreadable: 0 });
  },
);

test.serial('segments hold the same receipts as the view, readable by others', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-segments-'));
  const duckdb = await DuckDBInstance.create(':memory:');
  const connection = await duckdb.connect();
  try {
    let n = 0;
    for await (const { key } of store.bucket(settings.objectStore.bucket).list(`${RUN}/ig/receipts/`)) {
      await writeFile(
        join(folder, `${String((n += 1))}.parquet`),
        await store.bucket(settings.objectStore.bucket).get(key),
      );
    }
    const read = await connection.runAndReadAll(
      `select receipt_id, event_id, record_offset::varchar as at, decided_at_utc from read_parquet('${folder}/*.parquet') order by 1`,
    );
    const { rows } = await database.pool.query<Record<string, string>>({
      text: `select receipt_id, event_id,
         coalesce(case when decision = 'ADMIT' then eb_offset end::text, split_part(evidence_refs->0->>'ref', '/', 3)) as at
         from receipts where platform_run_id = $1 order by receipt_id collate "C"`,
      values: [RUN],
    });
    const archived = read
      .getRowObjects()
      .map(({ receipt_id, event_id, at }) => ({ receipt_id, event_id, at }));
    t.true(archived.length > 4_000);
    t.deepEqual(archived, rows as typeof archived);
  } finally {
    connection.closeSync();
    await rm(folder, { recursive: true });
  }
});
