/** One replay of a run, watched from outside: from READY to the last receipt. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import { avroAnyReader, Bytes, SchemaRegistry } from '../../../lib/index.ts';
import { readTopic, reconcile, type RunReconciliation } from '../../ingestion-gate/index.ts';
import {
  OUTPUT_CATALOGUE,
  type Settings,
  type StreamCompletedPayload,
  type StreamFailedPayload,
} from '../../rails/index.ts';
import { CommandFailed, runFpJson } from './fp-process.ts';
import type { PlatformSession } from './platform-session.ts';
import type { Stages } from './stages.ts';

const POLL_MS = 200;
/** Without any progress for this long something is wrong, and the report says where it stopped. */
const STALL_MS = 120_000;

/** What `fp sr submit` says of a run that is READY. */
export interface ReadyRun {
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly run_id: string;
  readonly state: string;
  readonly message_id: string;
  readonly oracle_pack_id: string;
  readonly gates_passed: readonly string[];
  readonly outputs: readonly { readonly output_id: string; readonly row_count: number }[];
}

export interface EngineCounts {
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
}

export interface Replay {
  readonly completed: StreamCompletedPayload;
  readonly sent: number;
  /** What became of the engine's events, over every replay of the run so far. */
  readonly counts: EngineCounts;
  readonly ledger: RunReconciliation;
  /** Seconds from READY to the last receipt. */
  readonly seconds: number;
}

export interface ReplayLimits {
  readonly speedup: number;
  readonly maxEvents?: number;
}

export async function submitRun(
  packRoot: string,
  limits: ReplayLimits,
  platformRunId?: string,
): Promise<ReadyRun> {
  return runFpJson<ReadyRun>([
    'sr',
    'submit',
    '--json',
    '--pack',
    packRoot,
    ...(platformRunId === undefined ? [] : ['--run', platformRunId]),
    ...limitFlags(limits),
  ]);
}

/** Emits READY again as a new attempt; returns its number. */
export async function reemitRun(
  run: ReadyRun,
): Promise<{ readonly attempt: number; readonly message_id: string }> {
  return runFpJson(['sr', 'reemit', '--json', '--run', run.platform_run_id, '--scenario-run', run.run_id]);
}

function limitFlags({ speedup, maxEvents }: ReplayLimits): string[] {
  return [
    '--speedup',
    String(speedup),
    ...(maxEvents === undefined ? [] : ['--max-events', String(maxEvents)]),
  ];
}

/**
 * Waits until the attempt's stream.completed stands on the bus and every event sent has a receipt.
 *
 * @param before engine receipts that the run had when the attempt began
 */
export async function watchReplay(
  session: PlatformSession,
  pool: Pool,
  stages: Stages,
  run: ReadyRun,
  messageId: string,
  before: number,
): Promise<Replay> {
  const started = performance.now();
  const expected = run.outputs.reduce((sum, output) => sum + output.row_count, 0);
  let completed: StreamCompletedPayload | null = null;
  let seen = -1;
  let moved = performance.now();
  for (;;) {
    if (session.supervised) session.services.check();
    const ledger = await reconcile(pool, run.platform_run_id).catch(ledgerNotThereYet);
    const counts = engineCounts(ledger);
    const receipts = counts.admitted + counts.duplicate + counts.quarantined - before;
    stages.progress(receipts, completed === null ? expected : sentOf(completed), 'receipts');
    // Receipts stand still, or all are there: only now is it worth opening a reader.
    if (receipts === seen)
      completed ??= await completedFact(session.settings, run.platform_run_id, messageId);
    if (completed !== null && receipts >= sentOf(completed)) {
      return {
        completed,
        sent: sentOf(completed),
        counts,
        ledger: ledger!,
        seconds: (performance.now() - started) / 1000,
      };
    }
    if (receipts !== seen) {
      seen = receipts;
      moved = performance.now();
    } else if (session.supervised && performance.now() - moved > STALL_MS) {
      throw new CommandFailed(
        `nothing has moved for ${STALL_MS / 1000} s: ${receipts} receipts, the replay is ` +
          `${completed === null ? 'not complete' : `complete with ${sentOf(completed)} sent`}; logs: ${session.logFolder}`,
      );
    }
    await delay(POLL_MS);
  }
}

export function sentOf(completed: StreamCompletedPayload): number {
  return completed.outputs.reduce((sum, output) => sum + output.sent, 0);
}

/** Receipts of the engine's events; control facts of the run have receipts too and are not replayed. */
export function engineCounts(ledger: RunReconciliation | null): EngineCounts {
  const counts = { admitted: 0, duplicate: 0, quarantined: 0 };
  for (const type of ledger?.types ?? []) {
    // What could not be read has no type; it came from somewhere, so it counts.
    if (type.eventType !== null && !OUTPUT_CATALOGUE.has(type.eventType)) continue;
    counts.admitted += type.admitted;
    counts.duplicate += type.duplicate;
    counts.quarantined += type.quarantined;
  }
  return counts;
}

/** The ledger makes its tables when it starts. */
function ledgerNotThereYet(error: unknown): null {
  const UNDEFINED_TABLE = '42P01';
  if ((error as { code?: string }).code === UNDEFINED_TABLE) return null;
  throw error;
}

export async function completedFact(
  settings: Settings,
  platformRunId: string,
  messageId: string,
): Promise<StreamCompletedPayload | null> {
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const reader = avroAnyReader(registry);
  const value = new Bytes();
  let found: StreamCompletedPayload | null = null;
  await readTopic(
    { bootstrapServers: settings.kafka.bootstrapServers, topic: settings.topics.control },
    (batch, i) => {
      value.buffer = batch.data;
      value.start = batch.valueStart[i]!;
      value.length = batch.valueLength[i]!;
      const schema = reader.schemaOf(value);
      const { recordName } = schema;
      if (recordName !== 'stream.completed' && recordName !== 'stream.failed') return true;
      const fact = schema.decode(value) as {
        platform_run_id: string | null;
        payload: StreamCompletedPayload | StreamFailedPayload;
      };
      if (fact.platform_run_id !== platformRunId || fact.payload.message_id !== messageId) return true;
      if ('code' in fact.payload) {
        throw new CommandFailed(`the replay was given up: ${fact.payload.code}: ${fact.payload.message}`);
      }
      found = fact.payload;
      return false;
    },
  );
  return found;
}
