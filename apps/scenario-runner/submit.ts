/** Submitting a run: the request becomes a run, and whoever leads it carries it as far as it goes. */
import { intentFingerprint, scenarioRunId } from '../rails/index.ts';
import { parseRoot } from '../oracle-store/index.ts';
import { advance } from './advance.ts';
import { NO_ENGINE } from './engine-command.ts';
import { Lease } from './lease.ts';
import { outboxState, PublishFailed } from './outbox.ts';
import { assertSamePlan, strategyOf } from './plan.ts';
import { adoptPlatformRun } from './platform-runs.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { ReadyOutput, ReplayRequest } from './run-artifacts.ts';
import type { RunKey } from './run-record.ts';
import { canonicalRunRequest, type RunRequest, type Strategy } from './run-request.ts';
import { isFinal, type RunState } from './run-state.ts';
import type { Run } from './run-store.ts';
import { step, type RunnerContext } from './runner-context.ts';
import { packRootProblem } from './settlement-lock.ts';

export interface RunSubmission {
  readonly platform_run_id: string;
  /** Root of the sealed pack, `s3://bucket/path/`; left out, the run's world is made by the engine. */
  readonly pack_root?: string;
  readonly request: RunRequest;
  /** What READY asks of the replayer; the replayer's policy decides what is left out. */
  readonly replay?: Partial<ReplayRequest>;
  /** Seconds to wait here for missing evidence, at most to the policy's deadline. Default: to the deadline. */
  readonly wait_seconds?: number;
}

/** A run as its submitter sees it. */
export interface RunOutcome {
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly state: RunState;
  /** Null for a run that is READY or under way. */
  readonly reason_code: ReasonCode | null;
  readonly reason: string | null;
  /** False when another process leads the run just now: the state is what it has committed so far. */
  readonly leader: boolean;
  /** True once every fact of the run is on the ingress topic. */
  readonly published: boolean;
  /** Why not, when this call tried. */
  readonly publish_failure: string | null;
  /** READY's own id; null before READY. */
  readonly message_id: string | null;
  readonly bundle_hash: string | null;
  readonly facts_view_ref: string | null;
  readonly status_ref: string;
  readonly record_ref: string;
  /** Gates that were verified PASS, sorted; empty before READY. */
  readonly gates_passed: readonly string[];
  /** Outputs that may be streamed, in catalogue order; empty before READY. */
  readonly outputs: readonly ReadyOutput[];
  readonly oracle_pack_id: string | null;
}

/**
 * Submits a run and leads it, unless another process does. The same request gives the same run, whose state is
 * returned unchanged once it has ended. Throws a ScenarioRunnerError when the request is refused before a run
 * exists (RUN_REQUEST_INVALID, EQUIV_KEY_COLLISION, ENGINE_COMMAND_MISSING …), and the store's error when a server
 * does not answer: the run then stays where it was, and submitting again carries it on.
 */
export async function submitRun(context: RunnerContext, submission: RunSubmission): Promise<RunOutcome> {
  const request = canonicalRunRequest(submission.request);
  const packRoot = submission.pack_root === undefined ? null : packRootOf(context, submission.pack_root);
  assertWorldIsToBeHad(context, strategyOf(request, context.policy), packRoot);
  const key: RunKey = {
    platformRunId: submission.platform_run_id,
    runId: scenarioRunId(request.run_equivalence_key),
  };
  if (request.engine_run_root !== null && packRoot === null) {
    throw new ScenarioRunnerError(
      'ENGINE_INVOCATION_INVALID',
      `engine_run_root ${request.engine_run_root} names a world that exists, and the engine is to make a new one; ` +
        'leave it out, or name the pack of that world',
    );
  }
  await adoptPlatformRun(context.store.pool, key.platformRunId);
  const accepted = await context.store.accept(
    key,
    { equivalenceKey: request.run_equivalence_key, fingerprint: intentFingerprint(request) },
    { request, requestedPackRoot: packRoot, replay: replayOf(submission.replay) },
    context.policyRev,
  );
  assertSameRun(context, accepted, packRoot, request);
  await step(context, 'accepted', key);

  const lease = await Lease.acquire(
    context.store.pool,
    { platformRunId: key.platformRunId, subject: key.runId },
    context.policy.lease_ttl_seconds,
  );
  if (lease === undefined) return outcomeOf(context, await context.store.get(key), { leader: false });
  try {
    await step(context, 'leased', key);
    const waitMs = 1000 * (submission.wait_seconds ?? context.policy.evidence_wait_seconds);
    // Read again: the run may have moved between being accepted and being led.
    const run = await advance(context, lease, await context.store.get(key), waitMs);
    return await outcomeOf(context, run, { leader: true });
  } catch (error) {
    if (!(error instanceof PublishFailed)) throw error;
    return await outcomeOf(context, await context.store.get(key), {
      leader: true,
      publishFailure: error.message,
    });
  } finally {
    await lease.release();
  }
}

