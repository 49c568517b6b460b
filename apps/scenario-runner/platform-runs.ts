/** Issues platform run ids: one per second at most, so that no two sessions ever share one. */
import type { Pool } from 'pg';
import { newPlatformRunId, parsePlatformRunId } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

/**
 * Reserves a platform run id nobody else has: the current second's, or the next free one. At most a few seconds
 * ahead of the clock, when many are asked for at once.
 */
export async function issuePlatformRun(pool: Pool, nowMs: number = Date.now()): Promise<string> {
  for (let second = 0; ; second += 1) {
    const id = newPlatformRunId(new Date(nowMs + second * 1000));
    const { rowCount } = await pool.query(
      'insert into sr_platform_runs (platform_run_id) values ($1) on conflict do nothing',
      [id],
    );
    if (rowCount === 1) return id;
  }
}

/** Takes up a platform run id that the caller has, issued here or not. Throws RUN_REQUEST_INVALID on a bad one. */
export async function adoptPlatformRun(pool: Pool, platformRunId: string): Promise<void> {
  try {
    parsePlatformRunId(platformRunId);
  } catch (error) {
    throw new ScenarioRunnerError(
      'RUN_REQUEST_INVALID',
      `${(error as Error).message}; get one from \`fp run new\``,
    );
  }
  await pool.query('insert into sr_platform_runs (platform_run_id) values ($1) on conflict do nothing', [
    platformRunId,
  ]);
}
