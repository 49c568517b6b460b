import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  GATE_MAP,
  LINEAGE_COLUMNS,
  eventSchema,
  eventTypes,
  loadPolicies,
  loadSettings,
  outputDefinition,
  partitionKey,
  requiredGates,
  streamedOutputs,
  type Envelope,
  type Policies,
  type PolicyRefs,
} from '../../../apps/rails/index.ts';
import { ConfigError } from '../../../lib/index.ts';
import { ENVIRONMENT } from './environment.ts';

const REFS = loadSettings(ENVIRONMENT).policies;
const POLICIES = loadPolicies(REFS);
const { classMap, partitioning, schemaPolicy } = POLICIES;

const FULL = [
  'platform_run_id',
  'scenario_run_id',
  'manifest_fingerprint',
  'parameter_hash',
  'seed',
  'scenario_id',
  'run_id',
];
const RTDL = FULL.slice(0, 6);
const CONTROL = ['platform_run_id', 'scenario_run_id', 'manifest_fingerprint', 'run_id'];
const AUDIT = ['platform_run_id', 'scenario_run_id', 'manifest_fingerprint'];

/** The contract's table: type, class, pins, whether a version is required, profile, bus. */
const TABLE = [
  ['s2_event_stream_baseline_6B', 'traffic_baseline', FULL, false, 'traffic.baseline', 'traffic'],
  ['s3_event_stream_with_fraud_6B', 'traffic_fraud', FULL, false, 'traffic.fraud', 'traffic'],
  ['arrival_events_5B', 'context_arrival', FULL, false, 'context.arrival_events', 'traffic'],
  ['s1_arrival_entities_6B', 'context_arrival_entities', FULL, false, 'context.arrival_entities', 'traffic'],
  [
    's2_flow_anchor_baseline_6B',
    'context_flow_baseline',
    FULL,
    false,
    'context.flow_anchor.baseline',
    'traffic',
  ],
  ['s3_flow_anchor_with_fraud_6B', 'context_flow_fraud', FULL, false, 'context.flow_anchor.fraud', 'traffic'],
  ['decision_response', 'rtdl_decision', RTDL, true, 'rtdl.decision', 'traffic'],
  ['action_intent', 'rtdl_action_intent', RTDL, true, 'rtdl.action_intent', 'traffic'],
  ['action_outcome', 'rtdl_action_outcome', RTDL, true, 'rtdl.action_outcome', 'traffic'],
  ['case_trigger', 'case_trigger', RTDL, true, 'case.trigger', 'traffic'],
  ['run.ready', 'control', CONTROL, true, 'control', 'control'],
  ['run.terminal', 'control', CONTROL, true, 'control', 'control'],
  ['run.closed', 'control', CONTROL, true, 'control', 'control'],
  ['stream.started', 'control', CONTROL, true, 'control', 'control'],
  ['stream.progress', 'control', CONTROL, true, 'control', 'control'],
  ['stream.completed', 'control', CONTROL, true, 'control', 'control'],
  ['stream.failed', 'control', CONTROL, true, 'control', 'control'],
  ['stream.command', 'control', CONTROL, true, 'control', 'control'],
  ['ig.policy.activation', 'audit', AUDIT, false, 'audit', 'audit'],
  ['ig.quarantine.spike', 'audit', AUDIT, false, 'audit', 'audit'],
  ['ig.audit.verify', 'audit', AUDIT, false, 'audit', 'audit'],
] as const;

for (const [eventType, className, pins, versioned, profile, bus] of TABLE) {
  test(`CI-59 ${eventType} has the class, pins and version rule of the contract's table`, (t) => {
    const eventClass = classMap.classOf(eventType);
    t.is(eventClass.name, className);
    t.deepEqual([...eventClass.requiredPins].sort(), [...pins].sort());
    t.is(schemaPolicy.refusal(eventType, 'v1'), null);
    t.is(schemaPolicy.refusal(eventType, null), versioned ? 'SCHEMA_VERSION_REQUIRED' : null);
    t.is(schemaPolicy.refusal(eventType, 'v2'), 'SCHEMA_VERSION_NOT_ALLOWED');
  });

  test(`CI-67 ${eventType} has the partitioning profile and bus topic of the contract's table`, (t) => {
    t.is(partitioning.profileOf(eventType).id, `ig.partitioning.v0.${profile}`);
    t.is(partitioning.profileOf(eventType).bus, bus);
  });
}

test('the policies list the types of the table and no others', (t) => {
  const types = TABLE.map(([eventType]) => eventType).sort();
  t.deepEqual([...classMap.eventTypes].sort(), types);
  t.deepEqual([...partitioning.eventTypes].sort(), types);
});

