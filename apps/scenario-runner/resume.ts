/**
 * Carrying on what nobody carries on: runs that wait for evidence, and whatever a crash left half-way or owed. The
 * service does this at its start and from then on.
 */
import { Lease } from './lease.ts';
import { advance } from './advance.ts';
import { PublishFailed } from './outbox.ts';
import type { RunKey } from './run-record.ts';
import type { RunnerContext } from './runner-context.ts';

/**
 * Looks once at every run that has not ended or still owes a fact, and takes it as far as it goes now. Runs that
 * another process leads are left to it. One run's failure does not keep the others; returns how many moved on.
 */
export async function resumeRuns(context: RunnerContext, signal?: AbortSignal): Promise<number> {
  const { rows } = await context.store.pool.query<RunKey>(
    `select platform_run_id as "platformRunId", run_id as "runId" from sr_runs r
     where state in ('OPEN', 'PLANNED', 'EXECUTING', 'WAITING_EVIDENCE') or exists (
       select from sr_outbox o
       where o.platform_run_id = r.platform_run_id and o.run_id = r.run_id and o.published_at is null)
     order by accepted_at`,
  );
  let moved = 0;
  for (const key of rows) {
    if (signal?.aborted === true) break;
    if (await resumed(context, key)) moved += 1;
  }
  return moved;
}

async function resumed(context: RunnerContext, key: RunKey): Promise<boolean> {
  const { store, policy, logger } = context;
  const lease = await Lease.acquire(
    store.pool,
    { platformRunId: key.platformRunId, subject: key.runId },
    policy.lease_ttl_seconds,
  );
  if (lease === undefined) return false;
  const pins = { platform_run_id: key.platformRunId, run_id: key.runId };
  try {
    const before = await store.get(key);
    const after = await advance(context, lease, before, 0);
    if (after.state === before.state) return false;
    logger.info({ ...pins, from: before.state, to: after.state }, 'resumed');
    return true;
  } catch (error) {
    const why = error instanceof PublishFailed ? 'still owed' : 'not resumed';
    logger.warn({ ...pins, error: (error as Error).message }, why);
    return false;
  } finally {
    await lease.release();
  }
}
