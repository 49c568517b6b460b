/**
 * Carrying a run on from wherever it is: plan, evidence, facts view, READY, publication.
 *
 * The leader reads the committed state and does what comes next; each step either commits or can be done again with
 * the same result. A run found half-way after a crash therefore ends as if nothing had happened.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { microsToEpochMillis, type WorldKey } from '../rails/index.ts';
import {
  cannotBeReused,
  collectEvidence,
  type CompleteEvidence,
  type ExpectedPack,
  type Finding,
  type IncompleteEvidence,
} from './evidence.ts';
import { emissionNow, factsViewOf, readyFact, terminalFact } from './facts.ts';
import { instanceProof } from './instance-proof.ts';
import type { Lease } from './lease.ts';
import { makeWorld } from './make-world.ts';
import { publishNext, PublishFailed } from './outbox.ts';
import { planRun, trafficModeOf } from './plan.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { RunPlan } from './run-artifacts.ts';
import { readRecord } from './run-record.ts';
import { isFinal } from './run-state.ts';
import type { Run } from './run-store.ts';
import { step, type RunnerContext } from './runner-context.ts';

/** Between two looks at evidence that is still missing. */
const EVIDENCE_POLL_MS = 1000;

/**
 * Advances the run as far as it goes: to READY, FAILED or QUARANTINED and its publication, or to WAITING_EVIDENCE
 * when evidence is still missing after `waitMs`. Throws PublishFailed when the end is committed and its fact is not
 * on the bus; the next call repeats that part alone.
 */
export async function advance(
  context: RunnerContext,
  lease: Lease,
  found: Run,
  waitMs: number,
): Promise<Run> {
  let run = found;
  try {
    if (run.state === 'OPEN') run = await commitPlan(context, lease, run);
    if (!isFinal(run.state)) run = await proveAndEnd(context, lease, run, waitMs);
  } catch (error) {
    if (!(error instanceof ScenarioRunnerError) || !ENDS_THE_RUN.has(error.code)) throw error;
    const state = error.code.endsWith('_DRIFT') ? 'QUARANTINED' : 'FAILED';
    run = await endWithout(context, lease, run, {
      state,
      code: error.code,
      reason: error.message,
      findings: [],
    });
  }
  if (isFinal(run.state)) await tell(context, run);
  else await project(context, run);
  return run;
}

const ENDS_THE_RUN: ReadonlySet<ReasonCode> = new Set([
  'UNKNOWN_OUTPUT_ID',
  'UNKNOWN_GATE_ID',
  'PLAN_INVALID',
  'PLAN_DRIFT',
  'FACTS_VIEW_DRIFT',
  'INSTANCE_RECEIPT_DRIFT',
  'ENGINE_COMMAND_MISSING',
  'ENGINE_COMMAND_TEMPLATE_UNRESOLVED',
  'ENGINE_INVOCATION_INVALID',
  'ENGINE_RECEIPT_INVALID',
  'ENGINE_RECEIPT_MISMATCH',
  'ATTEMPT_LIMIT_EXCEEDED',
  'ORACLE_PACK_INVALID',
]);

async function commitPlan(context: RunnerContext, lease: Lease, run: Run): Promise<Run> {
  const plan = planRun(run.runId, run.request, context.policy, context.policyRev, Date.now());
  const planned = await context.store.commit(
    lease,
    run,
    {
      state: 'PLANNED',
      plan,
      records: [
        { event_kind: 'PLAN_COMMITTED', details: { plan_ref: context.objects.refs(run).plan } },
        { event_kind: 'GOV_PLAN_HASH', details: { plan_hash: plan.plan_hash } },
        { event_kind: 'GOV_POLICY_REV', details: { ...plan.policy_rev } },
      ],
    },
    context.policyRev,
  );
  await step(context, 'plan_committed', run);
  return planned;
}