test('CI-60 an unknown type requires every pin, has the default profile and no schema policy', (t) => {
  t.is(classMap.classOf('nobody').name, 'unmapped');
  t.is(classMap.classOf('nobody').requiredPins.length, 7);
  t.is(partitioning.profileOf('nobody').id, 'ig.partitioning.v0.traffic');
  t.is(schemaPolicy.refusal('nobody', 'v1'), 'SCHEMA_POLICY_MISSING');
  t.is(classMap.classOf('constructor').name, 'unmapped');
  t.is(schemaPolicy.refusal('__proto__', null), 'SCHEMA_POLICY_MISSING');
});

function envelope(
  eventType: string,
  payload: Record<string, unknown>,
  fields: Partial<Envelope> = {},
): Envelope {
  return {
    event_id: 'the-event',
    event_type: eventType,
    ts_utc: '2026-01-01T00:00:00.000000Z',
    manifest_fingerprint: 'f'.repeat(64),
    parameter_hash: null,
    seed: null,
    scenario_id: null,
    run_id: null,
    platform_run_id: null,
    scenario_run_id: null,
    schema_version: null,
    emitted_at_utc: null,
    producer: null,
    trace_id: null,
    span_id: null,
    parent_event_id: null,
    ...fields,
    payload,
  };
}

function keySource(
  eventType: string,
  payload: Record<string, unknown>,
  fields: Partial<Envelope> = {},
): string | undefined {
  return partitioning.profileOf(eventType).keySource(envelope(eventType, payload, fields));
}

test('CI-67 the key comes from the first value of the precedence that is neither null nor empty', (t) => {
  const flow = 's3_event_stream_with_fraud_6B';
  t.is(keySource(flow, { flow_id: '7', merchant_id: '8' }), '7');
  t.is(keySource(flow, { flow_id: '', merchant_id: '8' }), '8');
  t.is(keySource(flow, { flow_id: null, account_id: '9', party_id: '10' }), '9');
  t.is(keySource(flow, { party_id: '10' }), '10');
  t.is(keySource(flow, {}), 'the-event');
  t.is(keySource('arrival_events_5B', { merchant_id: '8', arrival_seq: 3 }), '8');
  t.is(keySource('arrival_events_5B', { arrival_seq: 3 }), '3');
  t.is(keySource('run.ready', {}, { run_id: 'r' }), 'r');
  t.is(keySource('run.ready', {}), 'f'.repeat(64));
  t.is(keySource('ig.quarantine.spike', {}), 'the-event');
  t.is(keySource('decision_response', { source_event: { event_id: 's' } }), 's');
  t.is(keySource('decision_response', { source_event: null, pins: { scenario_run_id: 'x' } }), 'x');
  t.is(keySource('case_trigger', { case_subject_key: { event_id: 'c' } }), 'c');
});

test('CI-67 a record with no key value has no key, and otherwise the key is the sha256 of the value', (t) => {
  const profile = partitioning.profileOf('s3_event_stream_with_fraud_6B');
  t.is(profile.key(envelope('s3_event_stream_with_fraud_6B', {}, { event_id: '' })), undefined);
  t.is(profile.key(envelope('s3_event_stream_with_fraud_6B', { flow_id: '7' })), partitionKey('7'));
  t.is(partitionKey('7'), '7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451');
});

test('CI-47 an anchor and the events of its flow have one key in both traffic modes', (t) => {
  const anchor = { flow_id: '7', arrival_seq: 1, merchant_id: '8', party_id: '9', account_id: '10' };
  for (const mode of ['baseline', 'fraud'] as const) {
    const [anchorType, eventType] = streamedOutputs(mode)
      .slice(-2)
      .map((output) => output.output_id) as [string, string];
    t.is(keySource(anchorType, anchor), keySource(eventType, { flow_id: '7', event_seq: 0 }));
  }
});

test('CI-81 online payload schemas have the online columns of their output, and no ground truth', (t) => {
  for (const mode of ['baseline', 'fraud'] as const) {
    for (const output of streamedOutputs(mode)) {
      const payload = eventSchema(output.output_id).fields.at(-1)!.type as { fields: { name: string }[] };
      const fields = payload.fields.map((field) => field.name);
      t.deepEqual(
        fields,
        output.columns.filter((column) => column.online).map((column) => column.name),
      );
      for (const hidden of ['fraud_flag', 'campaign_id', ...LINEAGE_COLUMNS])
        t.false(fields.includes(hidden));
    }
  }
});

