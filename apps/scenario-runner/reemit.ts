/**
 * Emitting the end of a run again: READY as a new attempt (with a message id of its own, so that consumers which
 * have finished the earlier one act again), or the terminal fact.
 */
import { artifactProblems } from '../rails/index.ts';
import { publishOwed } from './advance.ts';
import { approveCrossRun, type CrossRunOverride } from './cross-run-override.ts';
import { emissionNow, readyFact, terminalFact } from './facts.ts';
import { Lease } from './lease.ts';
import { insertFacts, outboxState, PublishFailed, type FactType, type OutboxFact } from './outbox.ts';
import { assertOpen } from './platform-runs.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { ReplayRequest } from './run-artifacts.ts';
import { appendRecords, type RecordEntry } from './run-record.ts';
import { isFinal } from './run-state.ts';
import type { Run } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';

export const REEMIT_KINDS = ['READY_ONLY', 'TERMINAL_ONLY', 'BOTH'] as const;
export type ReemitKind = (typeof REEMIT_KINDS)[number];

export interface ReemitRequest {
  readonly platform_run_id: string;
  readonly run_id: string;
  /** BOTH emits whichever end the run has. */
  readonly reemit_kind: ReemitKind;
  readonly dry_run?: boolean;
  readonly reason?: string;
  readonly requested_by?: string;
  /** Another platform run to emit READY into; takes an override. */
  readonly emit_platform_run_id?: string;
  readonly cross_run_override?: CrossRunOverride;
  /** What the new READY asks of the replayer; what is left out stays as the run first asked. */
  readonly replay?: Partial<ReplayRequest>;
}

export interface ReemitOutcome {
  readonly run_id: string;
  readonly platform_run_id: string;
  /** Where the fact was emitted: the run's own platform run, unless an override said otherwise. */
  readonly emit_platform_run_id: string;
  readonly status_state: Run['state'];
  readonly event_type: FactType;
  /** The attempt that was, or with a dry run would be, emitted. */
  readonly attempt: number;
  readonly message_id: string;
  readonly event_id: string;
  /** True when a new attempt was made; false when an earlier one was still owed and went out now, or a dry run. */
  readonly new_attempt: boolean;
  readonly published: boolean;
}

/**
 * Emits the end of a run again. A fact that an earlier call could not publish goes out first, and alone: that
 * repairs a failed publication without a new attempt. Throws REEMIT_NOT_FOUND, REEMIT_NOT_APPLICABLE,
 * REEMIT_READY_ONLY_MISMATCH, REEMIT_TERMINAL_ONLY_MISMATCH, REEMIT_BUSY, REEMIT_RATE_LIMIT, RUN_CLOSED,
 * CROSS_RUN_OVERRIDE_…, or
 * READY_PUBLISH_FAILED / TERMINAL_PUBLISH_FAILED when the new fact could not be published (it stays owed).
 */
export async function reemit(context: RunnerContext, input: ReemitRequest): Promise<ReemitOutcome> {
  const faults = artifactProblems('reemit_request', input);
  if (faults.length > 0) throw new ScenarioRunnerError('REEMIT_REQUEST_INVALID', faults.join('; '));
  const run = await context.store.find({ platformRunId: input.platform_run_id, runId: input.run_id });
  if (run === undefined) {
    throw new ScenarioRunnerError(
      'REEMIT_NOT_FOUND',
      `there is no run ${input.run_id} in ${input.platform_run_id}; \`fp sr status\` lists those there are`,
    );
  }
  assertApplicable(run, input.reemit_kind);
  const lease = await Lease.acquire(
    context.store.pool,
    { platformRunId: run.platformRunId, subject: `reemit:${run.runId}:${input.reemit_kind}` },
    context.policy.reemit.lease_ttl_seconds,
  );
  if (lease === undefined) throw busy(run);
  try {
    return await emit(context, lease, run, input);
  } finally {
    await lease.release();
  }
}

function assertApplicable(run: Run, kind: ReemitKind): void {
  const what = `run ${run.platformRunId}/${run.runId} is ${run.state}`;
  if (!isFinal(run.state)) {
    throw new ScenarioRunnerError(
      'REEMIT_NOT_APPLICABLE',
      `${what}; only a run that has ended is emitted again`,
    );
  }
  if (kind === 'READY_ONLY' && run.state !== 'READY') {
    throw new ScenarioRunnerError('REEMIT_READY_ONLY_MISMATCH', `${what}: it has no READY to emit`);
  }
  if (kind === 'TERMINAL_ONLY' && run.state === 'READY') {
    throw new ScenarioRunnerError(
      'REEMIT_TERMINAL_ONLY_MISMATCH',
      `${what}: it has no terminal fact to emit`,
    );
  }
}

