import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { tableFromIPC } from 'apache-arrow';
import test from 'ava';
import { checkWorld } from '../../apps/oracle-store/check.ts';
import { filesBelow } from '../../apps/oracle-store/engine-folder.ts';
import {
  outputsOfModes,
  prepareWorld,
  readPack,
  readViewManifest,
  sampleIdentity,
  verifyGates,
  type CheckReport,
  type OracleCode,
  type PreparedWorld,
} from '../../apps/oracle-store/index.ts';
import { packEngineRun, sealPack, tombstonePack } from '../../apps/oracle-store/pack-writer.ts';
import { writeSampleWorld } from '../../apps/oracle-store/sample/sample-world.ts';
import { syncEngineRun } from '../../apps/oracle-store/sync.ts';
import { buildView } from '../../apps/oracle-store/view-builder.ts';
import { GATE_MAP, outputDefinition } from '../../apps/rails/index.ts';
import { ObjectStore, type Bucket } from '../../lib/objectstore/index.ts';

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: these tests need a running stack`);
  return value;
}

const bucketName = `oracle-store-t${randomUUID().slice(0, 8)}`;
const EVENTS = 2_000;
const EVENT_STREAM = 's3_event_stream_with_fraud_6B';
let parent: string;
let writer: ObjectStore;
let reader: ObjectStore;
let bucket: Bucket;
let main: PreparedWorld;
let nextSeed = 100;

test.before(async () => {
  parent = await mkdtemp(join(tmpdir(), 'oracle-store-'));
  const endpoint = required('S3_ENDPOINT');
  writer = ObjectStore.connect({
    endpoint,
    accessKey: required('ORACLE_S3_ACCESS_KEY'),
    secretKey: required('ORACLE_S3_SECRET_KEY'),
  });
  reader = ObjectStore.connect({
    endpoint,
    accessKey: required('S3_ACCESS_KEY'),
    secretKey: required('S3_SECRET_KEY'),
  });
  await writer.ensureBucket(bucketName);
  bucket = writer.bucket(bucketName);
  main = await prepareWorld(writer, {
    bucket: bucketName,
    sample: { events: EVENTS, seed: '1', days: 1, start: '2025-01-06' },
    folder: join(parent, 'main'),
    modes: ['fraud', 'baseline'],
  });
});

test.after.always(async () => {
  for await (const { key } of bucket.list('')) await bucket.remove(key);
  await writer.removeBucket(bucketName);
  writer.close();
  reader.close();
  await rm(parent, { recursive: true, force: true });
});

/** A world of its own in the bucket, for a test to damage. */
async function freshWorld(): Promise<{ folder: string; engineRunRoot: string; engineKey: string }> {
  const seed = String(nextSeed++);
  const folder = join(parent, seed);
  await writeSampleWorld({ events: 500, seed, days: 1, start: '2025-01-06' }, folder);
  const { engineRunRoot, engineRunId } = await syncEngineRun(writer, bucketName, folder);
  return { folder, engineRunRoot, engineKey: `engine/${engineRunId}` };
}

async function freshPack() {
  const world = await freshWorld();
  const { packRoot } = await packEngineRun(writer, { engineRunRoot: world.engineRunRoot });
  return { ...world, packRoot, packKey: packRoot.slice(`s3://${bucketName}/`.length) };
}

async function flipByte(key: string, at: number): Promise<void> {
  const bytes = await bucket.get(key);
  bytes[at]! ^= 1;
  await bucket.put(key, bytes);
}

const codesOf = (report: CheckReport): readonly OracleCode[] => [
  ...new Set(report.findings.map((finding) => finding.code)),
];

test('CI-1 sync copies an engine run byte for byte and is re-runnable', async (t) => {
  const { folder, engineKey } = await freshWorld();
  const files = await filesBelow(folder);
  for (const file of files) {
    t.true((await bucket.get(`${engineKey}/${file}`)).equals(await readFile(join(folder, file))), file);
  }
  t.like(await syncEngineRun(writer, bucketName, folder), {
    files: files.length,
    uploaded: 0,
    skipped: files.length,
  });
  await bucket.remove(`${engineKey}/${files[3]!}`);
  t.like(await syncEngineRun(writer, bucketName, folder), { uploaded: 1, skipped: files.length - 1 });
});

