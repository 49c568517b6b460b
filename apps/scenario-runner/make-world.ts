/**
 * Having a world made for a run: attempts of the engine up to the plan's limit, then the pack. Every attempt's launch
 * and end are in the run record before anything is built on them, so a successor goes on after the last one that
 * ended. The lease is renewed all the while, and losing it stops the engine.
 */
import { isObjectStoreError } from '../../lib/index.ts';
import { OracleError } from '../oracle-store/index.ts';
import { attemptId } from '../rails/index.ts';
import {
  attemptEngine,
  finishedAttempts,
  invocationOf,
  readReceipt,
  worthRepeating,
} from './engine-attempt.ts';
import { NO_ENGINE } from './engine-command.ts';
import type { EngineInvoker } from './engine-invoker.ts';
import type { Lease } from './lease.ts';
import { trafficModeOf } from './plan.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { EngineAttempt, RunPlan } from './run-artifacts.ts';
import { readRecord } from './run-record.ts';
import type { Run } from './run-store.ts';
import { step, type RunnerContext } from './runner-context.ts';
import { expectedPackRoot } from './world-packer.ts';

/**
 * Makes the world and sets the run's pack root. Throws a ScenarioRunnerError that ends the run when the engine
 * failed for good, and LEASE_LOST when somebody else leads now.
 */
export async function makeWorld(
  context: RunnerContext,
  lease: Lease,
  found: Run,
  plan: RunPlan,
): Promise<Run> {
  const { engine } = context;
  if (engine === undefined) throw new ScenarioRunnerError('ENGINE_COMMAND_MISSING', NO_ENGINE);
  let run = found;
  if (run.state === 'PLANNED') {
    run = await context.store.commit(lease, run, { state: 'EXECUTING' }, context.policyRev);
    await step(context, 'executing', run);
  }
  const attempt = await succeed(context, lease, engine, run, plan);
  const packRoot = await packed(context, lease, run, attempt.engine_run_root);
  await step(context, 'world_packed', run);
  return context.store.commit(lease, run, { packRoot }, context.policyRev);
}

type SucceededAttempt = Extract<EngineAttempt, { outcome: 'SUCCEEDED' }>;
type FailedAttempt = Extract<EngineAttempt, { outcome: 'FAILED' }>;

/** The attempt that succeeded, made now if none has. */
async function succeed(
  context: RunnerContext,
  lease: Lease,
  engine: EngineInvoker,
  run: Run,
  plan: RunPlan,
): Promise<SucceededAttempt> {
  const finished = finishedAttempts(await readRecord(context.store.pool, run));
  for (;;) {
    const last = finished.at(-1);
    if (last?.outcome === 'SUCCEEDED') return last;
    if (last !== undefined) assertMayRepeat(last, finished.length, plan);
    const number = finished.length + 1;
    await context.store.commit(
      lease,
      run,
      {
        records: [
          {
            event_kind: 'ENGINE_ATTEMPT_LAUNCH_REQUESTED',
            details: {
              attempt_no: number,
              attempt_id: attemptId(run.runId, number),
              invocation: { ...invocationOf(run) },
            },
          },
        ],
      },
      context.policyRev,
    );
    await step(context, 'engine_launch_recorded', run);
    const attempt = await lease.holdDuring(context.store, (signal) =>
      attemptEngine(context, engine, run, number, signal),
    );
    await step(context, 'engine_ended', run);
    await context.objects.writeEngineAttempt(run, attempt);
    await context.store.commit(
      lease,
      run,
      { records: [{ event_kind: 'ENGINE_ATTEMPT_FINISHED', details: { ...attempt } as never }] },
      context.policyRev,
    );
    await step(context, 'engine_finish_recorded', run);
    finished.push(attempt);
  }
}

function assertMayRepeat(last: FailedAttempt, made: number, plan: RunPlan): void {
  const what = `attempt ${made} of ${plan.attempt_limit} ended with ${last.reason_code}: ${last.reason}`;
  if (!worthRepeating(last.reason_code)) throw new ScenarioRunnerError(last.reason_code, what);
  if (made < plan.attempt_limit) return;
  throw new ScenarioRunnerError(
    'ATTEMPT_LIMIT_EXCEEDED',
    `${what}; its output is at ${last.logs_ref.stdout_ref} and ${last.logs_ref.stderr_ref}`,
  );
}

/** The root of the world's pack: made here where the keys allow it, else where somebody is to put it. */
async function packed(context: RunnerContext, lease: Lease, run: Run, folder: string): Promise<string> {
  const { packer } = context;
  if (packer === undefined) {
    return expectedPackRoot(context.oracleBucket, await readReceipt(folder), run.request);
  }
  try {
    return await lease.holdDuring(context.store, () =>
      packer.pack(folder, trafficModeOf(run.request, context.policy)),
    );
  } catch (error) {
    // A store that is away may be back later; what is wrong with the world itself stays wrong.
    if (!(error instanceof OracleError) || error.retriable || error.code === 'ACCESS_DENIED') throw error;
    if (isObjectStoreError(error.cause) && error.cause.retriable) throw error;
    throw new ScenarioRunnerError('ORACLE_PACK_INVALID', `the engine's world: ${error.message}`, {
      cause: error,
    });
  }
}