/** The run's state as it is committed. Throws RUN_NOT_FOUND. */
export async function runStatus(context: RunnerContext, key: RunKey): Promise<RunOutcome> {
  return outcomeOf(context, await context.store.get(key), { leader: false });
}

async function outcomeOf(
  context: RunnerContext,
  run: Run,
  call: { readonly leader: boolean; readonly publishFailure?: string },
): Promise<RunOutcome> {
  const refs = context.objects.refs(run);
  const { pending } = await outboxState(context.store.pool, run, 'run.ready', 0);
  return {
    run_id: run.runId,
    platform_run_id: run.platformRunId,
    scenario_run_id: run.runId,
    state: run.state,
    reason_code: run.reasonCode,
    reason: run.reason,
    leader: call.leader,
    published: isFinal(run.state) && pending === 0,
    publish_failure: call.publishFailure ?? null,
    message_id: run.readySignal?.message_id ?? null,
    bundle_hash: run.bundleHash,
    facts_view_ref: run.factsViewRef,
    status_ref: refs.status,
    record_ref: refs.record,
    gates_passed: run.factsView?.gate_receipts.map((gate) => gate.gate_id) ?? [],
    outputs: run.factsView?.outputs ?? [],
    oracle_pack_id: run.factsView?.oracle_pack_ref.oracle_pack_id ?? null,
  };
}

function replayOf(asked: Partial<ReplayRequest> | undefined): ReplayRequest {
  const replay: ReplayRequest = {
    speedup: asked?.speedup ?? null,
    max_events: asked?.max_events ?? null,
    max_events_per_output: asked?.max_events_per_output ?? null,
  };
  if (replay.speedup !== null && !(Number.isFinite(replay.speedup) && replay.speedup >= 0)) {
    throw new ScenarioRunnerError('RUN_REQUEST_INVALID', `speedup ${replay.speedup} is not 0 or more`);
  }
  for (const name of ['max_events', 'max_events_per_output'] as const) {
    const cap = replay[name];
    if (cap !== null && (!Number.isSafeInteger(cap) || cap < 1)) {
      throw new ScenarioRunnerError('RUN_REQUEST_INVALID', `${name} ${cap} is not a whole number above 0`);
    }
  }
  return replay;
}

function assertWorldIsToBeHad(context: RunnerContext, strategy: Strategy, packRoot: string | null): void {
  if (strategy === 'FORCE_INVOKE' && packRoot !== null) {
    throw new ScenarioRunnerError(
      'RUN_REQUEST_INVALID',
      `the strategy FORCE_INVOKE has a world made, and the submission names ${packRoot}; leave the pack out, or use AUTO`,
    );
  }
  if (packRoot !== null) return;
  if (strategy === 'FORCE_REUSE') {
    throw new ScenarioRunnerError('RUN_REQUEST_INVALID', 'the strategy FORCE_REUSE needs a pack; give one');
  }
  if (context.engine === undefined) throw new ScenarioRunnerError('ENGINE_COMMAND_MISSING', NO_ENGINE);
}

function packRootOf(context: RunnerContext, packRoot: string): string {
  try {
    const { bucket, key } = parseRoot(packRoot);
    if (bucket !== context.platformBucket) {
      const root = `s3://${bucket}/${key}/`;
      const problem = packRootProblem(root, context.environment, context.oracleBucket);
      if (problem === undefined) return root;
      throw new ScenarioRunnerError('SR_SETTLEMENT_LOCK_FAIL_CLOSED', problem);
    }
  } catch (error) {
    if (error instanceof ScenarioRunnerError) throw error;
    throw new ScenarioRunnerError('RUN_REQUEST_INVALID', `pack root: ${(error as Error).message}`, {
      cause: error,
    });
  }
  throw new ScenarioRunnerError(
    'RUN_REQUEST_INVALID',
    `pack root ${packRoot} is in the platform's own bucket; sealed worlds live in the oracle store`,
  );
}

/** A run keeps the pack and the plan it began with. */
function assertSameRun(
  context: RunnerContext,
  run: Run,
  packRoot: string | null,
  request: ReturnType<typeof canonicalRunRequest>,
): void {
  if (run.requestedPackRoot !== packRoot) {
    throw new ScenarioRunnerError(
      'ORACLE_PACK_MISMATCH',
      `run ${run.platformRunId}/${run.runId} was asked to read ${run.requestedPackRoot ?? 'a world of its own'}, ` +
        `this request names ${packRoot ?? 'none'}; ` +
        'use another run_equivalence_key or platform run',
    );
  }
  if (run.plan !== null) assertSamePlan(run.plan, request, context.policy);
}