test('CI-1 sync never overwrites what is there, and refuses a run that is not finished', async (t) => {
  const { folder, engineKey } = await freshWorld();
  await flipByte(`${engineKey}/run_receipt.json`, 20);
  await t.throwsAsync(syncEngineRun(writer, bucketName, folder), { code: 'SYNC_CONFLICT' });
  await rm(join(folder, 'run_receipt.json'));
  await t.throwsAsync(syncEngineRun(writer, bucketName, folder), { code: 'RUN_RECEIPT_UNREADABLE' });
  await t.throwsAsync(syncEngineRun(writer, bucketName, join(folder, 'nowhere')), {
    code: 'ENGINE_ROOT_NOT_FOUND',
  });
});

test('CI-2 pack writes the manifest, then the seal, each once, apart from the engine’s tree', async (t) => {
  const { engineRunRoot, engineKey, packRoot, packKey } = await freshPack();
  const before: string[] = [];
  for await (const { key } of bucket.list(packKey)) before.push(key.slice(packKey.length));
  t.deepEqual(before, ['_oracle_pack_manifest.json']);
  await t.throwsAsync(readPack(reader, packRoot), { code: 'PACK_NOT_SEALED' });
  t.true((await sealPack(writer, packRoot)).created);
  const pack = await readPack(reader, packRoot);
  t.is(pack.engineRunRoot, engineRunRoot);
  t.is(pack.manifest.outputs.length, 12);
  for await (const { key } of bucket.list(engineKey))
    t.false(key.includes('_SEALED') || key.includes('_oracle_pack'));
});

test('CI-3 packing the same world again changes nothing; other contents are MANIFEST_MISMATCH', async (t) => {
  const { engineRunRoot, engineKey, packRoot, packKey } = await freshPack();
  const stored = await bucket.get(`${packKey}_oracle_pack_manifest.json`);
  t.like(await packEngineRun(writer, { engineRunRoot }), { packRoot, created: false });
  t.true((await bucket.get(`${packKey}_oracle_pack_manifest.json`)).equals(stored));
  const { parts } = (await packEngineRun(writer, { engineRunRoot })).manifest.outputs[0]!;
  await flipByte(`${engineKey}/${parts[0]!.path}`, 100);
  await t.throwsAsync(packEngineRun(writer, { engineRunRoot }), { code: 'MANIFEST_MISMATCH' });
});

test('CI-3 a seal is final: the same again changes nothing, another one is SEAL_MISMATCH', async (t) => {
  const { packRoot, packKey } = await freshPack();
  const { seal } = await sealPack(writer, packRoot);
  t.deepEqual(await sealPack(writer, packRoot), { seal, created: false });
  await t.throwsAsync(sealPack(writer, packRoot, 'SEALED_FAILED'), { code: 'SEAL_MISMATCH' });
  const manifest = (await bucket.get(`${packKey}_oracle_pack_manifest.json`)).toString();
  await bucket.put(`${packKey}_oracle_pack_manifest.json`, Buffer.from(manifest.replace('"v1"', '"v1" ')));
  await t.throwsAsync(readPack(reader, packRoot), { code: 'SEAL_MISMATCH' });
});

test('CI-4 a pack sealed as failed is refused', async (t) => {
  const { packRoot } = await freshPack();
  await sealPack(writer, packRoot, 'SEALED_FAILED');
  await t.throwsAsync(readPack(reader, packRoot), { code: 'PACK_SEALED_FAILED' });
  const report = await checkWorld(reader, { packRoot });
  t.deepEqual([report.status, ...codesOf(report)], ['FAIL', 'PACK_SEALED_FAILED']);
});

