/**
 * The report of a platform run: what its scenario runs asked for, what was sent for them, what became of it, where
 * it stands on the bus, and whether all of that adds up. A pure function of what the authorities say.
 */
import type { BusAudit, RunReconciliation } from '../ingestion-gate/index.ts';
import { OUTPUT_CATALOGUE } from '../rails/index.ts';
import type { PlatformRun } from './platform-runs.ts';
import type { Run } from './run-store.ts';
import type { SessionLine } from './session.ts';

export interface AttemptReport {
  readonly scenario_run_id: string;
  readonly message_id: string;
  readonly attempt: number;
  /** Null while a lane of it still streams. */
  readonly stop_reason: string | null;
  readonly ended: boolean;
  readonly outputs: readonly { readonly output_id: string; readonly read: number; readonly sent: number }[];
  /** As asked for; null where it was left to the policy. */
  readonly speedup: number | null;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

export interface PlatformReport extends PlatformRun {
  readonly runs: readonly {
    readonly run_id: string;
    readonly state: string;
    readonly reason_code: string | null;
    readonly oracle_pack_id: string | null;
  }[];
  readonly attempts: readonly AttemptReport[];
  /** Of engine events, over all attempts; control facts are not counted. */
  readonly sent: number;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly bus: BusAudit['bus'];
  readonly order_violations: number;
  readonly reconciled: boolean;
  /** What does not add up; empty exactly when `reconciled`. */
  readonly differences: readonly string[];
}

export interface ReportSources {
  readonly platformRun: PlatformRun;
  readonly runs: readonly Run[];
  readonly session: readonly SessionLine[];
  readonly ledger: RunReconciliation;
  readonly audit: BusAudit;
}

interface StreamFact {
  readonly message_id: string;
  readonly attempt: number;
  readonly lane: number;
  readonly lane_count: number;
  readonly outputs: AttemptReport['outputs'];
  readonly speedup: number | null;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
  readonly stop_reason?: string | null;
}

export function platformReport(sources: ReportSources): PlatformReport {
  const { platformRun, runs, session, ledger, audit } = sources;
  const attempts = attemptsOf(session);
  const sent = attempts.reduce(
    (sum, { outputs }) => sum + outputs.reduce((n, output) => n + output.sent, 0),
    0,
  );
  const counts = { admitted: 0, duplicate: 0, quarantined: 0 };
  for (const type of ledger.types) {
    // What could not be read has no type; it came from somewhere, so it counts.
    if (type.eventType !== null && !OUTPUT_CATALOGUE.has(type.eventType)) continue;
    counts.admitted += type.admitted;
    counts.duplicate += type.duplicate;
    counts.quarantined += type.quarantined;
  }
  const onBus = Object.entries(audit.types).reduce(
    (sum, [type, n]) => sum + (OUTPUT_CATALOGUE.has(type) ? n : 0),
    0,
  );
  const receipts = new Map(ledger.bus.map((place) => [`${place.topic}/${place.partition}`, place.records]));
  const differences = [
    ...runs
      .filter((run) => run.state !== 'READY')
      .map(
        (run) =>
          `scenario run ${run.runId} is ${run.state}${run.reasonCode === null ? '' : ` ${run.reasonCode}`}`,
      ),
    ...attempts
      .filter((attempt) => !attempt.ended)
      .map((attempt) => `attempt ${attempt.attempt} of ${attempt.scenario_run_id} has not ended`),
    ...difference(
      'events sent and their receipts',
      sent,
      counts.admitted + counts.duplicate + counts.quarantined,
    ),
    ...difference('quarantined events', 0, counts.quarantined),
    ...difference('admitted receipts and events on the bus', counts.admitted, onBus),
    ...audit.bus.flatMap(({ topic, partition, records }) =>
      difference(
        `${topic}/${partition}, records and receipts`,
        records,
        receipts.get(`${topic}/${partition}`) ?? 0,
      ),
    ),
    ...difference('records out of order on the bus', 0, audit.order_violations),
    ...audit.examples,
  ];
  return {
    ...platformRun,
    runs: runs.map((run) => ({
      run_id: run.runId,
      state: run.state,
      reason_code: run.reasonCode,
      oracle_pack_id: run.factsView?.oracle_pack_ref.oracle_pack_id ?? null,
    })),
    attempts,
    sent,
    ...counts,
    reasons: ledger.reasons,
    bus: audit.bus,
    order_violations: audit.order_violations,
    reconciled: differences.length === 0,
    differences,
  };
}

/** The attempts that have begun, each summed over its lanes; a later fact of a lane replaces the earlier ones. */
function attemptsOf(session: readonly SessionLine[]): AttemptReport[] {
  const lanes = new Map<string, { scenarioRunId: string; fact: StreamFact; ended: boolean }>();
  for (const line of session) {
    if (!line.event_type.startsWith('stream.') || line.event_type === 'stream.command') continue;
    const fact = line.payload as unknown as StreamFact;
    const key = `${fact.message_id} ${fact.lane}`;
    if (lanes.get(key)?.ended === true) continue;
    const ended = line.event_type === 'stream.completed' || line.event_type === 'stream.failed';
    lanes.set(key, { scenarioRunId: line.scenario_run_id ?? '', fact, ended });
  }
  const byAttempt = new Map<string, { scenarioRunId: string; fact: StreamFact; ended: boolean }[]>();
  for (const lane of lanes.values()) {
    byAttempt.set(lane.fact.message_id, [...(byAttempt.get(lane.fact.message_id) ?? []), lane]);
  }
  return [...byAttempt.values()]
    .map((parts): AttemptReport => {
      const { scenarioRunId, fact } = parts[0]!;
      const ended = parts.length === fact.lane_count && parts.every((lane) => lane.ended);
      const outputs = new Map<string, { output_id: string; read: number; sent: number }>();
      for (const { output_id, read, sent } of parts.flatMap((lane) => lane.fact.outputs)) {
        const sum = outputs.get(output_id) ?? { output_id, read: 0, sent: 0 };
        outputs.set(output_id, { output_id, read: sum.read + read, sent: sum.sent + sent });
      }
      const reasons = new Set(parts.map((lane) => lane.fact.stop_reason ?? 'failed'));
      return {
        scenario_run_id: scenarioRunId,
        message_id: fact.message_id,
        attempt: fact.attempt,
        stop_reason: ended ? [...reasons].join(', ') : null,
        ended,
        outputs: [...outputs.values()],
        speedup: fact.speedup,
        max_events: fact.max_events,
        max_events_per_output: fact.max_events_per_output,
      };
    })
    .sort((a, b) =>
      a.scenario_run_id < b.scenario_run_id
        ? -1
        : a.scenario_run_id > b.scenario_run_id
          ? 1
          : a.attempt - b.attempt,
    );
}

function difference(what: string, expected: number, found: number): string[] {
  return expected === found ? [] : [`${what}: expected ${expected}, found ${found}`];
}
