/**
 * Closing a platform run: what is still under way ends, every scenario run tells that it is over, and nothing more
 * is submitted or emitted in it. Closing again tells what was not told yet and changes nothing else.
 */
import { endWithout, publishOwed, tell } from './advance.ts';
import { closedFact, emissionNow } from './facts.ts';
import { Lease } from './lease.ts';
import { insertFacts, PublishFailed } from './outbox.ts';
import { platformRun, type PlatformRun } from './platform-runs.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import { appendRecords } from './run-record.ts';
import { isFinal } from './run-state.ts';
import type { Run } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';

export interface CloseRequest {
  readonly platform_run_id: string;
  /** Actor id. */
  readonly closed_by: string;
  readonly reason?: string;
}

export interface CloseOutcome extends PlatformRun {
  /** Scenario runs, each of which has told that it is over. */
  readonly runs: readonly { readonly run_id: string; readonly state: Run['state'] }[];
}

/** The most scenario runs that one platform run is expected to have. */
const MOST_RUNS = 10_000;

/**
 * Throws RUN_NOT_FOUND; RUN_STATE_CONFLICT when another process leads one of its runs just now; CLOSE_PUBLISH_FAILED
 * when it is closed and not everybody could be told: closing again repeats that part.
 */
export async function closePlatformRun(context: RunnerContext, request: CloseRequest): Promise<CloseOutcome> {
  const { store } = context;
  const { platform_run_id: platformRunId } = request;
  await platformRun(store.pool, platformRunId);
  const list = (): Promise<Run[]> => store.list({ platformRunId, limit: MOST_RUNS });
  for (const run of await list()) if (!isFinal(run.state)) await end(context, run, request);

  const close = { closedBy: request.closed_by, reason: request.reason ?? null };
  await store.transaction(async (client) => {
    const { rowCount } = await client.query(
      `update sr_platform_runs set closed_at = clock_timestamp(), closed_by = $2, close_reason = $3
       where platform_run_id = $1 and closed_at is null`,
      [platformRunId, close.closedBy, close.reason],
    );
    if (rowCount !== 1) return;
    // Whoever submits into it holds its row shared until the run is there, so the list is complete now.
    const { rows } = await client.query<{ run_id: string }>(
      'select run_id from sr_runs where platform_run_id = $1',
      [platformRunId],
    );
    for (const { run_id: runId } of rows) {
      const run = await store.get({ platformRunId, runId });
      if (!isFinal(run.state)) {
        throw new ScenarioRunnerError(
          'RUN_STATE_CONFLICT',
          `run ${platformRunId}/${runId} was submitted meanwhile; close again`,
        );
      }
      await insertFacts(client, run, [closedFact(run, run.state, close, emissionNow(context))]);
      await appendRecords(client, run, context.policyRev, [
        { event_kind: 'RUN_CLOSED', details: { closed_by: close.closedBy, reason: close.reason } },
      ]);
    }
  });

  const runs = await list();
  try {
    for (const run of runs) await publishOwed(context, run);
  } catch (error) {
    if (!(error instanceof PublishFailed)) throw error;
    throw new ScenarioRunnerError(
      'CLOSE_PUBLISH_FAILED',
      `${platformRunId} is closed, and ${error.message}; close again to tell it`,
      { cause: error },
    );
  }
  return {
    ...(await platformRun(store.pool, platformRunId)),
    runs: runs.map(({ runId, state }) => ({ run_id: runId, state })),
  };
}

/** Ends a run that is under way, as its leader. */
async function end(context: RunnerContext, run: Run, request: CloseRequest): Promise<void> {
  const lease = await Lease.acquire(
    context.store.pool,
    { platformRunId: run.platformRunId, subject: run.runId },
    context.policy.lease_ttl_seconds,
  );
  if (lease === undefined) {
    throw new ScenarioRunnerError(
      'RUN_STATE_CONFLICT',
      `run ${run.platformRunId}/${run.runId} is ${run.state} and led by another process; wait for it, then close again`,
    );
  }
  try {
    const current = await context.store.get(run);
    if (isFinal(current.state)) return;
    const ended = await endWithout(context, lease, current, {
      state: 'FAILED',
      code: 'RUN_CLOSED',
      reason: `RUN_CLOSED: its platform run was closed by ${request.closed_by}`,
      findings: [],
    });
    await tell(context, ended).catch((error: unknown) => {
      // What is owed is told once more when the platform run is closed.
      if (!(error instanceof PublishFailed)) throw error;
    });
  } finally {
    await lease.release();
  }
}
