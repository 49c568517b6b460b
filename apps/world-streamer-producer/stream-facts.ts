/**
 * What the streamer tells the platform about a run: stream.started, stream.progress, stream.completed.
 *
 * Their ids come from run, attempt, lane and count, and they enter ingress in the transaction of the cursor that
 * counts them, so each is told exactly once.
 */
import { MicrosWriter, type CompiledSchema, type OutgoingBatch, type Placement } from '../../lib/index.ts';
import { controlEventId, epochMillisToMicros, partitionKey, type Envelope } from '../rails/index.ts';
import type { RunCursor } from './run-cursor.ts';

export const STREAM_FACT_TYPES = ['stream.started', 'stream.progress', 'stream.completed'] as const;
export type StreamFactType = (typeof STREAM_FACT_TYPES)[number];

const micros = new MicrosWriter();

/** The fact about a cursor. `stream.progress` is the cursor's `progress_facts`-th. */
export function streamFact(type: StreamFactType, cursor: RunCursor, producerId: string): Envelope {
  const { ready, lane, options } = cursor;
  const now = epochMillisToMicros();
  const once = `${ready.attempt}/${lane}`;
  const sequence = type === 'stream.progress' ? `${once}/${cursor.progress_facts}` : once;
  const streamTime = cursor.stream_time_micros === null ? null : micros.text(cursor.stream_time_micros);
  const ended = cursor.ended_at_utc ?? now;
  return {
    event_id: controlEventId(type, ready.platform_run_id, ready.scenario_run_id, sequence),
    event_type: type,
    ts_utc: now,
    ...ready.world,
    run_id: ready.scenario_run_id,
    platform_run_id: ready.platform_run_id,
    scenario_run_id: ready.scenario_run_id,
    schema_version: 'v1',
    emitted_at_utc: now,
    producer: producerId,
    trace_id: ready.pack.oracle_pack_id,
    span_id: ready.pack.engine_release,
    parent_event_id: null,
    payload: {
      message_id: ready.message_id,
      attempt: ready.attempt,
      lane,
      lane_count: cursor.lane_count,
      outputs: cursor.outputs.map(({ output_id, read, sent }) => ({ output_id, read, sent })),
      speedup: options.speedup,
      max_events: options.max_events,
      max_events_per_output: options.max_events_per_output,
      started_at_utc: cursor.started_at_utc ?? now,
      ...(type === 'stream.progress' ? { reported_at_utc: now, stream_time_utc: streamTime } : {}),
      ...(type === 'stream.completed'
        ? { ended_at_utc: ended, stop_reason: cursor.stop_reason, stream_time_utc: streamTime }
        : {}),
    },
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
