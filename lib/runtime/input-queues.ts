/**
 * The buffered inputs of a task with several source topics, and the choice of the next record: the one with the
 * lowest event time among the heads, as far as it is known that no lower one is still to come (KIP-353, KIP-695).
 *
 * What is buffered is copied out of the poll's slab, slice by slice. Its size is bounded by pausing partitions.
 */
import { RecordBatch } from '../kafka/record-batch.ts';
import type { Clock } from './clock.ts';

/** Where the head of a queue stands, with its event time. */
export interface Head {
  readonly batch: RecordBatch;
  readonly i: number;
  readonly topic: string;
}

interface Queue {
  readonly topic: string;
  readonly slices: RecordBatch[];
  /** Index of the head within the first slice. */
  next: number;
  buffered: number;
  /** Event time of the head, NaN until it has been read. */
  headTime: number;
  /** Offset after the last record buffered, and the log end last reported: equal when caught up. */
  fetched: number;
  end: number;
  /** Wall time since when the queue has been empty and caught up; NaN otherwise. */
  idleSince: number;
}

export class InputQueues {
  readonly #queues: readonly Queue[];
  readonly #byTopic: ReadonlyMap<string, Queue>;
  readonly #maxIdleMs: number;
  readonly #clock: Clock;

  /**
   * @param maxIdleMs how long to wait for an input that is known to be caught up; -1 does not wait for inputs at all
   */
  constructor(topics: readonly string[], maxIdleMs: number, clock: Clock) {
    this.#queues = topics.map((topic) => ({
      topic,
      slices: [],
      next: 0,
      buffered: 0,
      headTime: Number.NaN,
      fetched: -1,
      end: -1,
      idleSince: Number.NaN,
    }));
    this.#byTopic = new Map(this.#queues.map((queue) => [queue.topic, queue]));
    this.#maxIdleMs = maxIdleMs;
    this.#clock = clock;
  }

  /** Buffers records `from` … `to` (exclusive) of a polled batch, all of this partition and topic. */
  add(topic: string, batch: RecordBatch, indices: readonly number[]): void {
    const queue = this.#byTopic.get(topic)!;
    queue.slices.push(copySlice(batch, indices));
    queue.buffered += indices.length;
    queue.fetched = batch.offset[indices.at(-1)!]! + 1;
    queue.idleSince = Number.NaN;
  }

  /** The reader has reached the log end of an input. */
  reachedEnd(topic: string, offset: number): void {
    const queue = this.#byTopic.get(topic);
    if (queue === undefined) return;
    queue.end = offset;
    queue.fetched = Math.max(queue.fetched, offset);
    if (queue.buffered === 0) queue.idleSince = this.#clock.now();
  }

  buffered(topic: string): number {
    return this.#byTopic.get(topic)!.buffered;
  }

  /**
   * The record to process next, or null while it must be waited for.
   *
   * @param timeOf reads the event time of a head; called once per head
   */
  choose(timeOf: (head: Head) => number): Head | null {
    let best: Queue | null = null;
    let mustWait = false;
    for (const queue of this.#queues) {
      if (queue.buffered === 0) {
        mustWait ||= !this.#mayGoOnWithout(queue);
        continue;
      }
      if (Number.isNaN(queue.headTime)) queue.headTime = timeOf(headOf(queue));
      if (best === null || queue.headTime < best.headTime) best = queue;
    }
    return best === null || mustWait ? null : headOf(best);
  }

  /** Drops the head that `choose` gave. */
  take(head: Head): void {
    const queue = this.#byTopic.get(head.topic)!;
    queue.headTime = Number.NaN;
    queue.buffered -= 1;
    queue.next += 1;
    if (queue.next === queue.slices[0]!.count) {
      queue.slices.shift();
      queue.next = 0;
    }
    if (queue.buffered === 0)
      queue.idleSince = queue.fetched >= queue.end && queue.end >= 0 ? this.#clock.now() : Number.NaN;
  }

  /** Drops everything buffered: it is read again from the task's positions. */
  clear(): void {
    for (const queue of this.#queues) {
      queue.slices.length = 0;
      queue.next = 0;
      queue.buffered = 0;
      queue.headTime = Number.NaN;
      queue.fetched = -1;
      queue.end = -1;
      queue.idleSince = Number.NaN;
    }
  }

  /** Whether the empty input is known to be caught up, and has been for as long as it is waited for. */
  #mayGoOnWithout(queue: Queue): boolean {
    if (this.#maxIdleMs < 0) return true;
    if (queue.end < 0 || queue.fetched < queue.end) return false;
    return this.#clock.now() - queue.idleSince >= this.#maxIdleMs;
  }
}

function headOf(queue: Queue): Head {
  return { batch: queue.slices[0]!, i: queue.next, topic: queue.topic };
}

/** Records of a batch with their bytes, in a batch of their own of just that size. */
function copySlice(batch: RecordBatch, indices: readonly number[]): RecordBatch {
  let bytes = 0;
  for (const i of indices) {
    bytes += Math.max(0, batch.keyLength[i]!) + Math.max(0, batch.valueLength[i]!) + batch.headersLength[i]!;
  }
  const slice = new RecordBatch({ maxRecords: indices.length, slabBytes: Math.max(1, bytes) });
  let at = 0;
  const copy = (start: number, length: number): number => {
    const placed = at;
    if (length > 0) at += batch.data.copy(slice.data, at, start, start + length);
    return placed;
  };
  for (const [to, i] of indices.entries()) {
    slice.topic[to] = batch.topic[i]!;
    slice.partition[to] = batch.partition[i]!;
    slice.offset[to] = batch.offset[i]!;
    slice.timestamp[to] = batch.timestamp[i]!;
    slice.leaderEpoch[to] = batch.leaderEpoch[i]!;
    slice.keyStart[to] = copy(batch.keyStart[i]!, batch.keyLength[i]!);
    slice.keyLength[to] = batch.keyLength[i]!;
    slice.valueStart[to] = copy(batch.valueStart[i]!, batch.valueLength[i]!);
    slice.valueLength[to] = batch.valueLength[i]!;
    slice.headersStart[to] = copy(batch.headersStart[i]!, batch.headersLength[i]!);
    slice.headersLength[to] = batch.headersLength[i]!;
    slice.headersCount[to] = batch.headersCount[i]!;
  }
  slice.count = indices.length;
  slice.bytes = bytes;
  return slice;
}
