/** Bad input at the front door of a running platform: each record ends with its reason and its bytes, and none stops the gate. */
import test from 'ava';
import { eventSchema, sha256Hex, type Envelope, type GateReasonCode } from '../../apps/rails/index.ts';
import { OutgoingBatch, SchemaRegistry, type CompiledSchema } from '../../lib/index.ts';
import { eventually } from '../support/eventually.ts';
import { TestPlatform } from '../support/platform.ts';
import { partitionOfKey, readBus, readOutcomes } from '../support/record-log.ts';
import { RegistryProxy } from '../support/registry-proxy.ts';
import { exactly, verdictOf } from '../support/run-verdict.ts';
import type { SamplePack } from '../support/sample-pack.ts';
import type { ServiceProcess } from '../support/service-process.ts';

const EVENT_TYPE = 's3_event_stream_with_fraud_6B';
/** A platform run of these tests' own, that no replay ever ends. */
const RUN = 'platform_20240101T000000Z';

let platform: TestPlatform;
let registry: SchemaRegistry;
let proxy: RegistryProxy;
let gate: ServiceProcess;
let pack: SamplePack;
/** An event as the streamer sends it, and where it belongs. */
let good: Envelope;
let schema: CompiledSchema;
let partition: number;

test.before(async () => {
  platform = await TestPlatform.open('refusals');
  registry = new SchemaRegistry({ url: platform.settings.schemaRegistry.url });
  proxy = await RegistryProxy.listen(platform.settings.schemaRegistry.url);
  gate = platform.start('gate', { SCHEMA_REGISTRY_URL: proxy.url });
  platform.start('ledger');
  platform.start('streamer');
  pack = await platform.pack('7', 2000);
  const run = await platform.submit(pack, { maxEvents: 50 });
  await verdictOf(platform, run);
  const sent = (await readBus(platform.settings)).find(({ value }) => value.event_type === EVENT_TYPE)!;
  good = { ...sent.value, platform_run_id: RUN };
  partition = sent.partition;
  schema = await registry.latest(`${platform.settings.topics.ingress}-${EVENT_TYPE}`);
});
test.after.always(async () => {
  await platform.close();
  await proxy.close();
});

interface Case {
  readonly reason: GateReasonCode;
  readonly value: Buffer | null;
  readonly partition?: number;
  /** Too long to be kept: its digest and place must do. */
  readonly digestOnly?: boolean;
}

async function cases(): Promise<Case[]> {
  const value = schema.encode(good);
  const strange = { ...eventSchema(EVENT_TYPE), name: 'mystery_event' };
  const strangeSubject = `${platform.settings.topics.ingress}-mystery_event`;
  await registry.register(strangeSubject, strange);
  const strangeSchema = await registry.latest(strangeSubject);
  const unknownId = Buffer.from(value);
  unknownId.writeInt32BE(0x7ffffff0, 1);
  return [
    { reason: 'UNPARSEABLE', value: Buffer.from('{"event_type":"not Avro"}') },
    { reason: 'SCHEMA_FAIL', value: value.subarray(0, value.length - 3) },
    { reason: 'SCHEMA_ID_UNKNOWN', value: unknownId },
    { reason: 'VALUE_MISSING', value: null },
    { reason: 'PINS_MISSING', value: schema.encode({ ...good, run_id: null }) },
    {
      reason: 'SCHEMA_POLICY_MISSING',
      value: strangeSchema.encode({ ...good, event_type: 'mystery_event' }),
    },
    { reason: 'EVENT_TYPE_MISMATCH', value: schema.encode({ ...good, event_type: 'arrival_events_5B' }) },
    { reason: 'EVENT_ID_MISMATCH', value: schema.encode({ ...good, event_id: sha256Hex('another event') }) },
    {
      reason: 'PAYLOAD_HASH_MISMATCH',
      value: schema.encode({ ...good, payload: { ...good.payload, amount: '987654321.00' } }),
    },
    { reason: 'RECORD_TOO_LARGE', value: Buffer.alloc(1024 * 1024 + 1), digestOnly: true },
    { reason: 'WRONG_PARTITION', value, partition: (partition + 1) % platform.settings.partitions },
    { reason: 'DUPLICATE', value },
  ];
}

