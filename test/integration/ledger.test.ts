/** The receipt ledger on real servers: transactions in Kafka, receipts in PostgreSQL, segments in the object store. */
import { DuckDBInstance } from '@duckdb/node-api';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { reconcile } from '../../apps/ingestion-gate/ledger/index.ts';
import { receiptId, runObjects, sha256Hex } from '../../apps/rails/index.ts';
import {
  eventId,
  KEY,
  LedgerFixture,
  PARTITIONS,
  PAYLOAD_HASH,
  RUN,
  SCENARIO_RUN,
  until,
} from './ledger-fixture.ts';

let fixture: LedgerFixture;
test.before(async () => {
  fixture = await LedgerFixture.open();
});
test.after.always(() => fixture.close());

test.serial(
  'CI-57 CI-86 every committed record has exactly one receipt with its own offset, through restarts and two owners',
  async (t) => {
    let expected = 0;
    const first = fixture.startLedger();
    for (let round = 0; round < 10; round += 1) {
      await fixture.transaction((batch) => {
        for (let i = 0; i < 200; i += 1) fixture.admit(batch, i % PARTITIONS, round * 200 + i);
      });
      expected += 200;
    }
    await fixture.transaction((batch) => {
      for (let i = 0; i < 50; i += 1) fixture.admit(batch, i % PARTITIONS, 9_000 + i);
    }, 'abort');
    await until('the first receipts', async () => (await fixture.receiptCount()) > 0);
    const second = fixture.startLedger();
    for (let round = 10; round < 20; round += 1) {
      await fixture.transaction((batch) => {
        for (let i = 0; i < 200; i += 1) fixture.admit(batch, i % PARTITIONS, round * 200 + i);
      });
      expected += 200;
    }
    await first.stop();
    await until('receipts of everything', async () => (await fixture.receiptCount()) >= expected);
    await second.stop();
    const third = fixture.startLedger();
    await fixture.transaction((batch) => fixture.admit(batch, 0, 4_000));
    expected += 1;
    await until('the last receipt', async () => (await fixture.receiptCount()) >= expected);
    await third.stop();

    const { rows } = await fixture.database.pool.query<{
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
    await fixture.transaction((batch) => {
      fixture.notAdmitted(batch, 1, 5_001, {
        decision: 'DUPLICATE',
        reason_codes: ['DUPLICATE'],
        platform_run_id: RUN,
        scenario_run_id: SCENARIO_RUN,
        event_type: 's3_event_stream_with_fraud_6B',
        event_class: 'traffic_fraud',
        event_id: eventId(1, 1),
        payload_hash: PAYLOAD_HASH,
        partition_key: KEY,
        original_ingress_topic: fixture.settings.topics.ingress,
        original_ingress_partition: 1,
        original_ingress_offset: 1,
      });
      fixture.notAdmitted(batch, 2, 5_002, {
        event_id: 'not\u0000an id',
        raw: Buffer.from([1, 0, 255]),
        raw_sha256: sha256Hex(Buffer.from([1, 0, 255])),
        raw_length: 3,
      });
      fixture.notAdmitted(batch, 3, 5_003, {
        platform_run_id: RUN,
        reason_codes: ['PINS_MISSING'],
        raw: Buffer.from('bad'),
      });
    });
    const before = await fixture.receiptCount();
    const ledger = fixture.startLedger();
    await until('three more receipts', async () => (await fixture.receiptCount()) >= before + 3);
    const { rows: duplicates } = await fixture.database.pool.query(
      `select d.receipt_id, d.eb_topic, d.eb_partition, d.eb_offset = a.eb_offset as same_place, d.event_id, d.reason_codes
     from receipts d join receipts a on a.event_id = d.event_id and a.decision = 'ADMIT' where d.decision = 'DUPLICATE'`,
    );
    t.deepEqual(duplicates, [
      {
        receipt_id: receiptId(RUN, 'DUPLICATE', fixture.settings.topics.ingress, 1, 5_001),
        eb_topic: fixture.settings.topics.traffic,
        eb_partition: 1,
        same_place: true,
        event_id: eventId(1, 1),
        reason_codes: ['DUPLICATE'],
      },
    ]);
    const { rows: quarantined } = await fixture.database.pool.query<Record<string, unknown>>(
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
      for await (const { key } of fixture.bucket.list('')) keys.push(key);
      return keys;
    };
    const quarantineKey = runObjects(RUN).ig.quarantine(fixture.settings.topics.outcomes, 3, 0);
    await until('all segments', async () => {
      const { rows } = await fixture.database.pool.query(
        'select from receipt_segments where archived_records < records',
      );
      return rows.length === 0 && (await segments()).includes(quarantineKey);
    });
    await ledger.stop();
    const counted = await reconcile(fixture.database.pool, RUN, { from: 'rows' });
    t.deepEqual(await reconcile(fixture.database.pool, RUN), counted);
    t.like(counted, { duplicate: 1, quarantined: 1, reasons: { PINS_MISSING: 1 }, unreadable: 0 });
  },
);

test.serial('segments hold the same receipts as the view, readable by others', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-segments-'));
  const duckdb = await DuckDBInstance.create(':memory:');
  const connection = await duckdb.connect();
  try {
    let n = 0;
    for await (const { key } of fixture.bucket.list(`${RUN}/ig/receipts/`)) {
      await writeFile(join(folder, `${String((n += 1))}.parquet`), await fixture.bucket.get(key));
    }
    const read = await connection.runAndReadAll(
      `select receipt_id, event_id, record_offset::varchar as at, decided_at_utc from read_parquet('${folder}/*.parquet') order by 1`,
    );
    const { rows } = await fixture.database.pool.query<Record<string, string>>({
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
