import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import test from 'ava';
import { filesBelow } from '../../../apps/oracle-store/engine-folder.ts';
import { bundleDigest } from '../../../apps/oracle-store/gate-verification.ts';
import { sampleOutputs } from '../../../apps/oracle-store/sample/output-queries.ts';
import {
  sampleIdentity,
  writeSampleWorld,
  type SampleRequest,
} from '../../../apps/oracle-store/sample/sample-world.ts';
import {
  bundlePath,
  GATE_MAP,
  OUTPUT_CATALOGUE,
  outputDefinition,
  outputPath,
  sha256Hex,
} from '../../../apps/rails/index.ts';

const REQUEST: SampleRequest = { events: 6_000, seed: '18446744073709551615', days: 2, start: '2025-01-06' };
let parent: string;
let folder: string;
let connection: DuckDBConnection;

test.before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'sample-world-'));
  folder = join(parent, 'world');
  await writeSampleWorld(REQUEST, folder);
  connection = await (await DuckDBInstance.create(':memory:')).connect();
  for (const outputId of sampleOutputs()) {
    const files = join(folder, outputPath(outputDefinition(outputId), sampleIdentity(REQUEST).world));
    await connection.run(
      `CREATE VIEW ${outputId} AS SELECT * FROM read_parquet('${files}', hive_partitioning = false)`,
    );
  }
});

test.after.always(() => rm(parent, { recursive: true, force: true }));

const value = async (sql: string): Promise<unknown> => (await connection.runAndReadAll(sql)).getRows()[0]![0];

test('the four outputs of the fraud mode have exactly the rows asked for, whatever the number', async (t) => {
  for (const events of [100, 101, 102, 103, 104, 105, 999]) {
    const world = await writeSampleWorld({ ...REQUEST, events }, join(parent, `exact-${events}`));
    const total =
      world.rows['arrival_events_5B']! +
      world.rows['s1_arrival_entities_6B']! +
      world.rows['s3_flow_anchor_with_fraud_6B']! +
      world.rows['s3_event_stream_with_fraud_6B']!;
    t.is(total, events);
  }
});

test('the same request gives the same bytes; another seed gives others', async (t) => {
  const twin = join(parent, 'twin');
  await writeSampleWorld(REQUEST, twin);
  const files = await filesBelow(folder);
  t.deepEqual(await filesBelow(twin), files);
  for (const file of files) {
    t.true((await readFile(join(twin, file))).equals(await readFile(join(folder, file))), file);
  }
  t.not(sampleIdentity({ ...REQUEST, seed: '42' }).runId, sampleIdentity(REQUEST).runId);
});

test('a finished world is found again, another request is refused its folder', async (t) => {
  t.false((await writeSampleWorld(REQUEST, folder)).created);
  await t.throwsAsync(writeSampleWorld({ ...REQUEST, seed: '1' }, folder), { message: /holds engine run/ });
});

test('bad requests are refused by the name of their option', (t) => {
  t.throws(() => sampleIdentity({ ...REQUEST, events: 99 }), { message: /--events 99/ });
  t.throws(() => sampleIdentity({ ...REQUEST, seed: '18446744073709551616' }), { message: /--seed/ });
  t.throws(() => sampleIdentity({ ...REQUEST, days: 0 }), { message: /--days 0/ });
  t.throws(() => sampleIdentity({ ...REQUEST, start: '2025-13-01' }), { message: /--start 2025-13-01/ });
});