test('CI-5 an unsealed pack fails in strict mode and is a warning otherwise', async (t) => {
  const { packRoot } = await freshPack();
  const strict = await checkWorld(reader, { packRoot });
  t.deepEqual([strict.status, ...codesOf(strict)], ['FAIL', 'PACK_NOT_SEALED']);
  const lenient = await checkWorld(reader, { packRoot, strictSeal: false });
  t.deepEqual([lenient.status, ...codesOf(lenient)], ['WARN', 'PACK_NOT_SEALED']);
});

test('CI-6 check is OK for a whole world and lists every gate', async (t) => {
  const report = await checkWorld(reader, { packRoot: main.pack_root, deep: true });
  t.is(report.status, 'OK');
  t.deepEqual(report.findings, []);
  t.deepEqual(Object.keys(report.gates).sort(), [...GATE_MAP.keys()].sort());
  const withoutPack = await checkWorld(reader, { engineRunRoot: main.engine_run_root });
  t.deepEqual([withoutPack.status, ...codesOf(withoutPack)], ['WARN', 'PACK_MANIFEST_MISSING']);
});

test('CI-6 CI-7 check names what is broken by its code', async (t) => {
  const outcome = async (
    damage: (world: { engineKey: string; packKey: string; parts: Map<string, string> }) => Promise<unknown>,
    request: { deep?: boolean; outputIds?: string[] } = {},
  ): Promise<readonly string[]> => {
    const world = await freshPack();
    const { manifest } = await packEngineRun(writer, { engineRunRoot: world.engineRunRoot });
    await sealPack(writer, world.packRoot);
    const parts = new Map(
      manifest.outputs.map((output) => [output.output_id, `${world.engineKey}/${output.parts[0]!.path}`]),
    );
    await damage({ ...world, parts });
    const report = await checkWorld(reader, { packRoot: world.packRoot, ...request });
    return [report.status, ...codesOf(report)];
  };
  const gateFolder = async (engineKey: string, segment: string): Promise<string> => {
    for await (const { key } of bucket.list(engineKey)) {
      if (key.includes(`/${segment}/validation/`) && key.endsWith('_passed.flag'))
        return key.replace('_passed.flag', '');
    }
    throw new Error(`no bundle of ${segment}`);
  };

  t.deepEqual(await outcome(({ engineKey }) => bucket.remove(`${engineKey}/run_receipt.json`)), [
    'FAIL',
    'RUN_RECEIPT_UNREADABLE',
  ]);
  t.deepEqual(
    await outcome(({ engineKey }) => bucket.put(`${engineKey}/run_receipt.json`, Buffer.from('{}'))),
    ['FAIL', 'RUN_RECEIPT_INVALID'],
  );
  t.deepEqual(await outcome(({ parts }) => bucket.remove(parts.get(EVENT_STREAM)!)), [
    'FAIL',
    'OUTPUT_MISSING',
    'OBJECT_MISSING',
  ]);
  t.deepEqual(await outcome(({ parts }) => flipByte(parts.get(EVENT_STREAM)!, 200), { deep: true }), [
    'FAIL',
    'DIGEST_MISMATCH',
  ]);
  t.deepEqual(await outcome(() => Promise.resolve(), { outputIds: ['s9_nothing'] }), [
    'FAIL',
    'OUTPUT_UNKNOWN',
  ]);
  t.deepEqual(
    await outcome(async ({ engineKey }) => bucket.remove(`${await gateFolder(engineKey, '5A')}_passed.flag`)),
    ['FAIL', 'GATE_RECEIPT_MISSING'],
  );
  t.deepEqual(
    await outcome(async ({ engineKey }) =>
      flipByte(`${await gateFolder(engineKey, '2B')}checks/report.json`, 9),
    ),
    ['FAIL', 'GATE_EVIDENCE_MISMATCH'],
  );
  t.deepEqual(
    await outcome(({ packKey }) => bucket.put(`${packKey}_oracle_pack_manifest.json`, Buffer.from('x'))),
    ['FAIL', 'PACK_MANIFEST_INVALID'],
  );
  t.deepEqual(await outcome(({ packKey }) => bucket.remove(`${packKey}_oracle_pack_manifest.json`)), [
    'FAIL',
    'PACK_MANIFEST_MISSING',
  ]);
});