test.serial(
  'CI-61 every kind of bad input ends with its reason, as an outcome and as a receipt with its bytes',
  async (t) => {
    const { topics } = platform.settings;
    const first = new OutgoingBatch(1);
    first.add({ topic: topics.ingress, partition, value: schema.encode(good) });
    await platform.produce(first);
    const bad = await cases();
    const batch = new OutgoingBatch(bad.length);
    for (const one of bad)
      batch.add({ topic: topics.ingress, partition: one.partition ?? partition, value: one.value });
    await platform.produce(batch);

    const outcomes = await eventually('every bad record has an outcome', async () => {
      const found = await readOutcomes(platform.settings);
      return found.length >= bad.length && found;
    });
    t.deepEqual(
      outcomes.map(({ value }) => value.reason_codes[0]).sort(),
      bad.map(({ reason }) => reason).sort(),
    );
    const { rows } = await eventually('every outcome has a receipt', async () => {
      const found = await platform.pool.query<{
        reason: string;
        place: string;
        raw: Buffer | null;
        decision: string;
      }>(
        `select k.reason_codes[1] as reason, k.decision, r.raw, r.ingress_partition || '/' || r.ingress_offset as place
       from outcome_receipts r join receipt_kinds k on k.kind = r.kind`,
      );
      return found.rows.length >= bad.length && found;
    });
    t.is(rows.length, bad.length);
    for (const { reason, value, partition: elsewhere, digestOnly } of bad) {
      const { value: outcome, partition: at } = outcomes.find((one) => one.value.reason_codes[0] === reason)!;
      const receipt = rows.find((row) => row.reason === reason)!;
      const isDuplicate = reason === 'DUPLICATE';
      const keepsBytes = !isDuplicate && digestOnly !== true;
      t.is(outcome.decision, isDuplicate ? 'DUPLICATE' : 'QUARANTINE', reason);
      t.is(receipt.decision, outcome.decision, reason);
      t.is(at, elsewhere ?? partition, reason);
      t.is(receipt.place, `${outcome.ingress_partition}/${outcome.ingress_offset}`, reason);
      t.deepEqual(outcome.raw, keepsBytes ? value : null, reason);
      t.deepEqual(receipt.raw, keepsBytes ? value : null, reason);
      t.is(outcome.raw_sha256, value === null ? null : sha256Hex(value), reason);
      t.is(outcome.raw_length, value?.length ?? -1, reason);
    }
    const onBus = (await readBus(platform.settings)).filter(({ value }) => value.platform_run_id === RUN);
    t.deepEqual(
      onBus.map(({ value }) => value.event_id),
      [good.event_id],
    );
  },
);

test.serial('CI-57 after all of it the gate admits the next run as if nothing had been', async (t) => {
  const run = await platform.submit(pack, { maxEvents: 100 });
  t.deepEqual(await verdictOf(platform, run), exactly(100, 1, 'max_events'));
});

test.serial(
  'a schema that is new to the gate while the registry is down is waited for, never quarantined',
  async (t) => {
    const { topics, groups } = platform.settings;
    await gate.terminate();
    gate = platform.start('gate', { SCHEMA_REGISTRY_URL: proxy.url });
    await gate.logged(/"state":"RUNNING"/);
    proxy.switchOff();
    const before = (await readOutcomes(platform.settings)).length;
    const committed = await platform.admin.groupOffsets(groups.gate, [topics.ingress]);
    const late = { ...good, platform_run_id: 'platform_20240101T000001Z' };
    const batch = new OutgoingBatch(1);
    batch.add({ topic: topics.ingress, partition, value: schema.encode(late) });
    await platform.produce(batch);
    await gate.logged(/waiting with the partition paused/);
    // It asks again and again, and nothing has been decided meanwhile.
    await eventually('the gate asks the registry again', () => proxy.refused > 4, { check: platform.check });
    t.deepEqual(await platform.admin.groupOffsets(groups.gate, [topics.ingress]), committed);
    t.is((await readOutcomes(platform.settings)).length, before);
    proxy.switchOn();
    await eventually(
      'the record is admitted',
      async () =>
        (await readBus(platform.settings)).some(
          ({ value }) => value.platform_run_id === late.platform_run_id,
        ),
      { check: platform.check },
    );
    t.is((await readOutcomes(platform.settings)).length, before);
  },
);

test.serial('CI-67 a bus record lies where its stamped key says, beside all others of its key', async (t) => {
  const records = await readBus(platform.settings);
  t.true(records.length > 150);
  t.deepEqual(
    records.filter(
      (record) => record.partition !== partitionOfKey(record.key!, platform.settings.partitions),
    ),
    [],
  );
});
