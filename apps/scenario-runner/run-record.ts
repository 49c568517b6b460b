/**
 * The run record: what happened to a run, appended and never changed. An entry is identified by its kind and
 * details, so the same fact is written once however often it is reported.
 */
import type { PoolClient } from 'pg';
import { runRecordEventId, type CanonicalValue, type PolicyRev } from '../rails/index.ts';

/** A run: a scenario run inside a platform run. */
export interface RunKey {
  readonly platformRunId: string;
  /** The scenario run id. */
  readonly runId: string;
}

export const RECORD_KINDS = [
  'RUN_ACCEPTED',
  'PLAN_COMMITTED',
  'GOV_PLAN_HASH',
  'GOV_POLICY_REV',
  'GOV_RUN_IDENTITY_SOURCES',
  'ENGINE_ATTEMPT_LAUNCH_REQUESTED',
  'ENGINE_ATTEMPT_FINISHED',
  'EVIDENCE_WAITING',
  'EVIDENCE_FAIL',
  'EVIDENCE_CONFLICT',
  'READY_COMMITTED',
  'GOV_BUNDLE_HASH',
  'READY_PUBLISHED',
  'READY_PUBLISH_FAILED',
  'TERMINAL_PUBLISHED',
  'TERMINAL_PUBLISH_FAILED',
  'REEMIT_REQUESTED',
  'REEMIT_DRY_RUN',
  'REEMIT_PUBLISHED',
  'REEMIT_FAILED',
  'GOV_REEMIT_KEY',
  'GOV_REEMIT_OVERRIDE_APPROVED',
  'AUTH_DENIED',
  'RUN_CLOSED',
  'RUN_CLOSE_PUBLISHED',
  'RUN_CLOSE_PUBLISH_FAILED',
] as const;

export type RecordKind = (typeof RECORD_KINDS)[number];

export interface RecordEntry {
  readonly event_kind: RecordKind;
  /** What tells this entry from others of its kind: equal details are the same entry, written once. */
  readonly details: Readonly<Record<string, CanonicalValue | undefined>>;
}

/** An entry as it was appended. */
export interface RecordLine extends RecordEntry {
  readonly event_id: string;
  readonly run_id: string;
  readonly ts_utc: string;
  readonly policy_rev: PolicyRev | null;
}

/** Appends entries in the caller's transaction; those that are there already are not repeated. */
export async function appendRecords(
  client: PoolClient,
  key: RunKey,
  policyRev: PolicyRev,
  entries: readonly RecordEntry[],
): Promise<void> {
  for (const entry of entries) {
    await client.query(
      `insert into sr_run_records (platform_run_id, run_id, event_id, event_kind, details, policy_rev)
       values ($1, $2, $3, $4, $5, $6) on conflict (platform_run_id, run_id, event_id) do nothing`,
      [
        key.platformRunId,
        key.runId,
        runRecordEventId(entry.event_kind, key.runId, entry.details),
        entry.event_kind,
        JSON.stringify(entry.details),
        JSON.stringify(policyRev),
      ],
    );
  }
}

const MICROS = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

/** The record in the order it was appended. */
export async function readRecord(client: Pick<PoolClient, 'query'>, key: RunKey): Promise<RecordLine[]> {
  const { rows } = await client.query<RecordLine>(
    `select event_id, event_kind, run_id, to_char(ts_utc at time zone 'UTC', ${MICROS}) as ts_utc, details, policy_rev
     from sr_run_records where platform_run_id = $1 and run_id = $2 order by position`,
    [key.platformRunId, key.runId],
  );
  return rows;
}