test('CI-43 truth and batch outputs are streamed in no mode and have no event schema', (t) => {
  const never = [
    's1_session_index_6B',
    's3_campaign_catalogue_6B',
    's4_event_labels_6B',
    's4_flow_truth_labels_6B',
    's4_flow_bank_view_6B',
    's4_case_timeline_6B',
  ];
  for (const id of never) {
    t.is(outputDefinition(id).streamed, null);
    t.false(eventTypes().includes(id));
    t.is(classMap.classOf(id).name, 'unmapped');
  }
});

test('CI-44 a mode streams the arrivals, its own anchors and its own events, context first', (t) => {
  const ids = (mode: 'baseline' | 'fraud'): string[] =>
    streamedOutputs(mode).map((output) => output.output_id);
  t.deepEqual(ids('baseline'), [
    'arrival_events_5B',
    's1_arrival_entities_6B',
    's2_flow_anchor_baseline_6B',
    's2_event_stream_baseline_6B',
  ]);
  t.deepEqual(ids('fraud'), [
    'arrival_events_5B',
    's1_arrival_entities_6B',
    's3_flow_anchor_with_fraud_6B',
    's3_event_stream_with_fraud_6B',
  ]);
  for (const mode of ['baseline', 'fraud'] as const) {
    const { context, business_traffic } = POLICIES.scenarioRunner.traffic_modes[mode];
    t.deepEqual([...context, ...business_traffic], ids(mode));
  }
});

test('CI-21 an output requires its own gate and every gate upstream of it', (t) => {
  t.is(requiredGates(['arrival_events_5B']).length, 8);
  t.is(requiredGates(['s3_event_stream_with_fraud_6B']).length, 10);
  t.deepEqual(requiredGates(['arrival_events_5B', 's1_arrival_entities_6B']), [...GATE_MAP.keys()].sort());
  t.throws(() => requiredGates(['nothing']), { message: /no "nothing"/ });
});

/** Copies the policy files, changes one, and loads them. */
function changed(name: keyof PolicyRefs & `${string}Ref`, change: (text: string) => string): Policies {
  const directory = mkdtempSync(join(tmpdir(), 'policies-'));
  try {
    const copy = join(directory, 'copy.yaml');
    writeFileSync(copy, change(readFileSync(REFS[name], 'utf8')));
    return loadPolicies({ ...REFS, [name]: copy });
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('CI-76 the policy digest is of content only: another place, comments and layout give the same', (t) => {
  const moved = changed('classMapRef', (text) => `# moved\n\n${text}\n`);
  t.deepEqual(moved.gateRev, POLICIES.gateRev);
});

test('CI-76 any change of content changes the digest, and a raised revision the revision', (t) => {
  const other = changed('schemaPolicyRef', (text) => text.replace('versions: [v1]', 'versions: [v1, v2]'));
  t.not(other.gateRev.content_digest, POLICIES.gateRev.content_digest);
  const raised = changed('partitioningProfilesRef', (text) => text.replace('revision: 1', 'revision: 2'));
  t.is(raised.gateRev.revision, '1.1.2.1');
});

test('CI-76 decision types without a required v1, or with the engine run, stop the boot', (t) => {
  t.throws(
    () => changed('schemaPolicyRef', (text) => text.replace('&v1 { required: true', '&v1 { required: false')),
    {
      instanceOf: ConfigError,
      message: /decision_response: IG_RTDL_POLICY_ALIGNMENT_FAILED/,
    },
  );
  t.throws(
    () =>
      changed('classMapRef', (text) =>
        text.replace('action_intent: rtdl_action_intent', 'action_intent: control'),
      ),
    {
      message: /action_intent: IG_RTDL_POLICY_ALIGNMENT_FAILED: its class must not require run_id/,
    },
  );
});

test('policies that do not list the same types, or name what is not defined, are refused', (t) => {
  t.throws(() => changed('classMapRef', (text) => text.replace('  run.terminal: control\n', '')), {
    message: /run\.terminal is missing/,
  });
  t.throws(() => changed('classMapRef', (text) => text.replace('run.ready: control', 'run.ready: nope')), {
    message: /event_types\.run\.ready: no class "nope"/,
  });
  t.throws(() => changed('partitioningProfilesRef', (text) => text.replace('[run_id,', '[ran_id,')), {
    message: /"ran_id" is neither an envelope field/,
  });
});

test('CI-97 a policy with wiring in it is refused', (t) => {
  t.throws(() => changed('ingestionGateRef', (text) => `${text}\nkafka_url: http://here\n`), {
    message: /kafka_url: wiring does not belong in a policy/,
  });
});