test('every output has the columns of the catalogue with exact 64-bit types, and its primary key is unique', async (t) => {
  const types = {
    id64: 'UBIGINT',
    int64: 'BIGINT',
    string: 'VARCHAR',
    boolean: 'BOOLEAN',
    double: 'DOUBLE',
    amount: 'DOUBLE',
    micros: 'VARCHAR',
  };
  t.deepEqual([...sampleOutputs()].sort(), [...OUTPUT_CATALOGUE.keys()].sort());
  for (const outputId of sampleOutputs()) {
    const output = outputDefinition(outputId);
    const described = (await connection.runAndReadAll(`DESCRIBE ${outputId}`)).getRows();
    t.deepEqual(
      described.slice(4).map(([name, type]) => `${String(name)} ${String(type)}`),
      output.columns.map((column) => `${column.name} ${types[column.type]}`),
      outputId,
    );
    const key = output.row_key.join(', ');
    t.is(await value(`SELECT count(*) - count(DISTINCT (${key})) FROM ${outputId}`), 0n, outputId);
    for (const column of output.columns.filter((each) => !each.nullable)) {
      t.is(
        await value(`SELECT count(*) FROM ${outputId} WHERE ${column.name} IS NULL`),
        0n,
        `${outputId}.${column.name}`,
      );
    }
  }
  t.true(((await value('SELECT max(flow_id) FROM s3_flow_anchor_with_fraud_6B')) as bigint) > 1n << 63n);
});

for (const [anchors, events] of [
  ['s2_flow_anchor_baseline_6B', 's2_event_stream_baseline_6B'],
  ['s3_flow_anchor_with_fraud_6B', 's3_event_stream_with_fraud_6B'],
] as const) {
  test(`in ${events} no event is before its anchor, nor an anchor before its arrival`, async (t) => {
    t.is(
      await value(
        `SELECT count(*) FROM ${anchors} a LEFT JOIN arrival_events_5B r USING (merchant_id, arrival_seq)
         LEFT JOIN s1_arrival_entities_6B e USING (merchant_id, arrival_seq)
         WHERE NOT coalesce(r.ts_utc <= e.ts_utc AND e.ts_utc <= a.ts_utc AND a.party_id = e.party_id, false)`,
      ),
      0n,
    );
    t.is(
      await value(
        `SELECT count(*) FROM ${events} v LEFT JOIN ${anchors} a USING (flow_id)
         WHERE NOT coalesce(a.ts_utc <= v.ts_utc, false)`,
      ),
      0n,
    );
    t.is(
      await value(
        `SELECT count(*) FROM (SELECT ts_utc < lag(ts_utc) OVER w AS back, event_seq - lag(event_seq) OVER w AS step
         FROM ${events} WINDOW w AS (PARTITION BY flow_id ORDER BY event_seq)) WHERE back OR step <> 1`,
      ),
      0n,
    );
    t.is(
      await value(`SELECT count(*) FROM ${events} WHERE (event_seq = 1) <> (event_type = 'AUTH_REQUEST')`),
      0n,
    );
    t.is(await value(`SELECT count(*) FROM ${anchors} ANTI JOIN ${events} USING (flow_id)`), 0n);
  });
}

test('a merchant’s arrivals are numbered in order of time without gaps', async (t) => {
  t.is(
    await value(
      `SELECT count(*) FROM (SELECT arrival_seq, row_number() OVER (PARTITION BY merchant_id ORDER BY ts_utc,
       arrival_seq) AS n FROM arrival_events_5B) WHERE arrival_seq <> n`,
    ),
    0n,
  );
});

test('labels agree with the flags in the streams, and frauds have a campaign', async (t) => {
  t.is(
    await value(
      `SELECT count(*) FROM s3_event_stream_with_fraud_6B e JOIN s3_flow_anchor_with_fraud_6B a USING (flow_id)
       LEFT JOIN s4_event_labels_6B l USING (flow_id, event_seq) LEFT JOIN s4_flow_truth_labels_6B f USING (flow_id)
       LEFT JOIN s3_campaign_catalogue_6B c ON c.campaign_id = e.campaign_id
       WHERE NOT coalesce(e.fraud_flag = a.fraud_flag AND l.is_fraud_truth = e.fraud_flag
         AND f.is_fraud_truth = e.fraud_flag AND (c.campaign_label IS NOT DISTINCT FROM f.fraud_label)
         AND (f.fraud_label IS NOT NULL) = e.fraud_flag, false)`,
    ),
    0n,
  );
  const share = Number(await value('SELECT avg(fraud_flag::INT) FROM s3_flow_anchor_with_fraud_6B'));
  t.true(share > 0.015 && share < 0.045, `fraud share ${share}`);
  t.true(Number(await value('SELECT count(DISTINCT campaign_label) FROM s3_campaign_catalogue_6B')) >= 3);
  t.is(
    await value(
      `SELECT count(*) FROM s4_case_timeline_6B c LEFT JOIN s4_flow_bank_view_6B b USING (flow_id)
       JOIN s3_flow_anchor_with_fraud_6B a USING (flow_id)
       WHERE NOT coalesce(b.is_fraud_bank_view AND c.ts_utc > a.ts_utc, false)`,
    ),
    0n,
  );
});

