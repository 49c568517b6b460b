/** Records that could not be read, produced to a dead-letter topic in the same transaction as their offset. */
import type { Placement } from '../serde/serde.ts';
import type { Collector } from '../topology/graph.ts';
import { HeaderWriter } from '../topology/headers.ts';
import type { SourceRecord } from '../topology/record.ts';
import type { Clock } from './clock.ts';

/** Headers of a dead letter, before the record's own. The names are Kafka Streams' (KIP-1034). */
export const DEAD_LETTER_HEADERS = {
  exception: '__streams.errors.exception',
  message: '__streams.errors.message',
  stacktrace: '__streams.errors.stacktrace',
  topic: '__streams.errors.topic',
  partition: '__streams.errors.partition',
  offset: '__streams.errors.offset',
} as const;

export class DeadLetters {
  readonly #collector: Collector;
  readonly #clock: Clock;
  readonly #headers = new HeaderWriter();
  readonly #placement: Placement = { source: 0, start: 0, length: 0 };

  constructor(collector: Collector, clock: Clock) {
    this.#collector = collector;
    this.#clock = clock;
  }

  /** Key, value and headers go unchanged; what went wrong and where comes in headers. */
  write(topic: string, source: SourceRecord, error: Error): void {
    const batch = this.#collector.batch;
    this.#headers.clear();
    this.#headers
      .add(DEAD_LETTER_HEADERS.exception, error.name)
      .add(DEAD_LETTER_HEADERS.message, error.message)
      .add(DEAD_LETTER_HEADERS.stacktrace, error.stack ?? null)
      .add(DEAD_LETTER_HEADERS.topic, source.topic)
      .add(DEAD_LETTER_HEADERS.partition, String(source.partition))
      .add(DEAD_LETTER_HEADERS.offset, String(source.offset))
      .addAll(source.headers);
    this.#headers.place(batch, this.#placement);
    const slab = batch.sourceIndex(source.value.buffer);
    batch.append(
      batch.topicIndex(topic),
      -1,
      this.#clock.now(),
      slab,
      source.key.start,
      source.key.length,
      slab,
      source.value.start,
      source.value.length,
      this.#placement.source,
      this.#placement.start,
      this.#placement.length,
      this.#headers.count,
    );
  }
}
