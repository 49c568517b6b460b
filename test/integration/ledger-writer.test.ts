/** What the ledger writes to PostgreSQL: receipts as the view shows them, and the fence that makes them exactly once. */
import test from 'ava';
import { AdmittedRecordReader } from '../../apps/ingestion-gate/ledger/admitted-record.ts';
import { readPositions } from '../../apps/ingestion-gate/ledger/positions.ts';
import { ReceiptBatch } from '../../apps/ingestion-gate/ledger/receipt-batch.ts';
import { ReceiptKinds } from '../../apps/ingestion-gate/ledger/receipt-kinds.ts';
import { ReceiptWriter } from '../../apps/ingestion-gate/ledger/receipt-writer.ts';
import {
  compileDecisionHeader,
  dedupeKey,
  receiptId,
  runObjects,
  sha256Hex,
} from '../../apps/rails/index.ts';
import { packedRecords, type PlainRecord } from '../apps/ingestion-gate/ledger/packed-records.ts';
import { ledgerDatabase, type LedgerDatabase } from './ledger-database.ts';

const TRAFFIC = 'fp.bus.traffic.v1';
const SCENARIO_RUN = 'a'.repeat(32);
const POLICY = { policy_id: 'ig.gate', revision: '3' };
const decisionHeader = compileDecisionHeader('fp.ingress.v1', POLICY);

let database: LedgerDatabase;
test.before(async () => {
  database = await ledgerDatabase();
});
test.after.always(() => database.drop());

function admitted(run: string, partition: number, offset: number, ingressOffset = offset + 5): PlainRecord {
  const eventId = sha256Hex(`${run} ${String(partition)} ${String(offset)}`);
  return {
    partition,
    offset,
    timestamp: Date.UTC(2026, 0, 1) + offset,
    key: sha256Hex('a flow'),
    headers: {
      event_type: 's3_event_stream_with_fraud_6B',
      event_class: 'traffic_fraud',
      platform_run_id: run,
      decision: decisionHeader(
        partition,
        ingressOffset,
        eventId,
        SCENARIO_RUN,
        sha256Hex('payload'),
        'ig.partitioning.v0.traffic',
      ),
    },
  };
}

function filled(kinds: ReceiptKinds, records: readonly PlainRecord[], start = 0): ReceiptBatch {
  const batch = new ReceiptBatch();
  const packed = packedRecords(records);
  const reader = new AdmittedRecordReader(kinds);
  for (let i = 0; i < packed.count; i += 1) {
    const slice = batch.slice(TRAFFIC, packed.partition[i]!, start);
    reader.read(packed, i, slice);
    slice.next = packed.offset[i]! + 1;
  }
  return batch;
}

test('CI-69 an admitted record has one receipt whose columns, computed ones included, follow the recipes', async (t) => {
  const client = await database.connect();
  const run = 'platform_20260101T000001Z';
  const kinds = new ReceiptKinds();
  const writer = new ReceiptWriter(database.pool, kinds);
  await readPositions(client, [{ topic: TRAFFIC, partition: 1 }]);
  const result = await writer.write(filled(kinds, [admitted(run, 1, 70_000, 70_123)]));
  t.deepEqual(result, { rows: 1, lost: [] });
  const { rows } = await client.query<Record<string, unknown>>(
    'select * from receipts where platform_run_id = $1',
    [run],
  );
  const eventId = sha256Hex(`${run} 1 70000`);
  const receipt = receiptId(run, 'ADMIT', 'fp.ingress.v1', 1, 70_123);
  t.is(rows.length, 1);
  t.like(rows[0], {
    receipt_id: receipt,
    platform_run_id: run,
    scenario_run_id: SCENARIO_RUN,
    event_id: eventId,
    event_type: 's3_event_stream_with_fraud_6B',
    event_class: 'traffic_fraud',
    decision: 'ADMIT',
    reason_codes: [],
    eb_topic: TRAFFIC,
    eb_partition: 1,
    eb_offset: '70000',
    eb_offset_kind: 'kafka_offset',
    eb_published_at_utc: new Date(Date.UTC(2026, 0, 1) + 70_000),
    partition_key: sha256Hex('a flow'),
    payload_hash: sha256Hex('payload'),
    dedupe_key: dedupeKey(run, 'traffic_fraud', eventId),
    partitioning_profile_id: 'ig.partitioning.v0.traffic',
    policy_id: 'ig.gate',
    policy_revision: '3',
    receipt_ref: `${runObjects(run).ig.receipts(TRAFFIC, 1, 1)}#${receipt}`,
    evidence_refs: [],
    ingress_topic: 'fp.ingress.v1',
    ingress_partition: 1,
    ingress_offset: '70123',
    admitted_at_utc: new Date(Date.UTC(2026, 0, 1) + 70_000),
  });
});

test('a batch from a stale position writes nothing, while the other partitions of the batch are written', async (t) => {
  const client = await database.connect();
  const run = 'platform_20260101T000002Z';
  const kinds = new ReceiptKinds();
  const partitions = [2, 3].map((partition) => ({ topic: TRAFFIC, partition }));
  await readPositions(client, partitions);
  const owner = new ReceiptWriter(database.pool, kinds);
  const zombieKinds = new ReceiptKinds();
  const zombie = new ReceiptWriter(database.pool, zombieKinds);
  const stale = filled(zombieKinds, [admitted(run, 2, 0), admitted(run, 2, 1), admitted(run, 3, 0)]);
  t.deepEqual(await owner.write(filled(kinds, [admitted(run, 2, 0), admitted(run, 2, 1)])), {
    rows: 2,
    lost: [],
  });
  t.deepEqual(await zombie.write(stale), { rows: 1, lost: [`${TRAFFIC}/2`] });
  const { rows } = await client.query(
    `select eb_partition, eb_offset from receipts where platform_run_id = $1 order by 1, 2`,
    [run],
  );
  t.deepEqual(rows, [
    { eb_partition: 2, eb_offset: '0' },
    { eb_partition: 2, eb_offset: '1' },
    { eb_partition: 3, eb_offset: '0' },
  ]);
  const positions = await readPositions(client, partitions);
  t.deepEqual([...positions.values()].sort(), [1, 2]);
});