test('fraud shows in what is known online: amounts and devices never seen before', async (t) => {
  const spread = async (label: string): Promise<number> =>
    Number(
      await value(
        `SELECT median(a.amount) FROM s3_flow_anchor_with_fraud_6B a JOIN s4_flow_truth_labels_6B f USING (flow_id)
         WHERE coalesce(f.fraud_label, 'none') = '${label}'`,
      ),
    );
  t.true((await spread('CARD_TESTING')) < 4);
  t.true((await spread('ACCOUNT_TAKEOVER')) > 4 * (await spread('none')));
  const cardsOfOneDevice = await value(
    `SELECT max(n) FROM (SELECT count(DISTINCT instrument_id) AS n FROM s3_flow_anchor_with_fraud_6B
     WHERE fraud_flag GROUP BY device_id)`,
  );
  t.true(Number(cardsOfOneDevice) >= 3);
});

test('activity follows the hours of the day', async (t) => {
  const hour = (h: string): Promise<unknown> =>
    value(`SELECT count(*) FROM arrival_events_5B WHERE substr(ts_utc, 12, 2) = '${h}'`);
  t.true(Number(await hour('18')) > 3 * Number(await hour('03')));
});

test('each gate’s flag holds the digest its kind asks for, and a flipped byte changes it', async (t) => {
  const { world } = sampleIdentity(REQUEST);
  for (const gate of GATE_MAP.values()) {
    const bundle = bundlePath(gate, world);
    const flag = await readFile(join(folder, bundle, '_passed.flag'), 'utf8');
    const flip = async (path: string): Promise<Buffer> => {
      const bytes = await readFile(join(folder, path));
      if (path.endsWith('report.json')) bytes[5]! ^= 1;
      return bytes;
    };
    const list = (): Promise<string[]> => filesBelow(join(folder, bundle));
    const digest = await bundleDigest(gate, bundle, (path) => readFile(join(folder, path)), list);
    t.true(flag.includes(digest!), gate.gate_id);
    t.not(await bundleDigest(gate, bundle, flip, list), digest, gate.gate_id);
  }
});

test('the digests of gates 1A, 3A, 5B and 6A are those of their definitions, computed here from scratch', async (t) => {
  const { world } = sampleIdentity(REQUEST);
  const read = (segment: string, layer: number, name: string): Promise<Buffer> =>
    readFile(
      join(
        folder,
        `data/layer${layer}/${segment}/validation/manifest_fingerprint=${world.manifest_fingerprint}`,
        name,
      ),
    );
  const hex = /[a-f0-9]{64}/;
  const flag = async (segment: string, layer: number): Promise<string> =>
    hex.exec((await read(segment, layer, '_passed.flag')).toString())![0];
  const sorted = ['MANIFEST.json', 'checks/checksums.json', 'checks/report.json'];
  const concat = async (segment: string, layer: number, names: readonly string[]): Promise<string> =>
    sha256Hex(Buffer.concat(await Promise.all(names.map((name) => read(segment, layer, name)))));
  t.is(await flag('1A', 1), await concat('1A', 1, sorted));
  t.is(await flag('5B', 2), await concat('5B', 2, sorted));
  t.is(
    await flag('6A', 3),
    await concat('6A', 3, ['MANIFEST.json', 'checks/report.json', 'checks/checksums.json']),
  );
  const index = JSON.parse((await read('3A', 1, 'index.json')).toString()) as { members: { path: string }[] };
  const digests = await Promise.all(
    index.members.map(async ({ path }) => sha256Hex(await read('3A', 1, path))),
  );
  t.is(await flag('3A', 1), sha256Hex(digests.join('')));
});
