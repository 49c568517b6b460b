import test from 'ava';
import fc from 'fast-check';
import { COMMIT_STEPS, describe } from '../../../lib/index.ts';
import {
  decodeDecisionHeader,
  eventSchema,
  sha256Hex,
  type Envelope,
  type GateReasonCode,
} from '../../../apps/rails/index.ts';
import { event, GateFixture, RUN } from './gate-fixture.ts';

test('CI-57 CI-86 an admitted event is on the bus with the same bytes, its stamped key and the decision in headers', async (t) => {
  const gate = await GateFixture.create();
  const envelope = event('7', 0);
  const offset = await gate.send(envelope);
  const { bus, outcomes } = gate.verdicts();
  t.deepEqual(outcomes, []);
  t.is(bus.length, 1);
  const [record] = bus;
  t.deepEqual(record!.value, (await gate.schemaOf(envelope.event_type)).encode(envelope));
  t.is(record!.key, sha256Hex('7'));
  t.is(record!.partition, gate.partitionOf(envelope));
  t.is(record!.timestamp, gate.driver.wallTime);
  const headers = new Map(record!.headers);
  t.is(headers.get('event_type'), 's3_event_stream_with_fraud_6B');
  t.is(headers.get('event_class'), 'traffic_fraud');
  t.is(headers.get('platform_run_id'), RUN);
  const decision = decodeDecisionHeader(headers.get('decision')!);
  t.is(decision.ingressOffset, offset);
  t.is(decision.ingressPartition, record!.partition);
  t.is(decision.eventId, envelope.event_id);
  t.is(decision.policyRevision, gate.policies.gateRev.revision);
});

test('CI-63 CI-65 the same event twice is one bus record and a DUPLICATE that points at the first', async (t) => {
  const gate = await GateFixture.create();
  const first = await gate.send(event('7', 0));
  await gate.send(event('7', 0));
  // A changed time with an equal payload says the same thing.
  await gate.send(event('7', 0, { ts_utc: '2025-11-22T11:00:00.000000Z' }));
  const { bus, outcomes } = gate.verdicts();
  t.is(bus.length, 1);
  t.deepEqual(
    outcomes.map((one) => [one.decision, one.reason_codes, one.original_ingress_offset, one.raw]),
    [
      ['DUPLICATE', ['DUPLICATE'], first, null],
      ['DUPLICATE', ['DUPLICATE'], first, null],
    ],
  );
  t.is(outcomes[0]!.original_ingress_partition, bus[0]!.partition);
});

test('CI-66 the same event in another platform run is admitted', async (t) => {
  const gate = await GateFixture.create();
  await gate.send(event('7', 0));
  await gate.send(event('7', 0, { platform_run_id: 'platform_20260101T000001Z' }));
  const { bus, outcomes } = gate.verdicts();
  t.is(bus.length, 2);
  t.is(outcomes.length, 0);
});

test('CI-79 an event is forgotten only when the dedupe time has passed', async (t) => {
  const gate = await GateFixture.create();
  const ttl = gate.policies.gate.dedupe_ttl_days * 86_400_000;
  await gate.send(event('7', 0));
  gate.driver.advance(ttl - 1);
  await gate.send(event('7', 0));
  gate.driver.advance(1);
  await gate.send(event('7', 0));
  const { bus, outcomes } = gate.verdicts();
  t.is(bus.length, 2);
  t.deepEqual(
    outcomes.map((one) => one.decision),
    ['DUPLICATE'],
  );
});

const changes: readonly [row: string, name: string, expected: GateReasonCode, change: Partial<Envelope>][] = [
  ['CI-58', 'a ts_utc without six fractional digits', 'ENVELOPE_INVALID', { ts_utc: '2025-11-22T10:00:00Z' }],
  ['CI-58', 'a fingerprint in upper case', 'ENVELOPE_INVALID', { manifest_fingerprint: 'C8'.repeat(32) }],
  ['CI-58', 'a string with U+0000', 'ENVELOPE_INVALID', { producer: 'svc:\u0000test' }],
  ['CI-59', 'a missing scenario_run_id', 'PINS_MISSING', { scenario_run_id: null }],
  ['CI-59', 'a missing platform_run_id', 'PINS_MISSING', { platform_run_id: null }],
  ['CI-60', 'a schema version that is not allowed', 'SCHEMA_VERSION_NOT_ALLOWED', { schema_version: 'v9' }],
  [
    'CI-45',
    'an event id that its primary key does not give',
    'EVENT_ID_MISMATCH',
    { event_id: 'ab'.repeat(32) },
  ],
  [
    'CI-58',
    'an event_type that is not its schema',
    'EVENT_TYPE_MISMATCH',
    { event_type: 'arrival_events_5B' },
  ],
];

