import test from 'ava';
import fc from 'fast-check';
import * as rails from '../../../apps/rails/index.ts';
import type { CanonicalValue, Decision, WorldKey } from '../../../apps/rails/index.ts';
import { partitionOf } from '../../../lib/index.ts';
import { readVectors } from './vectors.ts';

interface Vector {
  readonly recipe: string;
  readonly input: never;
  readonly text: string;
  readonly value: string;
}

const VECTORS = readVectors('identifiers.json') as readonly Vector[];

/** Each recipe applied to the input of its vectors. */
const RECIPES: Readonly<Record<string, (input: never) => string>> = {
  scenario_run_id: (i: { run_equivalence_key: string }) => rails.scenarioRunId(i.run_equivalence_key),
  attempt_id: (i: { run_id: string; attempt_no: number }) => rails.attemptId(i.run_id, i.attempt_no),
  scenario_set_id: (i: { scenario_ids: string[] }) => rails.scenarioSetId(i.scenario_ids),
  intent_fingerprint: (i: rails.RunIntent) => rails.intentFingerprint(i),
  plan_hash: (i: Record<string, CanonicalValue>) => rails.planHash(i),
  run_record_event_id: (i: { event_kind: string; run_id: string; details: Record<string, CanonicalValue> }) =>
    rails.runRecordEventId(i.event_kind, i.run_id, i.details),
  bundle_hash: (i: rails.EvidenceBundle) => rails.bundleHash(i),
  ready_message_id: (i: {
    platform_run_id: string;
    scenario_run_id: string;
    evidence_hash: string;
    attempt: number;
  }) => rails.readyMessageId(i.platform_run_id, i.scenario_run_id, i.evidence_hash, i.attempt),
  terminal_key: (i: { run_id: string; state: 'FAILED'; status: Record<string, CanonicalValue> }) =>
    rails.terminalKey(i.run_id, i.state, i.status),
  oracle_pack_id: (i: rails.OraclePackIdentity) => rails.oraclePackId(i),
  source_locator_digest: (i: { parts: rails.SourcePart[] }) => rails.sourceLocatorDigest(i.parts),
  stream_view_id: (i: rails.StreamViewIdentity) => rails.streamViewId(i),
  engine_event_id: (i: { output_id: string; world: WorldKey; row: Record<string, unknown> }) =>
    rails.compileEngineEventId(rails.outputDefinition(i.output_id))(i.world, i.row),
  control_event_id: (i: {
    event_type: string;
    platform_run_id: string;
    scenario_run_id: string;
    sequence: number | string;
  }) => rails.controlEventId(i.event_type, i.platform_run_id, i.scenario_run_id, i.sequence),
  audit_event_id: (i: { event_type: string; ts_utc: string; payload: Record<string, CanonicalValue> }) =>
    rails.auditEventId(i.event_type, i.ts_utc, i.payload),
  dedupe_key: (i: { platform_run_id: string; event_class: string; event_id: string }) =>
    rails.dedupeKey(i.platform_run_id, i.event_class, i.event_id),
  payload_hash: (i: { event_type: string; schema_version: string | null; payload: CanonicalValue }) =>
    rails.payloadHash(i.event_type, i.schema_version, i.payload),
  partition_key: (i: { value: string }) => rails.partitionKey(i.value),
  receipt_id: (i: {
    platform_run_id: string;
    decision: Decision;
    ingress_topic: string;
    ingress_partition: number;
    ingress_offset: string;
  }) =>
    rails.receiptId(i.platform_run_id, i.decision, i.ingress_topic, i.ingress_partition, i.ingress_offset),
  policy_digest: (i: { documents: { policy_id: string; revision: number }[] }) =>
    rails.policyDigest(i.documents),
};

test('CI-102 every identifier recipe gives the values of its golden vectors', (t) => {
  for (const { recipe, input, text, value } of VECTORS) {
    const compute = RECIPES[recipe];
    if (compute === undefined) {
      t.fail(`no recipe ${recipe}`);
      continue;
    }
    t.is(compute(input), value, `${recipe} of ${text}`);
    // The vector itself must be what it says: a prefix of the digest of its text.
    t.true(
      rails.sha256Hex(text).startsWith(value.replace(/^scnset_/, '')),
      `${recipe}: text and value disagree`,
    );
  }
});

test('CI-102 every recipe has a vector, and the vectors hold non-ASCII text and the largest 64-bit id', (t) => {
  t.deepEqual([...new Set(VECTORS.map((vector) => vector.recipe))].sort(), Object.keys(RECIPES).sort());
  t.true(VECTORS.some((vector) => /[^\u0000-\u00ff]/.test(vector.text)));
  t.true(VECTORS.some((vector) => vector.text.includes('18446744073709551615')));
});