async function proveAndEnd(context: RunnerContext, lease: Lease, found: Run, waitMs: number): Promise<Run> {
  let run = found;
  const plan = planOf(run);
  await context.objects.writePlan(run, plan);
  await step(context, 'plan_written', run);
  const deadline = microsToEpochMillis(plan.evidence_deadline_utc);
  const returnAt = Math.min(deadline, Date.now() + waitMs);
  // A world that is being made goes on being made, whatever the strategy was.
  if (run.packRoot === null || run.state === 'EXECUTING') run = await makeWorld(context, lease, run, plan);
  for (;;) {
    const packRoot = packRootOf(run);
    const evidence = await collectEvidence(
      context.oracle,
      packRoot,
      run.request,
      plan,
      expectedPack(context, run),
    );
    await step(context, 'evidence_collected', run);
    if (evidence.outcome !== 'COMPLETE' && mayInvoke(context, run, plan) && cannotBeReused(evidence)) {
      run = await makeWorld(context, lease, run, plan);
      continue;
    }
    if (evidence.outcome === 'COMPLETE') return commitReady(context, lease, run, plan, evidence);
    if (evidence.outcome !== 'WAITING' || Date.now() >= deadline) {
      return endWithout(context, lease, run, endOf(evidence));
    }
    run = await commitWaiting(context, lease, run, evidence.findings);
    // At the deadline itself there is one more look, which decides.
    if (returnAt < deadline && Date.now() >= returnAt) return run;
    context.onWaiting?.(evidence.findings, returnAt);
    await sleep(Math.min(EVIDENCE_POLL_MS, Math.max(0, returnAt - Date.now())));
  }
}

/** AUTO asks the engine once reuse has proven impossible, and only before it has asked it. */
function mayInvoke(context: RunnerContext, run: Run, plan: RunPlan): boolean {
  return plan.strategy === 'AUTO' && run.state === 'PLANNED' && context.engine !== undefined;
}

/** Set when the run's world was made for it and its pack is a matter of somebody's next step. */
function expectedPack(context: RunnerContext, run: Run): ExpectedPack | undefined {
  if (run.packRoot === run.requestedPackRoot) return undefined;
  return {
    wayOut:
      context.packer === undefined
        ? "whoever holds the oracle store's writer keys makes it with `fp oracle prepare --engine-run <folder>`, " +
          `the folder being the newest below ${context.engineRunsDir}/${run.runId}`
        : 'submit again to pack it again',
  };
}

function packRootOf(run: Run): string {
  if (run.packRoot !== null) return run.packRoot;
  throw new ScenarioRunnerError('RUN_STATE_CONFLICT', `run ${run.runId} is ${run.state} and has no pack`);
}

async function commitWaiting(
  context: RunnerContext,
  lease: Lease,
  run: Run,
  missing: readonly Finding[],
): Promise<Run> {
  return context.store.commit(
    lease,
    run,
    {
      state: 'WAITING_EVIDENCE',
      reasonCode: 'EVIDENCE_WAITING',
      reason: sentence(missing),
      records: [
        { event_kind: 'EVIDENCE_WAITING', details: { missing: missing.map((finding) => ({ ...finding })) } },
      ],
    },
    context.policyRev,
  );
}

async function commitReady(
  context: RunnerContext,
  lease: Lease,
  run: Run,
  plan: RunPlan,
  evidence: CompleteEvidence,
): Promise<Run> {
  const refs = context.objects.refs(run);
  const instanceProofs = evidence.locators.map((locator) =>
    instanceProof(locator, worldOf(run), context.objects.instanceProofRef(run, locator)),
  );
  for (const proof of instanceProofs) await context.objects.writeInstanceProof(run, proof);
  await step(context, 'instance_proofs_written', run);
  const mode = trafficModeOf(run.request, context.policy);
  const facts = factsViewOf(run, plan, mode, { ...evidence, instanceProofs }, refs);
  await context.objects.writeFactsView(facts);
  await step(context, 'facts_view_written', run);
  const ready = readyFact(facts, plan, refs.factsView, run.replay, emissionNow(context));
  const committed = await context.store.commit(
    lease,
    run,
    {
      state: 'READY',
      factsView: facts,
      factsViewRef: refs.factsView,
      readySignal: ready.payload,
      records: [
        {
          event_kind: 'READY_COMMITTED',
          details: { facts_view_ref: refs.factsView, message_id: ready.messageId },
        },
        { event_kind: 'GOV_BUNDLE_HASH', details: { bundle_hash: facts.bundle_hash } },
      ],
      facts: [ready],
    },
    context.policyRev,
  );
  await step(context, 'end_committed', run);
  return committed;
}