for (const [row, name, expected, change] of changes) {
  test(`${row} ${name} is quarantined as ${expected}, with its bytes and what could be read of it`, async (t) => {
    const gate = await GateFixture.create();
    const envelope = event('7', 0, change);
    const as = 's3_event_stream_with_fraud_6B';
    await gate.send(envelope, as);
    const { bus, outcomes } = gate.verdicts();
    t.deepEqual(bus, []);
    t.is(outcomes.length, 1);
    const [outcome] = outcomes;
    t.is(outcome!.decision, 'QUARANTINE');
    t.deepEqual(outcome!.reason_codes, [expected]);
    t.is(outcome!.event_id, envelope.event_id);
    t.is(outcome!.platform_run_id, envelope.platform_run_id);
    const bytes = (await gate.schemaOf(as)).encode(envelope);
    t.deepEqual(outcome!.raw, bytes);
    t.is(outcome!.raw_sha256, sha256Hex(bytes));
  });
}

test('CI-64 the same id with another payload is quarantined, naming where the first one was', async (t) => {
  const gate = await GateFixture.create();
  const first = event('7', 0);
  await gate.send(first);
  await gate.send({ ...first, payload: { ...first.payload, amount: '99.99' } });
  const { bus, outcomes } = gate.verdicts();
  t.is(bus.length, 1);
  t.deepEqual(outcomes[0]!.reason_codes, ['PAYLOAD_HASH_MISMATCH']);
  t.regex(outcomes[0]!.reason_detail!, /admitted with another payload, from offset 0/);
});

test('CI-61 what cannot be read at all still gets evidence: bytes, length, digest and coordinates', async (t) => {
  const gate = await GateFixture.create();
  const valid = (await gate.schemaOf('s3_event_stream_with_fraud_6B')).encode(event('7', 0));
  const unknown = Buffer.from(valid);
  unknown.writeInt32BE(4711, 1);
  const inputs: [Buffer | null, GateReasonCode][] = [
    [Buffer.from('{"json": true}'), 'UNPARSEABLE'],
    [Buffer.alloc(0), 'UNPARSEABLE'],
    [null, 'VALUE_MISSING'],
    [unknown, 'SCHEMA_ID_UNKNOWN'],
    [valid.subarray(0, valid.length - 1), 'SCHEMA_FAIL'],
    [Buffer.concat([valid, Buffer.from([0])]), 'SCHEMA_FAIL'],
    [Buffer.alloc(gate.policies.gate.max_record_bytes + 1), 'RECORD_TOO_LARGE'],
  ];
  for (const [value] of inputs) gate.sendBytes(value, 2);
  const { bus, outcomes } = gate.verdicts();
  t.is(bus.length, 0);
  t.deepEqual(
    outcomes.map((one) => one.reason_codes),
    inputs.map(([, code]) => [code]),
  );
  for (const [i, outcome] of outcomes.entries()) {
    const value = inputs[i]![0];
    t.is(outcome.ingress_partition, 2);
    t.is(outcome.ingress_offset, i);
    t.is(outcome.raw_length, value?.length ?? -1);
    t.is(outcome.raw_sha256, value === null ? null : sha256Hex(value));
    t.deepEqual(outcome.raw, value !== null && value.length <= 1024 * 1024 ? value : null);
    t.is(outcome.platform_run_id, null);
  }
});

