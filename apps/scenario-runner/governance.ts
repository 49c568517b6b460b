/**
 * Governance facts: the acts that change outcomes, each told once. A fact is a row, which decides, and an immutable
 * object written from it; reporting it again changes neither.
 */
import type { Pool } from 'pg';
import {
  artifactProblems,
  canonicalJson,
  epochMillisToMicros,
  sha256Hex,
  type CanonicalValue,
} from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { RunObjectStore } from './run-objects.ts';

export const GOVERNANCE_FAMILIES = [
  'RUN_READY_SEEN',
  'RUN_STARTED',
  'RUN_ENDED',
  'RUN_CANCELLED',
  'POLICY_REV_CHANGED',
  'CORRIDOR_ANOMALY',
  'EVIDENCE_REF_RESOLVED',
  'RUN_REPORT_GENERATED',
] as const;

export type GovernanceFamily = (typeof GOVERNANCE_FAMILIES)[number];

export interface GovernanceFact {
  readonly event_id: string;
  readonly event_family: GovernanceFamily;
  /** `micros`, wall time of the act. */
  readonly ts_utc: string;
  readonly actor: {
    readonly actor_id: string;
    readonly source_type: 'SYSTEM' | 'HUMAN';
    readonly source_component: string;
  };
  readonly pins: {
    readonly platform_run_id: string;
    readonly scenario_run_id: string | null;
    readonly manifest_fingerprint: string | null;
  };
  readonly provenance: { readonly service_release_id: string | null; readonly environment: string };
  readonly details: Readonly<Record<string, CanonicalValue>>;
}

/** A fact to be told; its id follows from it. */
export interface GovernanceAct extends Omit<GovernanceFact, 'event_id' | 'ts_utc'> {
  /** What makes this act one; by default its details. */
  readonly dedupeKey?: string;
  /** Default: now, the first time. */
  readonly tsUtc?: string;
}

/** `<family>|<platform run>|<scenario run>|<component>|<dedupe key or details>`. */
export function governanceEventId(act: GovernanceAct): string {
  const { platform_run_id: platformRun, scenario_run_id: scenarioRun } = act.pins;
  const what = act.dedupeKey ?? canonicalJson(act.details);
  return sha256Hex(
    [act.event_family, platformRun, scenarioRun ?? '', act.actor.source_component, what].join('|'),
  );
}

/** Who acts, from an actor id: `HUMAN::name` is a person, anything else a system. */
export function actorOf(actorId: string, component: string): GovernanceFact['actor'] {
  return {
    actor_id: actorId,
    source_type: actorId.startsWith('HUMAN::') ? 'HUMAN' : 'SYSTEM',
    source_component: component,
  };
}

/**
 * Tells an act, or finds that it was told: the first telling stands. Returns it as it stands. Throws
 * ARTIFACT_SCHEMA_INVALID when the act is none.
 */
export async function tellGovernance(
  pool: Pool,
  objects: RunObjectStore,
  act: GovernanceAct,
): Promise<GovernanceFact> {
  const { dedupeKey: _dedupeKey, tsUtc, ...rest } = act;
  const fact: GovernanceFact = {
    ...rest,
    event_id: governanceEventId(act),
    ts_utc: tsUtc ?? epochMillisToMicros(Date.now()),
  };
  const problems = artifactProblems('governance_fact', fact);
  if (problems.length > 0) {
    throw new ScenarioRunnerError('ARTIFACT_SCHEMA_INVALID', `governance fact: ${problems.join('; ')}`);
  }
  await pool.query(
    `insert into sr_governance_facts (event_id, platform_run_id, event_family, ts_utc, fact)
     values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [fact.event_id, fact.pins.platform_run_id, fact.event_family, fact.ts_utc, JSON.stringify(fact)],
  );
  const { rows } = await pool.query<{ fact: GovernanceFact }>(
    'select fact from sr_governance_facts where event_id = $1',
    [fact.event_id],
  );
  const told = rows[0]!.fact;
  // From the row, also when the row was there: a crash may have come between the two.
  await objects.writeGovernanceFact(told);
  return told;
}

/** The facts of a platform run in the order of their time, of one family or of all. */
export async function governanceFacts(
  pool: Pool,
  platformRunId: string,
  family?: GovernanceFamily,
): Promise<readonly GovernanceFact[]> {
  const { rows } = await pool.query<{ fact: GovernanceFact }>(
    `select fact from sr_governance_facts
     where platform_run_id = $1 and ($2::text is null or event_family = $2) order by ts_utc, event_id`,
    [platformRunId, family ?? null],
  );
  return rows.map((row) => row.fact);
}