async function emit(
  context: RunnerContext,
  lease: Lease,
  run: Run,
  request: ReemitRequest,
): Promise<ReemitOutcome> {
  const { store, policy, policyRev } = context;
  const eventType = run.state === 'READY' ? 'run.ready' : 'run.terminal';
  const into = request.emit_platform_run_id ?? run.platformRunId;
  const crossing = into !== run.platformRunId;
  const approval = crossing ? await approve(context, run, into, request) : undefined;
  const decided = await store.transaction(async (client) => {
    await lease.renew(client);
    await assertOpen(client, into);
    const { lastAttempt, pending, recent } = await outboxState(
      client,
      run,
      eventType,
      policy.reemit.window_seconds,
      into,
    );
    if (pending > 0) return { fact: factOf(context, run, lastAttempt, request), isNew: false };
    // Attempt 1 is the run's own, should it ever be submitted there too.
    const fact = factOf(context, run, Math.max(lastAttempt, crossing ? 1 : 0) + 1, request);
    const asked = {
      reemit_kind: request.reemit_kind,
      emit_platform_run_id: into,
      attempt: fact.attempt,
      reason: request.reason ?? null,
      requested_by: request.requested_by ?? null,
    };
    if (request.dry_run === true) {
      await appendRecords(client, run, policyRev, [{ event_kind: 'REEMIT_DRY_RUN', details: asked }]);
      return { fact, isNew: false };
    }
    if (recent >= policy.reemit.max_per_window) {
      throw new ScenarioRunnerError(
        'REEMIT_RATE_LIMIT',
        `run ${run.platformRunId}/${run.runId} was emitted again ${recent} times in ${policy.reemit.window_seconds} s, ` +
          `and its policy allows ${policy.reemit.max_per_window}; try again later`,
      );
    }
    await appendRecords(client, run, policyRev, [
      { event_kind: 'REEMIT_REQUESTED', details: asked },
      { event_kind: 'GOV_REEMIT_KEY', details: { message_id: fact.messageId, attempt: fact.attempt } },
      ...(approval === undefined ? [] : [approval]),
    ]);
    // Another run of the same key may just have taken this attempt of the platform run.
    if ((await insertFacts(client, run, [fact])) === 0) throw busy(run);
    return { fact, isNew: true };
  });
  const outcome = {
    run_id: run.runId,
    platform_run_id: run.platformRunId,
    emit_platform_run_id: into,
    status_state: run.state,
    event_type: eventType,
    attempt: decided.fact.attempt,
    message_id: decided.fact.messageId,
    event_id: decided.fact.event.event_id,
    new_attempt: decided.isNew,
  } as const;
  if (request.dry_run === true) return { ...outcome, published: false };
  try {
    if ((await publishOwed(context, run)) === 0) throw busy(run);
  } catch (error) {
    if (!(error instanceof PublishFailed)) throw error;
    throw new ScenarioRunnerError(
      eventType === 'run.ready' ? 'READY_PUBLISH_FAILED' : 'TERMINAL_PUBLISH_FAILED',
      `${error.message}; the fact is kept and goes out with the next re-emit or submit`,
      { cause: error },
    );
  }
  return { ...outcome, published: true };
}

/** What an emission into another platform run takes. */
async function approve(
  context: RunnerContext,
  run: Run,
  into: string,
  request: ReemitRequest,
): Promise<RecordEntry> {
  if (run.state !== 'READY') {
    throw new ScenarioRunnerError(
      'REEMIT_NOT_APPLICABLE',
      `run ${run.platformRunId}/${run.runId} is ${run.state}; only READY is emitted into another platform run`,
    );
  }
  const approval = await approveCrossRun(context, run, into, request.cross_run_override);
  // What the run owes of its own goes out first, so that what follows is this emission and nothing else.
  if (request.dry_run !== true) await publishOwed(context, run);
  return approval;
}

function factOf(context: RunnerContext, run: Run, attempt: number, request: ReemitRequest): OutboxFact {
  const emission = {
    ...emissionNow(context),
    attempt,
    ...(request.emit_platform_run_id === undefined ? {} : { platformRunId: request.emit_platform_run_id }),
  };
  const { factsView, plan, factsViewRef } = run;
  if (run.state === 'READY' && factsView !== null && plan !== null && factsViewRef !== null) {
    return readyFact(factsView, plan, factsViewRef, { ...run.replay, ...request.replay }, emission);
  }
  if ((run.state === 'FAILED' || run.state === 'QUARANTINED') && run.reasonCode !== null) {
    return terminalFact(run, { state: run.state, code: run.reasonCode }, context.objects.refs(run), emission);
  }
  throw new ScenarioRunnerError(
    'FACTS_VIEW_MISSING',
    `run ${run.runId} is ${run.state} and has nothing to emit`,
  );
}

function busy(run: Run): ScenarioRunnerError {
  return new ScenarioRunnerError(
    'REEMIT_BUSY',
    `run ${run.platformRunId}/${run.runId} is being emitted by another process; try again in a moment`,
  );
}