test('CI-67 a record on a partition that is not its key’s is quarantined with the right one', async (t) => {
  const gate = await GateFixture.create();
  const envelope = event('7', 0);
  const right = gate.partitionOf(envelope);
  const bytes = (await gate.schemaOf(envelope.event_type)).encode(envelope);
  gate.sendBytes(bytes, (right + 1) % gate.settings.partitions);
  const { outcomes } = gate.verdicts();
  t.deepEqual(outcomes[0]!.reason_codes, ['WRONG_PARTITION']);
  t.true(outcomes[0]!.retryable);
  t.true(outcomes[0]!.reason_detail!.includes(`belongs on ${right} `));
});

test('CI-60 an event type that no policy lists is quarantined', async (t) => {
  const gate = await GateFixture.create();
  gate.schemas.register('elsewhere', { ...eventSchema('s3_event_stream_with_fraud_6B'), name: 'unheard_of' });
  const schema = await gate.schemas.schemaFor('elsewhere');
  gate.sendBytes(schema.encode(event('7', 0, { event_type: 'unheard_of' })));
  t.deepEqual(gate.verdicts().outcomes[0]!.reason_codes, ['SCHEMA_POLICY_MISSING']);
});

test('CI-58 a record of a registered schema without an envelope is no event', async (t) => {
  const gate = await GateFixture.create();
  gate.schemas.register('elsewhere', {
    type: 'record',
    name: 'note',
    fields: [{ name: 'text', type: 'string' }],
  });
  const schema = await gate.schemas.schemaFor('elsewhere');
  gate.sendBytes(schema.encode({ text: 'hello' }));
  t.deepEqual(gate.verdicts().outcomes[0]!.reason_codes, ['ENVELOPE_INVALID']);
});

test('CI-57 CI-65 whatever comes, in whatever order, with crashes at any step: one outcome per record', async (t) => {
  const schema = await (await GateFixture.create()).schemaOf('s3_event_stream_with_fraud_6B');
  const input = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ flow: fc.nat(5), seq: fc.nat(3), amount: fc.constantFrom('1.00', '2.00') }),
    },
    { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
    { weight: 2, arbitrary: fc.record({ cut: fc.nat(200) }) },
    { weight: 1, arbitrary: fc.record({ crash: fc.constantFrom(...COMMIT_STEPS) }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(input, { maxLength: 30 }), async (inputs) => {
      const gate = await GateFixture.create();
      const sent = new Set<string>();
      for (const one of inputs) {
        if (Buffer.isBuffer(one)) sent.add(`0/${gate.sendBytes(one, 0)}`);
        else if ('crash' in one) gate.driver.crash(one.crash);
        else {
          const envelope = 'cut' in one ? event('1', 0) : event(String(one.flow), one.seq);
          const changed =
            'cut' in one ? envelope : { ...envelope, payload: { ...envelope.payload, amount: one.amount } };
          const bytes = schema.encode(changed);
          const value = 'cut' in one ? bytes.subarray(0, one.cut % bytes.length) : bytes;
          const partition = gate.partitionOf(changed);
          sent.add(`${partition}/${gate.sendBytes(value, partition)}`);
        }
      }
      const { bus, outcomes } = gate.verdicts();
      const answered = [
        ...bus.map((record) => {
          const decision = decodeDecisionHeader(new Map(record.headers).get('decision')!);
          return `${decision.ingressPartition}/${decision.ingressOffset}`;
        }),
        ...outcomes.map((outcome) => `${outcome.ingress_partition}/${outcome.ingress_offset}`),
      ];
      const ids = bus.map((record) => decodeDecisionHeader(new Map(record.headers).get('decision')!).eventId);
      return (
        answered.length === sent.size &&
        answered.every((coordinates) => sent.has(coordinates)) &&
        new Set(answered).size === sent.size &&
        new Set(ids).size === ids.length
      );
    }),
    { numRuns: 60 },
  );
  t.pass();
});

test('the topology reads ingress, writes the bus and the outcomes, and keeps one store', async (t) => {
  const gate = await GateFixture.create();
  const description = describe(gate.driver.topology);
  for (const part of [
    'fp.ingress.v1',
    'fp.bus.traffic.v1',
    'fp.bus.control.v1',
    'fp.ig.outcomes.v1',
    'stores: dedupe',
  ]) {
    t.true(description.includes(part), part);
  }
});