test('CI-6 the command prints the report and exits 1 on FAIL', async (t) => {
  const { packRoot } = await freshPack();
  const fp = (...args: readonly string[]) =>
    promisify(execFile)(
      process.execPath,
      ['apps/cli/fp.mjs', 'oracle', 'check', '--pack-root', packRoot, ...args],
      {
        env: { ...process.env, FP_ORACLE_BUCKET: bucketName },
      },
    );
  const failed = await t.throwsAsync<Error & { code?: number; stdout?: string }>(fp('--json'));
  t.is(failed.code, 1);
  t.is((JSON.parse(failed.stdout!) as CheckReport).status, 'FAIL');
  t.regex((await fp('--allow-unsealed')).stdout, /^WARN .*\n {2}WARN {2}PACK_NOT_SEALED/);
});

test('CI-7 a world without a required output cannot be packed; truth outputs are optional', async (t) => {
  const { engineRunRoot, engineKey } = await freshWorld();
  const remove = async (outputId: string): Promise<void> => {
    for await (const { key } of bucket.list(engineKey))
      if (key.includes(`/${outputId}/`)) await bucket.remove(key);
  };
  await remove('s4_event_labels_6B');
  const { manifest, packRoot } = await packEngineRun(writer, { engineRunRoot });
  t.false(manifest.outputs.some((output) => output.output_id === 's4_event_labels_6B'));
  await sealPack(writer, packRoot);
  t.is((await checkWorld(reader, { packRoot })).status, 'OK');
  await remove('s2_flow_anchor_baseline_6B');
  await t.throwsAsync(packEngineRun(writer, { engineRunRoot }), { code: 'OUTPUT_MISSING' });
});

test('CI-8 CI-9 a view has every row of its source once, in order of time and key, with its columns', async (t) => {
  for (const outputId of outputsOfModes(['fraud', 'baseline'])) {
    const { manifest, receipt, partKeys } = await readViewManifest(reader, main.pack_root, outputId);
    const output = outputDefinition(outputId);
    let rows = 0;
    let previous: (string | bigint)[] = [''];
    for (const [i, key] of partKeys.entries()) {
      const table = tableFromIPC(
        await reader.bucket(bucketName).get(key, { expectSha256: manifest.parts[i]!.sha256 }),
      );
      t.deepEqual(
        table.schema.fields.map((field) => field.name),
        [
          'seed',
          'manifest_fingerprint',
          'parameter_hash',
          'scenario_id',
          ...output.columns.map((column) => column.name),
        ],
      );
      const keys = ['ts_utc', ...output.row_key].map((name) => table.getChild(name)!);
      for (let row = 0; row < table.numRows; row += 1) {
        const current = keys.map((column) => column.get(row) as string | bigint);
        const at = current.findIndex((value, k) => value !== previous[k]);
        t.true(
          at >= 0 && (previous[at] === undefined || previous[at] < current[at]!),
          `${outputId} row ${rows}`,
        );
        previous = current;
        rows += 1;
      }
      t.deepEqual([...new Set(table.getChild('seed'))], [1n]);
      t.deepEqual(
        [...new Set(table.getChild('manifest_fingerprint'))],
        [main.manifest.world_key.manifest_fingerprint],
      );
    }
    t.is(rows, manifest.row_count);
    t.is(receipt.raw_stats.row_count, rows);
    t.deepEqual(receipt.raw_stats, receipt.sorted_stats);
  }
});

test('CI-10 a valid view is skipped', async (t) => {
  const pack = await readPack(writer, main.pack_root);
  t.false((await buildView(writer, pack, EVENT_STREAM)).created);
});

