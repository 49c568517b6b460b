/** What outlives the bus and the database: segments in the object store, and the ledger made anew from the bus. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBBlobValue, DuckDBInstance } from '@duckdb/node-api';
import test from 'ava';
import { checkArchive } from '../../apps/ingestion-gate/bus/archive-check.ts';
import { archiveAll, LedgerError, rebuildLedger } from '../../apps/ingestion-gate/ledger/index.ts';
import { dropRun } from '../../apps/ingestion-gate/ledger/run-partitions.ts';
import { runObjects, sha256Hex } from '../../apps/rails/index.ts';
import { LedgerFixture, PARTITIONS, RUN, until } from './ledger-fixture.ts';

const OTHER_RUN = 'platform_20260103T000000Z';
const RAW = Buffer.from([0, 1, 255, 0x80, 0x27, 0x0a]);

let fixture: LedgerFixture;
test.before(async () => {
  fixture = await LedgerFixture.open();
});
test.after.always(() => fixture.close());

test.serial(
  'CI-90 CI-94 the archive holds every admitted record of a run as it is on the bus: place, time, key, headers, bytes',
  async (t) => {
    const hostile = Buffer.from([0, 0, 0, 0, 7, 255, 0, 10, 13, 0x80]);
    await fixture.transaction((batch) => {
      for (let i = 0; i < 400; i += 1) {
        const run = i % 3 === 0 ? OTHER_RUN : RUN;
        fixture.admit(batch, i % PARTITIONS, i, {
          run,
          value: i % 5 === 0 ? hostile : Buffer.from(`value ${String(i)}`),
        });
      }
      fixture.notAdmitted(batch, 2, 900, {
        platform_run_id: RUN,
        raw: RAW,
        raw_sha256: sha256Hex(RAW),
        raw_length: RAW.length,
      });
    });
    await fixture.transaction((batch) => fixture.admit(batch, 0, 901), 'abort');
    await fixture.transaction((batch) => fixture.admit(batch, 0, 902, { value: Buffer.alloc(0) }));
    const ledger = fixture.startLedger();
    await until('all receipts', async () => (await fixture.receiptCount()) === 402);
    await fixture.archived();
    await ledger.stop();

    const mine = await checkArchive(fixture.settings, RUN);
    const others = await checkArchive(fixture.settings, OTHER_RUN);
    t.deepEqual([mine.differences, others.differences], [[], []]);
    t.deepEqual([mine.equal, others.equal], [267, 134]);
    t.deepEqual([mine.archive_only, mine.segments, others.segments], [0, PARTITIONS, PARTITIONS]);
  },
);

test.serial(
  'CI-90 an archive that differs from the bus in one byte, or lacks a segment, is found',
  async (t) => {
    const { traffic } = fixture.settings.topics;
    const key = runObjects(RUN).eb(traffic, 1, 0);
    const kept = await fixture.bucket.get(key);
    await fixture.bucket.put(
      key,
      await rewritten(kept, `update r set value = 'x'::blob where "offset" = (select min("offset") from r)`),
    );
    const changed = await checkArchive(fixture.settings, RUN);
    t.is(changed.differences.length, 1);
    t.regex(changed.differences[0]!, /is another record in the archive/);
    await fixture.bucket.put(
      key,
      await rewritten(kept, `delete from r where "offset" = (select max("offset") from r)`),
    );
    t.regex((await checkArchive(fixture.settings, RUN)).differences.join(), /is not in the archive/);
    await fixture.bucket.remove(key);
    t.regex((await checkArchive(fixture.settings, RUN)).differences.join(), /is missing/);
    await fixture.bucket.put(key, kept);
    t.deepEqual((await checkArchive(fixture.settings, RUN)).differences, []);
  },
);

test.serial("a quarantined record's own bytes come back from its segment", async (t) => {
  const { outcomes } = fixture.settings.topics;
  const rows = await parquetRows(
    await fixture.bucket.get(runObjects(RUN).ig.quarantine(outcomes, 2, 0)),
    'select raw, reason_codes from segment',
  );
  t.is(rows.length, 1);
  const raw = rows[0]!['raw'];
  t.true(raw instanceof DuckDBBlobValue && RAW.equals(raw.bytes));
  t.is(rows[0]!['reason_codes'], '["UNPARSEABLE"]');
});

test.serial(
  'CI-68 the ledger made anew from the bus has the same rows, and its segments the same bytes',
  async (t) => {
    const before = await fixture.objects();
    const { rows: receipts } = await fixture.database.pool.query(
      'select * from receipts order by receipt_id',
    );
    for (const key of before.keys()) await fixture.bucket.remove(key);
    const rebuilt = await rebuildLedger({
      settings: fixture.settings,
      logger: fixture.logger,
      signal: new AbortController().signal,
    });
    t.deepEqual(rebuilt.receipts, 402);
    t.deepEqual([rebuilt.receipts_before, rebuilt.identical], [402, true]);
    const { rows: again } = await fixture.database.pool.query('select * from receipts order by receipt_id');
    t.deepEqual(again, receipts);
    const after = await fixture.objects();
    t.deepEqual([...after.keys()], [...before.keys()]);
    t.true([...before].every(([key, bytes]) => after.get(key)!.equals(bytes)));
  },
);

test.serial('a rebuild under a running ledger is refused with nothing touched', async (t) => {
  const ledger = fixture.startLedger();
  const { groups } = fixture.settings;
  await until('membership', async () => {
    const [group] = await fixture.admin.describeGroups([groups.ledger]);
    return group?.state === 'Stable';
  });
  const signal = new AbortController().signal;
  const error = await t.throwsAsync(
    rebuildLedger({ settings: fixture.settings, logger: fixture.logger, signal }),
    {
      instanceOf: LedgerError,
    },
  );
  t.is(error.code, 'LEDGER_RUNNING');
  t.is(await fixture.receiptCount(), 402);
  await ledger.stop();
});

test.serial(
  'a run is dropped whole, but not before it is archived; nothing of it is read again',
  async (t) => {
    const { pool } = fixture.database;
    await pool.query(
      `update receipt_segments set archived_records = 0 where platform_run_id = $1 and partition = 0`,
      [OTHER_RUN],
    );
    const client = await fixture.database.connect();
    const error = await t.throwsAsync(dropRun(client, OTHER_RUN), { instanceOf: LedgerError });
    t.is(error.code, 'RUN_NOT_ARCHIVED');
    t.is(await archiveAll(fixture.settings, fixture.logger, new AbortController().signal), 1);
    await dropRun(client, OTHER_RUN);
    t.is(await fixture.receiptCount(), 402 - 134);
    const ledger = fixture.startLedger();
    await fixture.transaction((batch) => fixture.admit(batch, 3, 950, { run: OTHER_RUN }));
    await until('the next receipt', async () => (await fixture.receiptCount()) === 402 - 134 + 1);
    await ledger.stop();
  },
);

test.serial(
  'CI-90 what retention has deleted from the bus stands in the archive, and a rebuild would say what it loses',
  async (t) => {
    await archiveAll(fixture.settings, fixture.logger, new AbortController().signal);
    const { traffic } = fixture.settings.topics;
    const ends = await fixture.admin.topicOffsets(traffic);
    const { high } = ends[1]!;
    await fixture.admin.deleteRecords(traffic, [{ partition: 1, offset: high }]);
    const check = await checkArchive(fixture.settings, RUN);
    t.deepEqual(check.differences, []);
    t.true(check.archive_only > 0);
    t.is(check.equal + check.archive_only, 267);
    const signal = new AbortController().signal;
    const error = await t.throwsAsync(
      rebuildLedger({ settings: fixture.settings, logger: fixture.logger, signal }),
      {
        instanceOf: LedgerError,
      },
    );
    t.is(error.code, 'REBUILD_WOULD_LOSE');
    t.regex(error.message, new RegExp(`${traffic}/1 begins at offset ${String(high)}`));
  },
);

/** The segment with a change made to it, as Parquet again. */
async function rewritten(segment: Buffer, change: string): Promise<Buffer> {
  return inFolder(async (folder) => {
    await writeFile(join(folder, 'in.parquet'), segment);
    const duckdb = await DuckDBInstance.create(':memory:');
    const connection = await duckdb.connect();
    await connection.run(`create table r as from read_parquet('${folder}/in.parquet')`);
    await connection.run(change);
    await connection.run(`copy r to '${folder}/out.parquet' (format parquet)`);
    connection.closeSync();
    return readFile(join(folder, 'out.parquet'));
  });
}

async function parquetRows(segment: Buffer, query: string) {
  return inFolder(async (folder) => {
    await writeFile(join(folder, 'in.parquet'), segment);
    const duckdb = await DuckDBInstance.create(':memory:');
    const connection = await duckdb.connect();
    await connection.run(`create view segment as from read_parquet('${folder}/in.parquet')`);
    const rows = (await connection.runAndReadAll(query)).getRowObjects();
    connection.closeSync();
    return rows;
  });
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'ledger-archive-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}