function worldOf({ request }: Run): WorldKey {
  const { manifest_fingerprint, parameter_hash, scenario_id, seed } = request;
  return { manifest_fingerprint, parameter_hash, scenario_id, seed };
}

export interface End {
  readonly state: 'FAILED' | 'QUARANTINED';
  readonly code: ReasonCode;
  readonly reason: string;
  readonly findings: readonly Finding[];
}

/** What incomplete evidence ends a run with; missing evidence only does so past its deadline. */
function endOf(evidence: IncompleteEvidence): End {
  const reason = sentence(evidence.findings);
  const { findings } = evidence;
  switch (evidence.outcome) {
    case 'CONFLICT':
      return { state: 'QUARANTINED', code: 'EVIDENCE_CONFLICT', reason, findings };
    case 'FAIL':
      return { state: 'FAILED', code: evidence.code, reason, findings };
    case 'WAITING':
      return { state: 'FAILED', code: 'EVIDENCE_MISSING_DEADLINE', reason, findings };
  }
}

export async function endWithout(context: RunnerContext, lease: Lease, run: Run, end: End): Promise<Run> {
  const terminal = terminalFact(run, end, context.objects.refs(run), emissionNow(context));
  const ended = await context.store.commit(
    lease,
    run,
    {
      state: end.state,
      reasonCode: end.code,
      reason: end.reason,
      records: [
        {
          event_kind: end.state === 'QUARANTINED' ? 'EVIDENCE_CONFLICT' : 'EVIDENCE_FAIL',
          details: {
            reason_code: end.code,
            reason: end.reason,
            findings: end.findings.map((finding) => ({ ...finding })),
          },
        },
      ],
      facts: [terminal],
    },
    context.policyRev,
  );
  await step(context, 'end_committed', run);
  return ended;
}

/** Writes what an ended run leaves in the store, then publishes what it owes. */
export async function tell(context: RunnerContext, run: Run): Promise<void> {
  await project(context, run);
  await step(context, 'status_written', run);
  if (run.readySignal !== null) {
    await context.objects.writeReadySignal(run.readySignal);
    await step(context, 'ready_signal_written', run);
  }
  await publishOwed(context, run);
}

/** Publishes every fact the run owes, oldest first, and brings the stored record up to date. */
export async function publishOwed(context: RunnerContext, run: Run): Promise<number> {
  let published = 0;
  try {
    for (;;) {
      const fact = await publishNext(
        (work) => context.store.transaction(work),
        context.publisher,
        run,
        context.policyRev,
      );
      if (fact === undefined) break;
      published += 1;
      const { platformRunId, runId } = run;
      context.logOf(platformRunId).info(
        {
          scenario_run_id: runId,
          event_type: fact.eventType,
          attempt: fact.attempt,
          ...fact.coordinates,
        },
        'published',
      );
      await step(context, 'fact_published', run);
    }
  } catch (error) {
    if (error instanceof PublishFailed) await project(context, run);
    throw error;
  }
  if (published > 0) await project(context, run);
  await step(context, 'record_written', run);
  return published;
}

async function project(context: RunnerContext, run: Run): Promise<void> {
  await context.objects.project(run, await readRecord(context.store.pool, run));
}

function planOf(run: Run): RunPlan {
  if (run.plan !== null) return run.plan;
  throw new ScenarioRunnerError('RUN_STATE_CONFLICT', `run ${run.runId} is ${run.state} and has no plan`);
}

/** Findings as one sentence each, with their codes. */
function sentence(findings: readonly Finding[]): string {
  return findings.map((finding) => `${finding.code} ${finding.subject}: ${finding.detail}`).join('; ');
}