test('CI-10 an unfinished, changed or foreign view is refused with its code', async (t) => {
  const { packRoot, packKey } = await freshPack();
  await sealPack(writer, packRoot);
  const pack = await readPack(writer, packRoot);
  const folder = `${packKey}stream_view/ts_utc/output_id=${EVENT_STREAM}`;
  await t.throwsAsync(readViewManifest(reader, packRoot, EVENT_STREAM), { code: 'STREAM_VIEW_MISSING' });
  const { view } = await buildView(writer, pack, EVENT_STREAM);

  const receipt = await bucket.get(`${folder}/_stream_sort_receipt.json`);
  await bucket.remove(`${folder}/_stream_sort_receipt.json`);
  await t.throwsAsync(readViewManifest(reader, packRoot, EVENT_STREAM), { code: 'STREAM_RECEIPT_MISSING' });
  await t.throwsAsync(buildView(writer, pack, EVENT_STREAM), { code: 'STREAM_VIEW_PARTIAL_EXISTS' });

  const foreign = await readViewManifest(reader, main.pack_root, EVENT_STREAM);
  await bucket.put(`${folder}/_stream_sort_receipt.json`, Buffer.from(JSON.stringify(foreign.receipt)));
  await t.throwsAsync(readViewManifest(reader, packRoot, EVENT_STREAM), { code: 'STREAM_RECEIPT_MISMATCH' });
  await t.throwsAsync(buildView(writer, pack, EVENT_STREAM), { code: 'STREAM_RECEIPT_MISMATCH' });

  await bucket.put(`${folder}/_stream_sort_receipt.json`, receipt);
  t.is((await readViewManifest(reader, packRoot, EVENT_STREAM)).manifest.row_count, view.manifest.row_count);
  await flipByte(`${folder}/part-000000.arrow`, 500);
  await t.throwsAsync(buildView(writer, pack, EVENT_STREAM), { code: 'STREAM_RECEIPT_MISMATCH' });
  await bucket.remove(`${folder}/_stream_sort_receipt.json`);
  const again = await buildView(writer, pack, EVENT_STREAM, { discardUnfinished: true });
  t.true(again.created);
  t.deepEqual(again.view.manifest.parts, view.manifest.parts);
});

test('a view is never built from a source with a flipped byte', async (t) => {
  const { packRoot, engineKey } = await freshPack();
  await sealPack(writer, packRoot);
  const pack = await readPack(writer, packRoot);
  const { parts } = pack.manifest.outputs.find((output) => output.output_id === EVENT_STREAM)!;
  await flipByte(`${engineKey}/${parts[0]!.path}`, 300);
  await t.throwsAsync(buildView(writer, pack, EVENT_STREAM), { code: 'DIGEST_MISMATCH' });
});

test('CI-11 a view in many parts and under little memory has the digest of one in a single part', async (t) => {
  const { packRoot, packKey } = await freshPack();
  await sealPack(writer, packRoot);
  const pack = await readPack(writer, packRoot);
  const whole = (await buildView(writer, pack, EVENT_STREAM)).view;
  for await (const { key } of bucket.list(`${packKey}stream_view/`)) await bucket.remove(key);
  const cut = (await buildView(writer, pack, EVENT_STREAM, { partRows: 100, memoryLimit: '64MB' })).view;
  t.deepEqual(cut.receipt.sorted_stats, whole.receipt.sorted_stats);
  t.is(cut.manifest.stream_view_id, whole.manifest.stream_view_id);
});

test('CI-12 outputs without an event time are ordered by the keys they declare', async (t) => {
  const pack = await readPack(writer, main.pack_root);
  const labels = (await buildView(writer, pack, 's4_event_labels_6B')).view;
  t.deepEqual(labels.manifest.sort_keys, ['flow_id', 'event_seq']);
  const table = tableFromIPC(await bucket.get(labels.partKeys[0]!));
  const ids = [...(table.getChild('flow_id')! as Iterable<bigint>)];
  t.deepEqual(
    ids,
    [...ids].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
  );
  const sessions = (await buildView(writer, pack, 's1_session_index_6B')).view;
  t.deepEqual(sessions.manifest.sort_keys, ['session_start_utc', 'session_id']);
});

