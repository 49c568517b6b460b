/**
 * One partition of the cursor topic, read as a table: the latest committed cursor of every run and lane.
 *
 * `catchUp` reads to the true log end. That waits for transactions that are still open, which is the point: what a
 * dead owner had in flight is settled before anyone resumes.
 */
import {
  consumerDefaults,
  OFFSET_BEGINNING,
  RecordBatch,
  type ClientConfig,
  type Consumer,
  type KafkaClient,
} from '../../lib/index.ts';
import { decodeRunCursor, type RunCursor } from './run-cursor.ts';
import { StreamError } from './stream-error.ts';

export class CursorLog {
  readonly partition: number;
  readonly #topic: string;
  readonly #consumer: Consumer;
  readonly #batch = new RecordBatch({ maxRecords: 1024, slabBytes: 1 << 20 });
  readonly #cursors = new Map<string, RunCursor>();
  /** Offset up to which everything committed is in the table. */
  #position = 0;
  #reading: Promise<unknown> = Promise.resolve();

  constructor(client: KafkaClient, config: ClientConfig, topic: string, partition: number) {
    this.#topic = topic;
    this.partition = partition;
    this.#consumer = client.createConsumer({
      ...consumerDefaults,
      ...config,
      // librdkafka wants a group; this one never subscribes and never commits.
      'group.id': `wsp-cursor-reader-${process.pid}-${partition}`,
    });
    this.#consumer.assign([{ topic, partition, offset: OFFSET_BEGINNING }]);
  }

  get(key: string): RunCursor | undefined {
    return this.#cursors.get(key);
  }
  /** Every cursor by its key. */
  get cursors(): ReadonlyMap<string, RunCursor> {
    return this.#cursors;
  }

  /**
   * Reads what is committed now (`stable`), or up to the log end as it is now, waiting for open transactions (`end`).
   * Rejects with KAFKA_UNAVAILABLE after `timeoutMs`.
   */
  catchUp(until: 'stable' | 'end', timeoutMs: number): Promise<void> {
    const read = this.#reading.then(() => this.#catchUp(until, timeoutMs));
    this.#reading = read.catch(() => undefined);
    return read;
  }

  async close(): Promise<void> {
    await this.#reading;
    await this.#consumer.close();
  }

  async #catchUp(until: 'stable' | 'end', timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const where = { topic: this.#topic, partition: this.partition };
    const [watermarks] = await this.#consumer.watermarks(
      [where],
      until === 'end' ? 'read_uncommitted' : 'read_committed',
      timeoutMs,
    );
    const target = watermarks!.high;
    while (this.#position < target) {
      this.#poll();
      if (this.#position >= target) return;
      if (performance.now() > deadline) {
        throw new StreamError(
          'KAFKA_UNAVAILABLE',
          `cursors of ${this.#topic}/${this.partition} reach offset ${this.#position} of ${target} after ${timeoutMs} ms`,
        );
      }
      await this.#consumer.wait(100);
    }
  }

  #poll(): void {
    const batch = this.#batch;
    const count = this.#consumer.poll(batch);
    for (let i = 0; i < count; i += 1) {
      const start = batch.keyStart[i]!;
      const key = batch.data.toString('utf8', start, start + batch.keyLength[i]!);
      const valueStart = batch.valueStart[i]!;
      const length = batch.valueLength[i]!;
      if (length < 0) this.#cursors.delete(key);
      else
        this.#cursors.set(key, decodeRunCursor(batch.data.toString('utf8', valueStart, valueStart + length)));
      this.#position = Math.max(this.#position, batch.offset[i]! + 1);
    }
    for (const event of this.#consumer.takeEvents()) {
      // The last offsets before the end may be transaction markers, which no record has.
      if (event.type === 'end') this.#position = Math.max(this.#position, event.offset);
    }
  }
}
