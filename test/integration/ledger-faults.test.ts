/** The ledger when things break: itself, PostgreSQL, the registry, the records. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { CutProxy } from './cut-proxy.ts';
import { eventId, LedgerFixture, PARTITIONS, RUN, until } from './ledger-fixture.ts';

let fixture: LedgerFixture;
/** Records committed to the bus and readable: each must have one receipt. */
let expected = 0;
let nextIngress = 0;
test.before(async () => {
  fixture = await LedgerFixture.open();
});
test.after.always(() => fixture.close());

async function admitMore(records: number): Promise<void> {
  await fixture.transaction((batch) => {
    for (let i = 0; i < records; i += 1)
      fixture.admit(batch, (nextIngress + i) % PARTITIONS, nextIngress + i);
  });
  nextIngress += records;
  expected += records;
}

/** One receipt for each record, none twice, and each with its own place on the bus. */
async function counts(): Promise<readonly number[]> {
  const { rows } = await fixture.database.pool.query<Record<string, string>>(
    `select count(*) as receipts, count(distinct receipt_id) as ids,
       count(distinct (eb_topic, eb_partition, eb_offset)) filter (where decision = 'ADMIT') +
       count(*) filter (where decision <> 'ADMIT') as places from receipts`,
  );
  return Object.values(rows[0]!).map(Number);
}

async function settled(): Promise<void> {
  await until('receipts of everything', async () => (await fixture.receiptCount()) >= expected);
}

function startChild(): ChildProcess {
  return spawn(
    process.execPath,
    ['--import=tsx', fileURLToPath(new URL('ledger-child.ts', import.meta.url))],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        FP_TOPIC_PREFIX: fixture.settings.topics.prefix,
        FP_BUCKET: fixture.settings.objectStore.bucket,
        POSTGRES_DSN: fixture.database.dsn,
      },
    },
  );
}

test.serial('CI-68 CI-95 a ledger killed in mid-run loses no receipt and writes none twice', async (t) => {
  let child = startChild();
  for (let kill = 0; kill < 2; kill += 1) {
    const before = await fixture.receiptCount();
    const producing = (async () => {
      for (let round = 0; round < 20; round += 1) await admitMore(300);
    })();
    await until('some receipts', async () => (await fixture.receiptCount()) > before);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await producing;
    child = startChild();
  }
  await settled();
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.deepEqual(await counts(), [expected, expected, expected]);
});

test.serial(
  'CI-103 PostgreSQL away in mid-run only delays receipts: the ledger stays up, and none is lost or doubled',
  async (t) => {
    const proxy = await CutProxy.to(fixture.database.dsn);
    const settings = { ...fixture.settings, postgres: { dsn: proxy.url(fixture.database.dsn) } };
    const ledger = fixture.startLedger({ settings });
    try {
      await admitMore(500);
      await settled();
      proxy.cut();
      await admitMore(2_000);
      const whileAway = await fixture.receiptCount();
      proxy.mend();
      await settled();
      t.is(whileAway, expected - 2_000);
      // Sessions ended under it, as an operator or a fail-over would, while records keep coming.
      for (let round = 0; round < 5; round += 1) {
        await admitMore(400);
        await fixture.database.pool.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'receipt-ledger'`,
        );
      }
      await settled();
      await ledger.stop();
      t.deepEqual(await counts(), [expected, expected, expected]);
    } finally {
      await proxy.close();
    }
  },
);

test.serial(
  'with the registry away outcomes wait for their schema; receipts of admitted records go on',
  async (t) => {
    const proxy = await CutProxy.to(fixture.settings.schemaRegistry.url);
    const settings = {
      ...fixture.settings,
      schemaRegistry: { url: proxy.url(fixture.settings.schemaRegistry.url) },
    };
    proxy.cut();
    const ledger = fixture.startLedger({ settings });
    try {
      await fixture.transaction((batch) => fixture.notAdmitted(batch, 1, 90_001, { platform_run_id: RUN }));
      await admitMore(100);
      await settled();
      const { rows } = await fixture.database.pool.query(
        `select from receipts where decision = 'QUARANTINE'`,
      );
      t.is(rows.length, 0);
      proxy.mend();
      expected += 1;
      await settled();
      await ledger.stop();
      t.deepEqual(await counts(), [expected, expected, expected]);
    } finally {
      await proxy.close();
    }
  },
);

test.serial(
  'a record the ledger cannot read is kept by its place with the reason, and holds nothing up',
  async (t) => {
    const ledger = fixture.startLedger();
    const { traffic, outcomes } = fixture.settings.topics;
    await fixture.transaction((batch) => {
      fixture.admit(batch, 0, 91_000, { decision: '{"event_id":' });
      fixture.admit(batch, 0, 91_001, { run: 'no run' });
      fixture.admit(batch, 0, 91_002);
      batch.add({ topic: outcomes, partition: 0, key: 'k', value: Buffer.from('not avro'), headers: [] });
      batch.add({ topic: outcomes, partition: 0, key: 'k', value: null, headers: [] });
      fixture.notAdmitted(batch, 0, 91_003);
    });
    expected += 2;
    await settled();
    await ledger.stop();
    const { rows } = await fixture.database.pool.query<{ topic: string; partition: number; reason: string }>(
      'select topic, partition, reason from unreadable_records order by topic, record_offset',
    );
    t.deepEqual(
      rows.map(({ topic, partition }) => [topic, partition]),
      [
        [traffic, 0],
        [traffic, 0],
        [outcomes, 0],
        [outcomes, 0],
      ],
    );
    t.regex(rows[1]!.reason, /platform_run_id/);
    t.deepEqual(await counts(), [expected, expected, expected]);
    const { rows: last } = await fixture.database.pool.query('select from receipts where event_id = $1', [
      eventId(0, 91_002),
    ]);
    t.is(last.length, 1);
  },
);
