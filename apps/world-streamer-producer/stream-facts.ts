/**
 * What the streamer tells the platform about a run: stream.started, stream.progress, stream.completed, stream.failed.
 *
 * A fact's wall time is its ts_utc; its payload has none. Its id comes from run, attempt, lane, count and the payload's
 * own digest: told again after a lost cursor, the same fact is the same event (a duplicate at the gate), and one that
 * has other things to say (other caps, another end) is another event, never a contradiction of the first.
 * Facts enter ingress in the transaction of the cursor that counts them, so without such a loss each is told once.
 */
import { MicrosWriter, type CompiledSchema, type OutgoingBatch, type Placement } from '../../lib/index.ts';
import {
  controlEventId,
  epochMillisToMicros,
  partitionKey,
  payloadHash,
  type CanonicalValue,
  type Envelope,
  type RunReadyPayload,
} from '../rails/index.ts';
import type { RunCursor } from './run-cursor.ts';
import type { StreamError } from './stream-error.ts';

export const STREAM_FACT_TYPES = [
  'stream.started',
  'stream.progress',
  'stream.completed',
  'stream.failed',
] as const;
export type StreamFactType = (typeof STREAM_FACT_TYPES)[number];

const SCHEMA_VERSION = 'v1';
const DIGEST_DIGITS = 16;
const micros = new MicrosWriter();

/** The fact about a cursor. `stream.progress` is the cursor's `progress_facts`-th; `stream.failed` needs its failure. */
export function streamFact(type: StreamFactType, cursor: RunCursor, producerId: string): Envelope {
  const { ready, lane } = cursor;
  const now = epochMillisToMicros();
  const payload = factPayload(type, cursor);
  const digest = payloadHash(type, SCHEMA_VERSION, payload).slice(0, DIGEST_DIGITS);
  const which = type === 'stream.progress' ? `${cursor.progress_facts}/` : '';
  return {
    event_id: controlEventId(
      type,
      ready.platform_run_id,
      ready.scenario_run_id,
      `${ready.attempt}/${lane}/${which}${digest}`,
    ),
    event_type: type,
    ts_utc: now,
    ...ready.world,
    run_id: ready.scenario_run_id,
    platform_run_id: ready.platform_run_id,
    scenario_run_id: ready.scenario_run_id,
    schema_version: SCHEMA_VERSION,
    emitted_at_utc: now,
    producer: producerId,
    trace_id: ready.pack.oracle_pack_id,
    span_id: ready.pack.engine_release,
    parent_event_id: null,
    payload,
  };
}

function factPayload(type: StreamFactType, cursor: RunCursor): Record<string, CanonicalValue> {
  const { ready, lane, options } = cursor;
  const streamTime = cursor.stream_time_micros === null ? null : micros.text(cursor.stream_time_micros);
  return {
    message_id: ready.message_id,
    attempt: ready.attempt,
    lane,
    lane_count: cursor.lane_count,
    outputs: cursor.outputs.map(({ output_id, read, sent }) => ({ output_id, read, sent })),
    speedup: options.speedup,
    max_events: options.max_events,
    max_events_per_output: options.max_events_per_output,
    ...(type === 'stream.started' ? {} : { stream_time_utc: streamTime }),
    ...(type === 'stream.completed' ? { stop_reason: cursor.stop_reason } : {}),
    ...(type === 'stream.failed'
      ? { code: cursor.failure?.code ?? 'STREAM_FAILED', message: cursor.failure?.message ?? '' }
      : {}),
  };
}

/** stream.failed about a READY that could not be read as one: it has no cursor, and its lanes were never made. */
export function refusalFact(
  ready: Envelope,
  payload: Pick<RunReadyPayload, 'message_id' | 'attempt'>,
  failure: StreamError,
  producerId: string,
): Envelope {
  const now = epochMillisToMicros();
  const told = {
    message_id: payload.message_id,
    attempt: payload.attempt,
    lane: 0,
    lane_count: 1,
    outputs: [],
    speedup: 0,
    max_events: null,
    max_events_per_output: null,
    stream_time_utc: null,
    code: failure.code,
    message: failure.message,
  };
  const digest = payloadHash('stream.failed', SCHEMA_VERSION, told).slice(0, DIGEST_DIGITS);
  const sequence = `${payload.attempt}/0/${digest}`;
  return {
    ...ready,
    event_id: controlEventId(
      'stream.failed',
      ready.platform_run_id ?? '',
      ready.scenario_run_id ?? '',
      sequence,
    ),
    event_type: 'stream.failed',
    ts_utc: now,
    schema_version: SCHEMA_VERSION,
    emitted_at_utc: now,
    producer: producerId,
    parent_event_id: ready.event_id,
    payload: told,
  };
}

const value: Placement = { source: 0, start: 0, length: 0 };

/** Appends a fact to ingress under the control key of its run. */
export function appendFact(
  fact: Envelope,
  schema: CompiledSchema,
  topic: string,
  partitionOfKey: (key: Buffer) => number,
  into: OutgoingBatch,
): void {
  const key = Buffer.from(partitionKey(fact.run_id ?? fact.event_id));
  schema.encodeInto(fact, into, value);
  const { source, start, length } = value;
  into.reserve(key.length);
  const keyStart = into.arenaPosition;
  const keySource = into.arenaSource;
  key.copy(into.arena, keyStart);
  into.advance(key.length);
  into.append(
    into.topicIndex(topic),
    partitionOfKey(key),
    0,
    keySource,
    keyStart,
    key.length,
    source,
    start,
    length,
    source,
    0,
    0,
    0,
  );
}