test('CI-45 the six streamed outputs each have an event id vector', (t) => {
  const covered = new Set(
    VECTORS.filter((vector) => vector.recipe === 'engine_event_id').map(
      (vector) => vector.text.split('|')[0],
    ),
  );
  const streamed = [...rails.streamedOutputs('baseline'), ...rails.streamedOutputs('fraud')];
  t.deepEqual([...covered].sort(), [...new Set(streamed.map((output) => output.output_id))].sort());
  t.is(covered.size, 6);
});

const WORLD: WorldKey = {
  manifest_fingerprint: 'a'.repeat(64),
  parameter_hash: 'b'.repeat(64),
  scenario_id: 'baseline_v1',
  seed: '42',
};

test('CI-45 an event id depends on output, world and primary key, and on nothing else in the row', (t) => {
  const eventId = rails.compileEngineEventId(rails.outputDefinition('s2_event_stream_baseline_6B'));
  const base = eventId(WORLD, { flow_id: '7', event_seq: 1, amount: '1.00' });
  t.is(eventId(WORLD, { flow_id: '7', event_seq: 1, amount: '2.00' }), base);
  t.is(eventId(WORLD, { flow_id: 7n, event_seq: 1n }), base);
  t.not(eventId(WORLD, { flow_id: '7', event_seq: 2 }), base);
  t.not(eventId({ ...WORLD, seed: '43' }, { flow_id: '7', event_seq: 1 }), base);
  const fraud = rails.compileEngineEventId(rails.outputDefinition('s3_event_stream_with_fraud_6B'));
  t.not(fraud(WORLD, { flow_id: '7', event_seq: 1 }), base);
});

test('CI-45 a row without its primary key has no event id, and the error names the column', (t) => {
  const eventId = rails.compileEngineEventId(rails.outputDefinition('arrival_events_5B'));
  for (const row of [
    { merchant_id: '1' },
    { merchant_id: '1', arrival_seq: null },
    { merchant_id: '1', arrival_seq: 1.5 },
  ]) {
    t.throws(() => eventId(WORLD, row), {
      message: /PRIMARY_KEY_MISSING: arrival_events_5B needs arrival_seq/,
    });
  }
  t.throws(() => eventId(WORLD, { merchant_id: '', arrival_seq: 1 }), { message: /needs merchant_id/ });
});

test('CI-102 the partition of a key is the one Kafka computes in the vectors', (t) => {
  let checked = 0;
  for (const { recipe, input, value } of VECTORS) {
    if (recipe !== 'partition_key') continue;
    const key = Buffer.from(value);
    t.is(partitionOf(key, 0, key.length, 4), (input as { partition_of_4: number }).partition_of_4);
    checked += 1;
  }
  t.true(checked >= 4);
});

test('a bundle hash does not change with the order of its lists or with null fields, and does with content', (t) => {
  const locator = fc.record({ output_id: fc.string(), path: fc.string(), notes: fc.constantFrom(null, 'n') });
  fc.assert(
    fc.property(fc.array(locator, { minLength: 1, maxLength: 5 }), (locators) => {
      const bundle = { gate_receipts: [], instance_receipts: [], policy_rev: { revision: '1' } };
      const hash = rails.bundleHash({ ...bundle, locators });
      t.is(rails.bundleHash({ ...bundle, locators: [...locators].reverse() }), hash);
      t.is(
        rails.bundleHash({ ...bundle, locators, policy_rev: { revision: '1', content_digest: null } }),
        hash,
      );
      const changed = locators.map((item, i) => (i === 0 ? { ...item, path: item.path + 'x' } : item));
      t.not(rails.bundleHash({ ...bundle, locators: changed }), hash);
    }),
    { numRuns: 50 },
  );
});

test('a scenario set is one id whatever its order and repetition', (t) => {
  fc.assert(
    fc.property(fc.array(fc.string({ minLength: 1 }), { minLength: 1 }), (ids) => {
      t.is(rails.scenarioSetId([...ids].reverse()), rails.scenarioSetId([...ids, ...ids]));
    }),
    { numRuns: 50 },
  );
});

test('CI-66 the same event in another platform run has another dedupe key', (t) => {
  const key = rails.dedupeKey('platform_20260101T000000Z', 'traffic_fraud', 'e');
  t.not(rails.dedupeKey('platform_20260101T000001Z', 'traffic_fraud', 'e'), key);
  t.not(rails.dedupeKey('platform_20260101T000000Z', 'traffic_baseline', 'e'), key);
});

test('a platform run id is the instant it names, and only a real one', (t) => {
  const now = new Date('2026-02-28T23:59:58Z');
  t.is(rails.newPlatformRunId(now), 'platform_20260228T235958Z');
  t.deepEqual(rails.parsePlatformRunId('platform_20260228T235958Z'), now);
  for (const wrong of [
    'platform_20260230T000000Z',
    'platform_20260101T240000Z',
    'Platform_20260101T000000Z',
    '',
  ]) {
    t.throws(() => rails.parsePlatformRunId(wrong), { instanceOf: RangeError });
  }
});
