/**
 * What a run intends: the outputs that will be streamed and the gates that must have passed before anyone reads
 * them. A pure function of the request, the policy and the instant.
 *
 * A plan always covers a whole traffic mode, its context outputs included, because everything that is streamed on
 * READY must have been proven by READY.
 */
import {
  epochMillisToMicros,
  OUTPUT_CATALOGUE,
  planHash,
  requiredGates,
  type PolicyRev,
  type ScenarioRunnerPolicy,
  type TrafficMode,
} from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { RunPlan } from './run-artifacts.ts';
import type { CanonicalRunRequest, Strategy } from './run-request.ts';

const MODES = ['baseline', 'fraud'] as const satisfies readonly TrafficMode[];

/** The traffic mode a request asks for by its outputs, or the policy's default. */
export function trafficModeOf(request: CanonicalRunRequest, policy: ScenarioRunnerPolicy): TrafficMode {
  const asked = request.output_ids;
  if (asked === null) return policy.default_traffic_mode;
  for (const outputId of asked) assertStreamed(outputId);
  const traffic = (mode: TrafficMode): readonly string[] => policy.traffic_modes[mode].business_traffic;
  const modes = MODES.filter((mode) => traffic(mode).some((outputId) => asked.includes(outputId)));
  const mode = modes[0];
  if (mode === undefined) {
    throw new ScenarioRunnerError(
      'PLAN_INVALID',
      `output_ids [${asked.join(', ')}] name no event stream; add the one of the mode to run: ` +
        MODES.map((each) => `${traffic(each).join(', ')} (${each})`).join(' or '),
    );
  }
  const foreign = asked.filter((outputId) => !outputsOf(mode, policy).includes(outputId));
  if (foreign.length > 0) {
    throw new ScenarioRunnerError(
      'PLAN_INVALID',
      `output_ids [${asked.join(', ')}] mix traffic modes: ${foreign.join(', ')} is not streamed in mode ${mode}, ` +
        'and a run has one mode',
    );
  }
  return mode;
}

function assertStreamed(outputId: string): void {
  const output = OUTPUT_CATALOGUE.get(outputId);
  if (output === undefined) {
    throw new ScenarioRunnerError(
      'UNKNOWN_OUTPUT_ID',
      `the output catalogue has no '${outputId}'; it has ${[...OUTPUT_CATALOGUE.keys()].join(', ')}`,
    );
  }
  if (output.streamed === null) {
    throw new ScenarioRunnerError(
      'PLAN_INVALID',
      `${outputId} is a ${output.role} output and is never streamed; leave it out of output_ids`,
    );
  }
}

/** Everything that is streamed in a mode, sorted: its traffic and its context. */
function outputsOf(mode: TrafficMode, policy: ScenarioRunnerPolicy): string[] {
  const { business_traffic: traffic, context } = policy.traffic_modes[mode];
  return [...new Set([...traffic, ...context])].sort();
}

/** How the world is to be had, which a policy that forbids reuse overrides. */
export function strategyOf(request: CanonicalRunRequest, policy: ScenarioRunnerPolicy): Strategy {
  return policy.reuse_policy === 'ALLOW' ? request.requested_strategy : 'FORCE_INVOKE';
}

export function planRun(
  runId: string,
  request: CanonicalRunRequest,
  policy: ScenarioRunnerPolicy,
  policyRev: PolicyRev,
  nowMs: number,
): RunPlan {
  const outputs = outputsOf(trafficModeOf(request, policy), policy);
  for (const outputId of outputs) assertStreamed(outputId);
  const plan = {
    run_id: runId,
    policy_rev: { ...policyRev },
    strategy: strategyOf(request, policy),
    intended_outputs: outputs,
    required_gates: gatesOf(outputs),
    evidence_deadline_utc: epochMillisToMicros(nowMs + policy.evidence_wait_seconds * 1000),
    attempt_limit: policy.attempt_limit,
    created_at_utc: epochMillisToMicros(nowMs),
  };
  return { ...plan, plan_hash: planHash(plan) };
}

/** Throws PLAN_DRIFT when a request asks for other outputs than the committed plan has. */
export function assertSamePlan(
  plan: RunPlan,
  request: CanonicalRunRequest,
  policy: ScenarioRunnerPolicy,
): void {
  if (request.output_ids === null) return;
  const asked = outputsOf(trafficModeOf(request, policy), policy);
  if (asked.join() !== plan.intended_outputs.join()) {
    throw new ScenarioRunnerError(
      'PLAN_DRIFT',
      `run ${plan.run_id} is planned with [${plan.intended_outputs.join(', ')}], this request asks for ` +
        `[${asked.join(', ')}]; a plan never changes: use another run_equivalence_key`,
    );
  }
}

function gatesOf(outputs: readonly string[]): readonly string[] {
  try {
    return requiredGates(outputs);
  } catch (error) {
    throw new ScenarioRunnerError('UNKNOWN_GATE_ID', (error as Error).message, { cause: error });
  }
}
