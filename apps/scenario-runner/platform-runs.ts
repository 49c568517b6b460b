/** Platform runs: ids issued one per second at most, so that no two sessions ever share one, and closed for good. */
import type { Pool, PoolClient } from 'pg';
import { newPlatformRunId, parsePlatformRunId } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

export interface PlatformRun {
  readonly platform_run_id: string;
  /** `micros` text. */
  readonly issued_at_utc: string;
  /** Null while it is open. */
  readonly closed_at_utc: string | null;
  readonly closed_by: string | null;
  readonly close_reason: string | null;
}

const MICROS = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

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

/**
 * Takes up a platform run id that the caller has, issued here or not. Throws RUN_REQUEST_INVALID on a bad one and
 * RUN_CLOSED on one that is over.
 */
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
  const { closed_at_utc: closedAt } = await platformRun(pool, platformRunId);
  if (closedAt !== null) throw closed(platformRunId, closedAt);
}

/** Throws RUN_CLOSED inside the caller's transaction, and keeps the platform run open until that has ended. */
export async function assertOpen(client: PoolClient, platformRunId: string): Promise<void> {
  const { rows } = await client.query<{ closed_at_utc: string | null }>(
    `select to_char(closed_at at time zone 'UTC', ${MICROS}) as closed_at_utc
     from sr_platform_runs where platform_run_id = $1 for share`,
    [platformRunId],
  );
  const closedAt = rows[0]?.closed_at_utc;
  if (closedAt !== undefined && closedAt !== null) throw closed(platformRunId, closedAt);
}

/** Throws RUN_NOT_FOUND when it was never issued. */
export async function platformRun(
  client: Pick<PoolClient, 'query'>,
  platformRunId: string,
): Promise<PlatformRun> {
  const { rows } = await client.query<PlatformRun>(
    `select platform_run_id, to_char(issued_at at time zone 'UTC', ${MICROS}) as issued_at_utc,
       to_char(closed_at at time zone 'UTC', ${MICROS}) as closed_at_utc, closed_by, close_reason
     from sr_platform_runs where platform_run_id = $1`,
    [platformRunId],
  );
  const found = rows[0];
  if (found !== undefined) return found;
  throw new ScenarioRunnerError(
    'RUN_NOT_FOUND',
    `there is no platform run ${platformRunId}; \`fp run new\` issues one`,
  );
}

function closed(platformRunId: string, at: string): ScenarioRunnerError {
  return new ScenarioRunnerError(
    'RUN_CLOSED',
    `${platformRunId} was closed at ${at}; start over in a new platform run (\`fp run new\`)`,
  );
}
