import test from 'ava';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { readFileSync } from 'node:fs';
import { requiredGates, streamedOutputs, type ScenarioRunnerPolicy } from '../../../apps/rails/index.ts';
import { assertSamePlan, planRun } from '../../../apps/scenario-runner/plan.ts';
import { ScenarioRunnerError } from '../../../apps/scenario-runner/reason-codes.ts';
import type { CanonicalRunRequest } from '../../../apps/scenario-runner/run-request.ts';

const policy = parse(
  readFileSync(
    fileURLToPath(new URL('../../../config/policies/scenario_runner.yaml', import.meta.url)),
    'utf8',
  ),
) as ScenarioRunnerPolicy;
const policyRev = { policy_id: 'sr.policy', revision: '1', content_digest: 'd'.repeat(64) };
const RUN = 'f'.repeat(32);
const NOW = Date.parse('2026-05-01T00:00:00Z');

function request(outputIds: readonly string[] | null): CanonicalRunRequest {
  return {
    run_equivalence_key: 'key',
    manifest_fingerprint: 'a'.repeat(64),
    parameter_hash: 'b'.repeat(64),
    seed: '42',
    scenario_id: 'baseline_v1',
    scenario_set: null,
    window_start_utc: '2026-01-01T00:00:00.000000Z',
    window_end_utc: '2026-01-02T00:00:00.000000Z',
    window_tz: 'UTC',
    requested_strategy: 'AUTO',
    output_ids: outputIds,
    engine_run_root: null,
    request_id: null,
    notes: null,
    invoker: null,
  };
}

for (const mode of ['fraud', 'baseline'] as const) {
  test(`CI-21 a ${mode} plan lists the mode's traffic and context, sorted, with every gate upstream`, (t) => {
    const expected = streamedOutputs(mode).map((output) => output.output_id);
    const plan = planRun(RUN, request(policy.traffic_modes[mode].business_traffic), policy, policyRev, NOW);
    t.deepEqual(plan.intended_outputs, [...expected].sort());
    t.deepEqual(plan.required_gates, requiredGates(expected));
    t.is(plan.required_gates.length, 10);
  });
}

test('a request without outputs gets the default mode of the policy', (t) => {
  const plan = planRun(RUN, request(null), policy, policyRev, NOW);
  t.true(plan.intended_outputs.includes('s3_event_stream_with_fraud_6B'));
  t.false(plan.intended_outputs.includes('s2_event_stream_baseline_6B'));
});

test("the deadline is the policy's wait after the plan is made", (t) => {
  const plan = planRun(RUN, request(null), policy, policyRev, NOW);
  t.is(plan.created_at_utc, '2026-05-01T00:00:00.000000Z');
  t.is(plan.evidence_deadline_utc, '2026-05-01T00:10:00.000000Z');
});

test('the plan hash does not depend on when the plan is made', (t) => {
  const hash = (nowMs: number): string => planRun(RUN, request(null), policy, policyRev, nowMs).plan_hash;
  t.is(hash(NOW), hash(NOW + 12_345));
});

const REFUSED = [
  ['an unknown output', ['no_such_output'], 'UNKNOWN_OUTPUT_ID'],
  ['ground truth', ['s3_event_stream_with_fraud_6B', 's4_event_labels_6B'], 'PLAN_INVALID'],
  ['both modes', ['s3_event_stream_with_fraud_6B', 's2_event_stream_baseline_6B'], 'PLAN_INVALID'],
  [
    'context of the other mode',
    ['s3_event_stream_with_fraud_6B', 's2_flow_anchor_baseline_6B'],
    'PLAN_INVALID',
  ],
  ['context alone', ['arrival_events_5B'], 'PLAN_INVALID'],
] as const;

for (const [title, outputs, code] of REFUSED) {
  test(`CI-21 a request for ${title} fails the plan with ${code}`, (t) => {
    const error = t.throws(() => planRun(RUN, request(outputs), policy, policyRev, NOW), {
      instanceOf: ScenarioRunnerError,
    });
    t.is(error.code, code);
  });
}

test('CI-20 asking a planned run for another mode is PLAN_DRIFT, for the same or none it is not', (t) => {
  const plan = planRun(RUN, request(null), policy, policyRev, NOW);
  t.notThrows(() => assertSamePlan(plan, request(null), policy));
  t.notThrows(() => assertSamePlan(plan, request(['s3_event_stream_with_fraud_6B']), policy));
  const error = t.throws(() => assertSamePlan(plan, request(['s2_event_stream_baseline_6B']), policy), {
    instanceOf: ScenarioRunnerError,
  });
  t.is(error.code, 'PLAN_DRIFT');
});
