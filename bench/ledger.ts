/**
 * How fast the ledger turns bus records into committed rows: packed batches in memory, decoded, encoded for COPY and
 * written to the PostgreSQL of POSTGRES_DSN in a database of its own. Kafka is left out, so that the number is the
 * ledger's and PostgreSQL's. Usage: node --import tsx bench/ledger.ts [records]
 */
import { AdmittedRecordReader } from '../apps/ingestion-gate/ledger/admitted-record.ts';
import { readPositions } from '../apps/ingestion-gate/ledger/positions.ts';
import { ReceiptBatch } from '../apps/ingestion-gate/ledger/receipt-batch.ts';
import { ReceiptKinds } from '../apps/ingestion-gate/ledger/receipt-kinds.ts';
import { ReceiptWriter } from '../apps/ingestion-gate/ledger/receipt-writer.ts';
import { compileDecisionHeader, sha256Hex } from '../apps/rails/index.ts';
import { packedRecords } from '../test/apps/ingestion-gate/ledger/packed-records.ts';
import { ledgerDatabase } from '../test/integration/ledger-database.ts';

const TOPIC = 'fp.bus.traffic.v1';
const RUN = 'platform_20260101T000000Z';
const POLL = 4_000;
const BATCH = 20_000;
const records = Number(process.argv[2] ?? 500_000);

const header = compileDecisionHeader('fp.ingress.v1', { policy_id: 'ig.gate', revision: '1' });
const polls = Array.from({ length: Math.ceil(records / POLL) }, (_, poll) =>
  packedRecords(
    Array.from({ length: POLL }, (__, i) => {
      const offset = poll * POLL + i;
      const id = sha256Hex(String(offset));
      return {
        partition: i % 4,
        offset,
        timestamp: Date.now(),
        key: id,
        headers: {
          event_type: 's3_event_stream_with_fraud_6B',
          event_class: 'traffic_fraud',
          platform_run_id: RUN,
          decision: header(i % 4, offset, id, 'a'.repeat(32), id, 'ig.partitioning.v0.traffic'),
        },
      };
    }),
  ),
);

const database = await ledgerDatabase();
database.pool.on('connect', (client) => void client.query('set synchronous_commit = off'));
const positions = [0, 1, 2, 3].map((partition) => ({ topic: TOPIC, partition }));
const client = await database.pool.connect();
await readPositions(client, positions);
client.release();
const kinds = new ReceiptKinds();
const reader = new AdmittedRecordReader(kinds);
const writer = new ReceiptWriter(database.pool, kinds);
const next = [0, 0, 0, 0];
let filling = new ReceiptBatch();
let spare = new ReceiptBatch();
let writing: Promise<unknown> = Promise.resolve();
let encodeMs = 0;
const began = performance.now();
for (const [number, batch] of polls.entries()) {
  const encodeBegan = performance.now();
  for (let i = 0; i < batch.count; i += 1) {
    const partition = batch.partition[i]!;
    const slice = filling.slice(TOPIC, partition, next[partition]!);
    reader.read(batch, i, slice);
    slice.next = next[partition] = batch.offset[i]! + 1;
  }
  encodeMs += performance.now() - encodeBegan;
  if (filling.rows >= BATCH || number === polls.length - 1) {
    await writing;
    spare.clear();
    writing = writer.write(filling);
    [filling, spare] = [spare, filling];
  }
}
await writing;
const seconds = (performance.now() - began) / 1000;
const rows = polls.length * POLL;
process.stdout.write(
  `${rows} receipts in ${seconds.toFixed(2)} s: ${Math.round(rows / seconds)} rows/s; ` +
    `decode and encode ${((encodeMs * 1000) / rows).toFixed(2)} us a record\n`,
);
await database.drop();