test('CI-13 the same bytes in another bucket have the same pack id, view id and part digests', async (t) => {
  const otherName = `${bucketName}-b`;
  await writer.ensureBucket(otherName);
  const other = writer.bucket(otherName);
  t.teardown(async () => {
    for await (const { key } of other.list('')) await other.remove(key);
    await writer.removeBucket(otherName);
  });
  const copy = await prepareWorld(writer, {
    bucket: otherName,
    sample: null,
    folder: join(parent, 'main'),
    modes: ['fraud'],
  });
  t.is(copy.oracle_pack_id, main.oracle_pack_id);
  const here = await readViewManifest(reader, main.pack_root, EVENT_STREAM);
  const there = await readViewManifest(reader, copy.pack_root, EVENT_STREAM);
  t.is(there.manifest.stream_view_id, here.manifest.stream_view_id);
  t.deepEqual(there.manifest.parts, here.manifest.parts);
});

test('CI-14 the services’ keys can read worlds and not write them', async (t) => {
  const readOnly = reader.bucket(bucketName);
  t.truthy(await readPack(reader, main.pack_root));
  await t.throwsAsync(readOnly.put('engine/x', Buffer.from('x')), { code: 'ACCESS_DENIED' });
  await t.throwsAsync(readOnly.remove(`${packKeyOf(main)}_SEALED.json`), { code: 'ACCESS_DENIED' });
});

test('CI-15 a tombstone withdraws a pack without touching it', async (t) => {
  const { packRoot, packKey } = await freshPack();
  await sealPack(writer, packRoot);
  const before = await bucket.get(`${packKey}_SEALED.json`);
  await tombstonePack(writer, packRoot, 'HUMAN::tester', 'labels were wrong');
  const error = await t.throwsAsync(readPack(reader, packRoot), { code: 'PACK_TOMBSTONED' });
  t.regex(error.message, /HUMAN::tester .* labels were wrong/);
  t.true((await bucket.get(`${packKey}_SEALED.json`)).equals(before));
  await t.throwsAsync(tombstonePack(writer, packRoot, 'HUMAN::tester', 'again'), { code: 'PACK_TOMBSTONED' });
});

test('gates answer PASS, MISSING and CONFLICT each for itself', async (t) => {
  const { engineRunRoot, engineKey } = await freshWorld();
  const all = [...GATE_MAP.keys()];
  t.true(
    (await verifyGates(reader, engineRunRoot, all)).every(
      (gate) => gate.status === 'PASS' && gate.code === null,
    ),
  );
  for await (const { key } of bucket.list(engineKey)) {
    if (key.includes('/1A/validation/') && key.endsWith('_passed.flag')) await bucket.remove(key);
    if (key.includes('/3A/validation/') && key.endsWith('checksums.json'))
      await bucket.put(key, Buffer.from('[1]'));
    if (key.includes('/5B/validation/') && key.endsWith('_passed.flag'))
      await bucket.put(key, Buffer.from('?'));
    if (key.includes('/6A/validation/') && key.endsWith('MANIFEST.json')) await bucket.remove(key);
  }
  const answers = await verifyGates(reader, engineRunRoot, all);
  const status: Record<string, string> = {};
  for (const gate of answers) status[gate.gate_id.split('.')[2]!] = gate.status;
  t.like(status, {
    '1A': 'MISSING',
    '3A': 'CONFLICT',
    '5B': 'CONFLICT',
    '6A': 'MISSING',
    '6B': 'PASS',
    '2B': 'PASS',
  });
});

test('preparing again does nothing twice', async (t) => {
  const sample = { events: EVENTS, seed: '1', days: 1, start: '2025-01-06' };
  t.is(sampleIdentity(sample).world.seed, '1');
  const again = await prepareWorld(writer, {
    bucket: bucketName,
    sample,
    folder: join(parent, 'main'),
    modes: ['fraud', 'baseline'],
  });
  t.is(again.pack_root, main.pack_root);
  t.true(again.views.every((view) => !view.created));
});

test('a folder that is not an engine run is refused', async (t) => {
  const folder = await mkdtemp(join(parent, 'foreign-'));
  await writeFile(join(folder, 'something'), 'x');
  await t.throwsAsync(syncEngineRun(writer, bucketName, folder), { code: 'RUN_RECEIPT_UNREADABLE' });
});

function packKeyOf(prepared: PreparedWorld): string {
  return prepared.pack_root.slice(`s3://${bucketName}/`.length);
}
