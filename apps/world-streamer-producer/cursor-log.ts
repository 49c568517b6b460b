/**
 * One partition of the cursor topic, followed as a table: the latest committed cursor of every run and lane, and what
 * operators have asked of the runs.
 *
 * `catchUp` waits until the table holds what is committed up to the true log end. That waits for transactions that are
 * still open, which is the point: what a dead owner had in flight is settled before anyone resumes.
 */
import {
  consumerDefaults,
  OFFSET_BEGINNING,
  RecordBatch,
  type ClientConfig,
  type Consumer,
  type KafkaClient,
} from '../../lib/index.ts';
import { decodeCursorRecord, isControl, type RunCursor } from './run-cursor.ts';
import { controlKey, uncontrolled, type RunControl } from './run-control.ts';
import type { Ready } from './ready.ts';
import { StreamError } from './stream-error.ts';

const WAIT_MS = 200;

export class CursorLog {
  readonly partition: number;
  readonly #topic: string;
  readonly #consumer: Consumer;
  readonly #batch = new RecordBatch({ maxRecords: 1024, slabBytes: 1 << 20 });
  readonly #cursors = new Map<string, RunCursor>();
  readonly #controls = new Map<string, RunControl>();
  /** Offset up to which everything committed is in the table. */
  #position = 0;
  #closed = false;
  #failure: Error | null = null;
  /** Told of every turn of the follower. */
  #waiting: (() => void)[] = [];
  #onRecord: (record: RunCursor | RunControl) => void = () => undefined;
  readonly #following: Promise<void>;

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
    this.#following = this.#follow();
  }

  get(key: string): RunCursor | undefined {
    return this.#cursors.get(key);
  }
  /** Every cursor by its key. */
  get cursors(): ReadonlyMap<string, RunCursor> {
    return this.#cursors;
  }
  /** What operators want of a run. */
  control(run: Pick<Ready, 'platform_run_id' | 'scenario_run_id' | 'attempt'>): RunControl {
    return this.#controls.get(controlKey(run)) ?? uncontrolled(run);
  }

  /** From now on `listener` is told each record as it is read, after the table has it. */
  onRecord(listener: (record: RunCursor | RunControl) => void): void {
    this.#onRecord = listener;
  }

  /**
   * Waits until what is committed now is in the table (`stable`), or what is up to the log end as it is now, open
   * transactions waited for (`end`). Rejects with KAFKA_UNAVAILABLE after `timeoutMs`, and with CURSOR_INVALID once the
   * log holds what is no cursor.
   */
  async catchUp(until: 'stable' | 'end', timeoutMs: number): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const where = { topic: this.#topic, partition: this.partition };
    const [watermarks] = await this.#consumer.watermarks(
      [where],
      until === 'end' ? 'read_uncommitted' : 'read_committed',
      timeoutMs,
    );
    const target = watermarks!.high;
    for (;;) {
      if (this.#failure !== null) throw this.#failure;
      if (this.#position >= target) return;
      if (this.#closed || performance.now() > deadline) {
        throw new StreamError(
          'KAFKA_UNAVAILABLE',
          `cursors of ${this.#topic}/${this.partition} reach offset ${this.#position} of ${target} after ${timeoutMs} ms`,
        );
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#following;
    await this.#consumer.close();
  }

  /** Never rejects: a failure is thrown to whoever catches up. */
  async #follow(): Promise<void> {
    while (!this.#closed && this.#failure === null) {
      try {
        this.#poll();
      } catch (error) {
        this.#failure = error as Error;
      }
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const resolve of waiting) resolve();
      await this.#consumer.wait(WAIT_MS);
    }
    for (const resolve of this.#waiting) resolve();
  }

  #poll(): void {
    const batch = this.#batch;
    const count = this.#consumer.poll(batch);
    for (let i = 0; i < count; i += 1) {
      const start = batch.keyStart[i]!;
      this.#take(
        batch.data.toString('utf8', start, start + batch.keyLength[i]!),
        batch.valueLength[i]! < 0
          ? null
          : batch.data.toString('utf8', batch.valueStart[i], batch.valueStart[i]! + batch.valueLength[i]!),
      );
      this.#position = Math.max(this.#position, batch.offset[i]! + 1);
    }
    for (const event of this.#consumer.takeEvents()) {
      // The last offsets before the end may be transaction markers, which no record has.
      if (event.type === 'end') this.#position = Math.max(this.#position, event.offset);
    }
  }

  #take(key: string, value: string | null): void {
    if (value === null) {
      this.#cursors.delete(key);
      this.#controls.delete(key);
      return;
    }
    const record = decodeCursorRecord(value);
    if (isControl(record)) this.#controls.set(key, record);
    else this.#cursors.set(key, record);
    this.#onRecord(record);
  }
}
