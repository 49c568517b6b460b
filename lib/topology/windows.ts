/**
 * Windows of event time: tumbling, hopping, sliding (KIP-450) and session windows, with grace; windowed keys and
 * their bytes, which are Kafka Streams' own.
 */
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { SerdeError, type Bytes, type Placement, type Serde } from '../serde/serde.ts';
import { Decoder, Encoder, INT64_BYTES, preparing, readInt64, writeInt64 } from './encoder.ts';
import { TopologyError } from './graph.ts';

/** Times in epoch milliseconds. `end` is exclusive for tumbling and hopping windows, inclusive for the others. */
export interface Window {
  readonly start: number;
  readonly end: number;
}

/** A key within a window: the key of a windowed table. */
export interface Windowed<K> {
  readonly key: K;
  readonly window: Window;
}

/** Windows of one size that start at multiples of `advanceMs`: [start, start + sizeMs). */
export interface TimeWindows {
  readonly kind: 'time';
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}

/** Windows [end - differenceMs, end], one for every set of records that fits into such a span. */
export interface SlidingWindows {
  readonly kind: 'sliding';
  readonly differenceMs: number;
  readonly graceMs: number;
}

/** Windows that grow as long as no gap between records exceeds `gapMs`. */
export interface SessionWindows {
  readonly kind: 'session';
  readonly gapMs: number;
  readonly graceMs: number;
}

/** Which records of two streams join: those of the other side from `beforeMs` earlier to `afterMs` later. */
export interface JoinWindows {
  readonly kind: 'join';
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly graceMs: number;
}

/**
 * Windows side by side. A record older than its window's end by more than `graceMs` of stream time is late.
 * Throws TopologyError for a size below 1 ms or a negative grace.
 */
export function tumbling(options: { readonly sizeMs: number; readonly graceMs: number }): TimeWindows {
  return hopping({ ...options, advanceMs: options.sizeMs });
}

/** Overlapping windows: a new one starts every `advanceMs` (1 … sizeMs). */
export function hopping(options: {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}): TimeWindows {
  const { sizeMs, advanceMs, graceMs } = options;
  check('sizeMs', sizeMs, 1);
  check('advanceMs', advanceMs, 1, sizeMs);
  check('graceMs', graceMs, 0);
  return { kind: 'time', sizeMs, advanceMs, graceMs };
}

/** Windows that hold records at most `differenceMs` apart, both ends inclusive (KIP-450). */
export function sliding(options: {
  readonly differenceMs: number;
  readonly graceMs: number;
}): SlidingWindows {
  check('differenceMs', options.differenceMs, 0);
  check('graceMs', options.graceMs, 0);
  return { kind: 'sliding', differenceMs: options.differenceMs, graceMs: options.graceMs };
}

/** Windows of activity: records at most `gapMs` apart share one, and a record between two merges them. */
export function session(options: { readonly gapMs: number; readonly graceMs: number }): SessionWindows {
  check('gapMs', options.gapMs, 1);
  check('graceMs', options.graceMs, 0);
  return { kind: 'session', gapMs: options.gapMs, graceMs: options.graceMs };
}

/** The window of a stream-stream join. Unmatched records of an outer side are emitted when it has closed (KIP-633). */
export function joinWindow(options: {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly graceMs: number;
}): JoinWindows {
  const { beforeMs, afterMs, graceMs } = options;
  check('graceMs', graceMs, 0);
  if (!Number.isSafeInteger(beforeMs) || !Number.isSafeInteger(afterMs) || beforeMs + afterMs < 0) {
    throw new TopologyError(
      `a join window from ${beforeMs} ms before to ${afterMs} ms after is empty; the sum must not be negative`,
    );
  }
  return { kind: 'join', beforeMs, afterMs, graceMs };
}

/** Starts of the windows that hold `timestamp`, ascending, into `starts`; returns how many. */
export function windowStartsOf(windows: TimeWindows, timestamp: number, starts: number[]): number {
  const { sizeMs, advanceMs } = windows;
  let count = 0;
  const first = Math.floor(Math.max(0, timestamp - sizeMs + advanceMs) / advanceMs) * advanceMs;
  for (let start = first; start <= timestamp; start += advanceMs) starts[count++] = start;
  return count;
}

/** A windowed key as Kafka Streams writes it: the key, then the window's start. The size gives the end. */
export function timeWindowedSerde<K>(key: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  return windowedSerde(key, INT64_BYTES, {
    write: (buffer, at, window) => writeInt64(buffer, window.start, at),
    read(buffer, at) {
      const start = readInt64(buffer, at);
      return { start, end: start + sizeMs };
    },
  });
}

/** A session's key as Kafka Streams writes it: the key, then the end, then the start. */
export function sessionWindowedSerde<K>(key: Serde<K>): Serde<Windowed<K>> {
  return windowedSerde(key, 2 * INT64_BYTES, {
    write(buffer, at, window) {
      writeInt64(buffer, window.end, at);
      writeInt64(buffer, window.start, at + INT64_BYTES);
    },
    read: (buffer, at) => ({ start: readInt64(buffer, at + INT64_BYTES), end: readInt64(buffer, at) }),
  });
}

function windowedSerde<K>(
  key: Serde<K>,
  suffix: number,
  layout: {
    write(buffer: Buffer, at: number, window: Window): void;
    read(buffer: Buffer, at: number): Window;
  },
): Serde<Windowed<K>> {
  const encoder = new Encoder(key);
  const decoder = new Decoder(key);
  return {
    deserialize(bytes: Bytes) {
      const { buffer, start, length } = bytes;
      const keyLength = length - suffix;
      if (keyLength < 0)
        throw new SerdeError(`a windowed key ends with ${suffix} bytes of time`, 'TRUNCATED');
      return {
        key: decoder.decode(buffer, start, keyLength),
        window: layout.read(buffer, start + keyLength),
      };
    },
    serialize(windowed, batch: OutgoingBatch, placement: Placement) {
      const content = encoder.encode(windowed.key);
      const length = content.length + suffix;
      batch.reserve(length);
      const at = batch.arenaPosition;
      content.copy(batch.arena, at);
      layout.write(batch.arena, at + content.length, windowed.window);
      placement.source = batch.arenaSource;
      placement.start = at;
      placement.length = length;
      batch.advance(length);
    },
    ...preparing(key),
  };
}

function check(name: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? `at least ${least}` : `from ${least} to ${most}`;
  throw new TopologyError(`${name} must be a whole number of milliseconds, ${range}, not ${value}`);
}
