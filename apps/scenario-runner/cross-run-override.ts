/**
 * Emitting a run's READY into another platform run. That crosses the scope everything else keeps to, so it takes an
 * approval: a reason that the policy allows, and evidence that exists, is digested here and is told as governance.
 */
import { actorOf, tellGovernance } from './governance.ts';
import { adoptPlatformRun } from './platform-runs.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { RecordEntry } from './run-record.ts';
import type { Run } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';

export interface CrossRunOverride {
  readonly override_id: string;
  /** One of the policy's `cross_run_override_reasons`. */
  readonly reason_code: string;
  /** `s3://…` of the approval in the platform's bucket. */
  readonly evidence_ref: string;
  /** Actor id. */
  readonly approved_by: string;
  /** RFC 3339. */
  readonly approved_at_utc: string;
  readonly ticket_ref?: string;
  readonly notes?: string;
}

/**
 * Checks an override and records it. Throws CROSS_RUN_OVERRIDE_REQUIRED, CROSS_RUN_OVERRIDE_REASON_NOT_ALLOWED,
 * CROSS_RUN_OVERRIDE_EVIDENCE_MISSING, and RUN_CLOSED when the other platform run is over. Returns what the run
 * record has to say about it.
 */
export async function approveCrossRun(
  context: RunnerContext,
  run: Run,
  intoPlatformRunId: string,
  override: CrossRunOverride | undefined,
): Promise<RecordEntry> {
  const what = `run ${run.platformRunId}/${run.runId} into ${intoPlatformRunId}`;
  if (override === undefined) {
    throw new ScenarioRunnerError(
      'CROSS_RUN_OVERRIDE_REQUIRED',
      `emitting ${what} crosses platform runs; give a cross_run_override with a reason and its evidence`,
    );
  }
  const allowed = context.policy.reemit.cross_run_override_reasons;
  if (!allowed.includes(override.reason_code)) {
    throw new ScenarioRunnerError(
      'CROSS_RUN_OVERRIDE_REASON_NOT_ALLOWED',
      `${override.reason_code} is no reason to emit ${what}; the policy allows ${allowed.join(', ')}`,
    );
  }
  const digest = await context.objects.digestOf(override.evidence_ref);
  if (digest === undefined) {
    throw new ScenarioRunnerError(
      'CROSS_RUN_OVERRIDE_EVIDENCE_MISSING',
      `${override.evidence_ref} is not in the bucket ${context.platformBucket}; store the approval there first`,
    );
  }
  await adoptPlatformRun(context.store.pool, intoPlatformRunId);
  await tellGovernance(context.store.pool, context.objects, {
    event_family: 'EVIDENCE_REF_RESOLVED',
    dedupeKey: `${run.platformRunId}|${override.override_id}|${digest}`,
    actor: actorOf(override.approved_by, 'scenario_runner'),
    pins: {
      platform_run_id: intoPlatformRunId,
      scenario_run_id: run.runId,
      manifest_fingerprint: run.request.manifest_fingerprint,
    },
    provenance: { service_release_id: context.service.releaseId, environment: context.environment },
    details: {
      source_platform_run_id: run.platformRunId,
      override_id: override.override_id,
      reason_code: override.reason_code,
      evidence_ref: override.evidence_ref,
      evidence_sha256: digest,
      approved_at_utc: override.approved_at_utc,
      ticket_ref: override.ticket_ref ?? null,
      notes: override.notes ?? null,
    },
  });
  return {
    event_kind: 'GOV_REEMIT_OVERRIDE_APPROVED',
    details: {
      emit_platform_run_id: intoPlatformRunId,
      override_id: override.override_id,
      reason_code: override.reason_code,
      evidence_ref: override.evidence_ref,
      evidence_sha256: digest,
      approved_by: override.approved_by,
    },
  };
}
