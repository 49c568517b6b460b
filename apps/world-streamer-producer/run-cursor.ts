/**
 * Where a run stands in one lane: the record on the cursor topic, written in the transaction of what it counts.
 *
 * It carries the READY it came from, so a new owner needs nothing else. Records of one scope replace one another
 * (the topic is compacted); they lie on the partition number of the control partition that brought READY, so that
 * whoever owns the one reads the other.
 */
import { sha256Hex, type StopReason } from '../rails/index.ts';
import type { SourcePosition } from '../../lib/index.ts';
import type { Ready } from './ready.ts';
import type { RunControl } from './run-control.ts';
import { StreamError, type StreamErrorCode } from './stream-error.ts';

export type RunState =
  /** READY is accepted; nothing is sent. */
  | 'ACCEPTED'
  | 'STREAMING'
  /** All was sent that should be: to the end of the views, to a cap, or to where an operator had it drained. */
  | 'COMPLETED'
  | 'CANCELLED'
  /** Refused for good, with a code. */
  | 'FAILED';

export interface OutputProgress extends SourcePosition {
  readonly output_id: string;
  /** Rows passed in merged order, of every lane: what caps count. */
  readonly passed: number;
  /** Rows of this lane that were read, and sent. */
  readonly read: number;
  readonly sent: number;
}

/** What the run is replayed with: settled when it is accepted, so that a restart does not change it. */
export interface StreamOptions {
  readonly speedup: number;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

export interface RunCursor {
  readonly version: 1;
  readonly state: RunState;
  readonly ready: Ready;
  readonly lane: number;
  readonly lane_count: number;
  readonly options: StreamOptions;
  /** In merge order; empty until streaming begins. */
  readonly outputs: readonly OutputProgress[];
  /** Progress facts sent so far. */
  readonly progress_facts: number;
  /** Event time of the last row passed, microseconds since the epoch; null before the first. */
  readonly stream_time_micros: number | null;
  readonly accepted_at_utc: string;
  readonly started_at_utc: string | null;
  readonly ended_at_utc: string | null;
  readonly stop_reason: StopReason | null;
  readonly failure: { readonly code: StreamErrorCode; readonly message: string } | null;
}

/** The key of a cursor: one per pack, run, lane and attempt. */
export function cursorKey(cursor: Pick<RunCursor, 'ready' | 'lane' | 'lane_count'>): string {
  const { ready, lane, lane_count } = cursor;
  return sha256Hex(
    [
      ready.pack.oracle_pack_id,
      ready.platform_run_id,
      ready.scenario_run_id,
      lane_count,
      lane,
      ready.attempt,
    ].join('|'),
  );
}

/** One producer per run and lane at a time: the newest fences the others. */
export function transactionalId(cursor: Pick<RunCursor, 'ready' | 'lane'>): string {
  return `wsp/${cursor.ready.platform_run_id}/${cursor.ready.scenario_run_id}/${cursor.lane}`;
}

export function isFinished(cursor: RunCursor): boolean {
  return cursor.state === 'COMPLETED' || cursor.state === 'CANCELLED' || cursor.state === 'FAILED';
}

export function encodeRunCursor(cursor: RunCursor): string {
  return JSON.stringify(cursor);
}

/**
 * A record of the cursor topic. Throws StreamError (CURSOR_INVALID) for what this version of the streamer did not
 * write.
 */
export function decodeCursorRecord(text: string): RunCursor | RunControl {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StreamError('CURSOR_INVALID', 'a cursor record is not JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null || !('version' in value) || value.version !== 1) {
    throw new StreamError('CURSOR_INVALID', `a cursor record is not of version 1: ${text.slice(0, 80)}`);
  }
  return value as RunCursor | RunControl;
}

export function isControl(record: RunCursor | RunControl): record is RunControl {
  return 'kind' in record;
}
