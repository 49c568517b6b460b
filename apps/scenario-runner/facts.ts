/**
 * What a run tells the world: the facts view (what was proven, by reference and digest), and the control events
 * that carry READY or the end without it.
 *
 * Everything here is a pure function of the run, its plan and the evidence, so that the successor of a crashed
 * leader makes the same facts view to the byte.
 */
import {
  bundleHash,
  controlEventId,
  epochMillisToMicros,
  readyMessageId,
  terminalKey,
  type Envelope,
  type RunClosedPayload,
  type RunReadyPayload,
  type RunTerminalPayload,
  type TrafficMode,
} from '../rails/index.ts';
import type { CompleteEvidence } from './evidence.ts';
import type { FactType, OutboxFact } from './outbox.ts';
import type { ReasonCode } from './reason-codes.ts';
import type { InstanceProof, ReplayRequest, RunFactsView, RunPins, RunPlan } from './run-artifacts.ts';
import type { RunRefs } from './run-objects.ts';
import type { Run } from './run-store.ts';
import type { FinalState } from './run-state.ts';

/** `producer` of the runner's events. */
export const PRODUCER_ID = 'svc:scenario_runner';

/** `schema_version` of the runner's events. */
const SCHEMA_VERSION = 'v1';

export function runPins(run: Run): RunPins {
  return {
    manifest_fingerprint: run.request.manifest_fingerprint,
    parameter_hash: run.request.parameter_hash,
    seed: run.request.seed,
    scenario_id: run.request.scenario_id,
    run_id: run.runId,
    platform_run_id: run.platformRunId,
    scenario_run_id: run.runId,
  };
}

export function factsViewOf(
  run: Run,
  plan: RunPlan,
  mode: TrafficMode,
  evidence: ProvenEvidence,
  refs: RunRefs,
): RunFactsView {
  const hash = bundleHash({
    locators: evidence.locators.map((locator) => ({
      ...locator,
      content_digest: { ...locator.content_digest },
    })),
    gate_receipts: evidence.gateReceipts.map((receipt) => ({
      ...receipt,
      scope: { ...receipt.scope },
      digest: { ...receipt.digest },
      artifacts: { ...receipt.artifacts },
    })),
    instance_receipts: evidence.instanceProofs.map(({ scope, target_ref, ...proof }) => ({
      ...proof,
      scope: { ...scope },
      target_ref: { ...target_ref, content_digest: { ...target_ref.content_digest } },
      target_digest: { ...proof.target_digest },
      artifacts: { ...proof.artifacts },
    })),
    policy_rev: { ...plan.policy_rev },
  });
  return {
    run_id: run.runId,
    platform_run_id: run.platformRunId,
    scenario_run_id: run.runId,
    pins: runPins(run),
    locators: evidence.locators,
    gate_receipts: evidence.gateReceipts,
    instance_receipts: evidence.instanceProofs,
    policy_rev: plan.policy_rev,
    bundle_hash: hash,
    plan_ref: refs.plan,
    record_ref: refs.record,
    status_ref: refs.status,
    output_roles: Object.fromEntries(evidence.outputs.map((output) => [output.output_id, output.role])),
    intended_outputs: plan.intended_outputs,
    run_config_digest: plan.policy_rev.content_digest,
    oracle_pack_ref: evidence.pack,
    oracle_pack_seal: evidence.seal,
    traffic_mode: mode,
    outputs: evidence.outputs,
  };
}

/** Evidence with the proofs that were written about it. */
export interface ProvenEvidence extends CompleteEvidence {
  /** Sorted by output_id. */
  readonly instanceProofs: readonly InstanceProof[];
}

export interface Emission {
  readonly attempt: number;
  /** `micros` text. */
  readonly nowUtc: string;
  readonly environment: string;
  readonly releaseId: string | null;
  /** The platform run it is emitted into; the run's own unless an override allows another. */
  readonly platformRunId?: string;
}

/** The first emission of a fact by this runner, now. */
export function emissionNow(context: {
  readonly environment: string;
  readonly service: { readonly releaseId: string | null };
}): Emission {
  return {
    attempt: 1,
    nowUtc: epochMillisToMicros(Date.now()),
    environment: context.environment,
    releaseId: context.service.releaseId,
  };
}

