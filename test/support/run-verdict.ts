/** Whether a run reconciles: what was sent, what the ledger holds and what stands on the bus, counted independently. */
import type { Pool } from 'pg';
import { completedFact, engineCounts, sentOf } from '../../apps/cli/demo/replay.ts';
import { auditBus, reconcile, type RunReconciliation } from '../../apps/ingestion-gate/index.ts';
import { decodeDecisionHeader, OUTPUT_CATALOGUE, type Envelope } from '../../apps/rails/index.ts';
import { eventually, type Patience } from './eventually.ts';
import type { TestPlatform, TestRun } from './platform.ts';
import { readBus, type LoggedRecord } from './record-log.ts';

export interface RunVerdict {
  /** Events that the last attempt says it sent. */
  readonly sent: number;
  readonly stopReason: string | null;
  /** Receipts of engine events, over all attempts. */
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
  /** Engine events of the run on the bus. */
  readonly onBus: number;
  /** Of those, records whose event stands on the bus already. */
  readonly repeated: number;
  readonly outOfOrder: number;
  /** Bus records of the run whose header, envelope and decision do not name the same run and world. */
  readonly mixed: number;
  /** Partitions where records and receipts differ. */
  readonly differences: readonly string[];
}

/** The verdict of a run of `events` events whose attempts each sent all of them. */
export function exactly(events: number, attempts = 1, stopReason = 'end_of_view'): RunVerdict {
  return {
    sent: events,
    stopReason,
    admitted: events,
    duplicate: events * (attempts - 1),
    quarantined: 0,
    onBus: events,
    repeated: 0,
    outOfOrder: 0,
    mixed: 0,
    differences: [],
  };
}

const UNDEFINED_TABLE = '42P01';

/** Receipts of a run's engine events so far; 0 before the ledger has made its tables. */
export async function receiptsOf(pool: Pool, platformRunId: string): Promise<number> {
  const ledger = await ledgerOf(pool, platformRunId);
  const { admitted, duplicate, quarantined } = engineCounts(ledger);
  return admitted + duplicate + quarantined;
}

async function ledgerOf(pool: Pool, platformRunId: string): Promise<RunReconciliation | null> {
  try {
    return await reconcile(pool, platformRunId);
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_TABLE) return null;
    throw error;
  }
}

/** Waits until the run is under way: at least `share` of its events have receipts. Fails if it has ended by then. */
export async function midRun(platform: TestPlatform, run: TestRun, share = 0.2): Promise<void> {
  let receipts = 0;
  await eventually(
    `run ${run.platform_run_id} is under way`,
    async () => {
      receipts = await receiptsOf(platform.pool, run.platform_run_id);
      return receipts >= run.events * share;
    },
    { check: platform.check, everyMs: 50 },
    () => `${receipts} receipts`,
  );
  if (receipts >= run.events)
    throw new Error(`run ${run.platform_run_id} was over before it could be disturbed`);
}

/**
 * Waits until stream.completed of the run's attempt stands on the bus and every event sent has a receipt, then counts
 * everything anew.
 */
export async function verdictOf(
  platform: TestPlatform,
  run: TestRun,
  attempts = 1,
  patience: Patience = {},
): Promise<RunVerdict> {
  const { settings, pool } = platform;
  const expected = run.events * attempts;
  let receipts = 0;
  await eventually(
    `every event of ${run.platform_run_id} has a receipt`,
    async () => {
      receipts = await receiptsOf(pool, run.platform_run_id);
      return receipts >= expected;
    },
    { deadlineMs: 90_000, check: platform.check, ...patience },
    () => `${receipts} of ${expected} receipts`,
  );
  const completed = await eventually(
    `stream.completed of ${run.platform_run_id}`,
    () => completedFact(settings, run.platform_run_id, run.messageId),
    { deadlineMs: 30_000, check: platform.check },
  );
  // The last facts' receipts may still be on their way; the places are compared when all are there.
  const audit = await auditBus(settings, run.platform_run_id);
  const records = audit.bus.reduce((sum, place) => sum + place.records, 0);
  const ledger = await eventually(
    `the ledger has every admitted record of ${run.platform_run_id}`,
    async () => {
      const counted = await reconcile(pool, run.platform_run_id, { from: 'rows' });
      return counted.admitted >= records && counted;
    },
    { deadlineMs: 30_000, check: platform.check },
  );
  const places = new Map(ledger.bus.map((one) => [`${one.topic}/${one.partition}`, one.records]));
  const differences = audit.bus.flatMap(({ topic, partition, records: onBus }) => {
    const held = places.get(`${topic}/${partition}`) ?? 0;
    places.delete(`${topic}/${partition}`);
    return held === onBus ? [] : [`${topic}/${partition}: ${onBus} records, ${held} receipts`];
  });
  for (const [place, held] of places) differences.push(`${place}: no records, ${held} receipts`);
  const bus = await readBus(settings);
  const own = bus.filter(({ headers }) => headers['platform_run_id'] === run.platform_run_id);
  const events = own.filter(({ value }) => OUTPUT_CATALOGUE.has(value.event_type));
  return {
    sent: sentOf(completed),
    stopReason: completed.stop_reason,
    ...engineCounts(ledger),
    onBus: events.length,
    repeated: events.length - new Set(events.map(({ value }) => value.event_id)).size,
    outOfOrder: audit.order_violations,
    mixed: bus.filter((record) => isMixed(record, run)).length,
    differences,
  };
}

/** Whether a bus record names this run in one place and another run, or another world, elsewhere. */
function isMixed({ headers, value }: LoggedRecord<Envelope>, run: TestRun): boolean {
  const decision = decodeDecisionHeader(headers['decision'] ?? '');
  const runs = [headers['platform_run_id'], value.platform_run_id];
  const scenarioRuns = [decision.scenarioRunId, value.scenario_run_id];
  if (!runs.includes(run.platform_run_id) && !scenarioRuns.includes(run.scenario_run_id)) return false;
  return (
    runs.some((id) => id !== run.platform_run_id) ||
    scenarioRuns.some((id) => id !== run.scenario_run_id) ||
    value.manifest_fingerprint !== run.pack.manifestFingerprint ||
    (value.seed !== null && value.seed !== run.pack.seed)
  );
}