/** READY of one attempt. Attempts differ in message id, event id and what they ask of the replayer. */
export function readyFact(
  facts: RunFactsView,
  plan: RunPlan,
  factsViewRef: string,
  replay: ReplayRequest,
  emission: Emission,
): OutboxFact & { readonly payload: RunReadyPayload } {
  const pins = { ...facts.pins, platform_run_id: emission.platformRunId ?? facts.pins.platform_run_id };
  const messageId = readyMessageId(
    pins.platform_run_id,
    pins.scenario_run_id,
    facts.bundle_hash,
    emission.attempt,
  );
  const payload: RunReadyPayload = {
    run_id: facts.run_id,
    platform_run_id: pins.platform_run_id,
    scenario_run_id: pins.scenario_run_id,
    attempt: emission.attempt,
    message_id: messageId,
    facts_view_ref: factsViewRef,
    bundle_hash: facts.bundle_hash,
    plan_hash: plan.plan_hash,
    run_config_digest: facts.run_config_digest,
    manifest_fingerprint: pins.manifest_fingerprint,
    parameter_hash: pins.parameter_hash,
    scenario_id: pins.scenario_id,
    seed: pins.seed,
    traffic_mode: facts.traffic_mode,
    outputs: facts.outputs,
    gates: facts.gate_receipts.map((gate) => ({ gate_id: gate.gate_id, status: gate.status })),
    oracle_pack_ref: facts.oracle_pack_ref,
    policy_rev: facts.policy_rev,
    ...replay,
    emitted_at_utc: emission.nowUtc,
    service_release_id: emission.releaseId,
    environment: emission.environment,
    provenance:
      emission.releaseId === null
        ? null
        : {
            service_release_id: emission.releaseId,
            environment: emission.environment,
            config_revision: plan.policy_rev.revision,
            run_config_digest: facts.run_config_digest,
          },
  };
  return {
    eventType: 'run.ready',
    emitPlatformRunId: pins.platform_run_id,
    attempt: emission.attempt,
    messageId,
    event: envelope('run.ready', pins, emission, { ...payload }),
    payload,
  };
}

/** The fact that a run has ended without READY. */
export function terminalFact(
  run: Run,
  end: { readonly state: Exclude<FinalState, 'READY'>; readonly code: ReasonCode },
  refs: RunRefs,
  emission: Emission,
): OutboxFact {
  const key = terminalKey(run.runId, end.state, {
    run_id: run.runId,
    platform_run_id: run.platformRunId,
    state: end.state,
    reason_code: end.code,
    record_ref: refs.record,
  });
  const payload: RunTerminalPayload = {
    run_id: run.runId,
    status_state: end.state,
    status_ref: refs.status,
    record_ref: refs.record,
    reemit_key: key,
    attempt: emission.attempt,
    reason_code: end.code,
    emitted_at_utc: emission.nowUtc,
  };
  return {
    eventType: 'run.terminal',
    emitPlatformRunId: run.platformRunId,
    attempt: emission.attempt,
    messageId: key,
    event: envelope('run.terminal', runPins(run), emission, { ...payload }),
  };
}

/** The fact that a platform run is over, told to whoever follows this scenario run. */
export function closedFact(
  run: Run,
  state: FinalState,
  close: { readonly closedBy: string; readonly reason: string | null },
  emission: Emission,
): OutboxFact {
  const payload: RunClosedPayload = {
    run_id: run.runId,
    status_state: state,
    closed_by: close.closedBy,
    reason: close.reason,
    attempt: emission.attempt,
    emitted_at_utc: emission.nowUtc,
  };
  const event = envelope('run.closed', runPins(run), emission, { ...payload });
  return {
    eventType: 'run.closed',
    emitPlatformRunId: run.platformRunId,
    attempt: emission.attempt,
    // Nobody dedupes a close but by its event.
    messageId: event.event_id,
    event,
  };
}

function envelope(
  eventType: FactType,
  pins: RunPins,
  emission: Emission,
  payload: Readonly<Record<string, unknown>>,
): Envelope {
  return {
    event_id: controlEventId(eventType, pins.platform_run_id, pins.scenario_run_id, emission.attempt),
    event_type: eventType,
    ts_utc: emission.nowUtc,
    ...pins,
    schema_version: SCHEMA_VERSION,
    emitted_at_utc: emission.nowUtc,
    producer: PRODUCER_ID,
    trace_id: null,
    span_id: null,
    parent_event_id: null,
    payload,
  };
}
