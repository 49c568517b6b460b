/**
 * The streamer's outgoing side: batches of events, each sequence of them closed by its cursor, in transactions.
 *
 * Two batches take turns: while one is handed over or committed, the other is filled. Nothing of the next transaction
 * reaches the producer before the commit of the last one has been answered; an event *enters* the outgoing transaction
 * when it is framed into the batch that will be handed over with it, and from then on only the commit decides about it.
 */
import { Fidelity, KafkaError, OutgoingBatch, type Producer } from '../../lib/index.ts';
import { crashPoint } from './crash-point.ts';
import { encodeRunCursor, cursorKey, type RunCursor } from './run-cursor.ts';

export interface TransactionOptions {
  readonly producer: Producer;
  readonly cursorTopic: string;
  readonly cursorPartition: number;
  /** Most records of one hand-over. */
  readonly maxRecords: number;
  readonly timeoutMs: number;
  /** Called when what was handed over has been taken or committed, or has failed: `idle` is true again. */
  readonly onIdle: () => void;
}

export class StreamTransaction {
  /** The batch to fill. */
  batch: OutgoingBatch;
  /** Monotonic due time of each record of `batch`; NaN for those without a schedule. */
  due: Float64Array;
  /** When the open transaction began, in monotonic milliseconds, and how much it holds; NaN when none is open. */
  openedAt = NaN;
  records = 0;
  bytes = 0;

  /** How late events were handed to the producer, against their schedule: entering, and then waiting for a commit. */
  readonly handOverFidelity = new Fidelity();

  readonly #options: TransactionOptions;
  #otherBatch: OutgoingBatch;
  #otherDue: Float64Array;
  #inFlight: Promise<void> = Promise.resolve();
  #idle = true;
  #failure: Error | null = null;
  #open = false;

  constructor(options: TransactionOptions) {
    this.#options = options;
    const { maxRecords } = options;
    this.batch = new OutgoingBatch(maxRecords + 16);
    this.#otherBatch = new OutgoingBatch(maxRecords + 16);
    this.due = new Float64Array(maxRecords + 16).fill(NaN);
    this.#otherDue = new Float64Array(maxRecords + 16).fill(NaN);
  }

  /** Nothing is on its way: `handOver` would not have to wait. */
  get idle(): boolean {
    return this.#idle;
  }

  /** Throws what has failed on the way: nothing after the last commit has been sent. */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * Hands the filled batch over, with `cursor` as its last record and a commit behind it if there is one. Resolves when
   * the other batch may be filled: the work itself goes on.
   */
  async handOver(cursor: RunCursor | null): Promise<void> {
    await this.#inFlight;
    const { batch, due } = this;
    if (Number.isNaN(this.openedAt)) this.openedAt = performance.now();
    this.records += batch.count;
    this.bytes += batch.bytes;
    if (cursor !== null) {
      batch.add({
        topic: this.#options.cursorTopic,
        partition: this.#options.cursorPartition,
        key: cursorKey(cursor),
        value: encodeRunCursor(cursor),
      });
      this.openedAt = NaN;
      this.records = 0;
      this.bytes = 0;
    }
    this.batch = this.#otherBatch;
    this.due = this.#otherDue;
    this.#otherBatch = batch;
    this.#otherDue = due;
    this.#idle = false;
    this.#inFlight = this.#send(batch, due, cursor);
    // A rejection is thrown by `check` or the next call; until then it must not count as unhandled.
    const settled = (failure: Error | null): void => {
      this.#failure ??= failure;
      this.#idle = true;
      this.#options.onIdle();
    };
    this.#inFlight.then(
      () => {
        settled(null);
      },
      (error: unknown) => {
        settled(error as Error);
      },
    );
  }

  /** Waits for what was handed over. */
  settled(): Promise<void> {
    return this.#inFlight;
  }

  /** Gives up what is not committed, after a failure: best effort, for the next owner's producer aborts it anyway. */
  async abandon(): Promise<void> {
    await this.#inFlight.catch(() => undefined);
    if (this.#open)
      await this.#options.producer.abortTransaction(this.#options.timeoutMs).catch(() => undefined);
  }

  async #send(batch: OutgoingBatch, due: Float64Array, cursor: RunCursor | null): Promise<void> {
    const { producer, timeoutMs } = this.#options;
    if (!this.#open) {
      producer.beginTransaction();
      this.#open = true;
    }
    const now = performance.now();
    for (let i = 0; i < batch.count; i += 1) {
      const scheduled = due[i]!;
      if (!Number.isNaN(scheduled)) this.handOverFidelity.record(now - scheduled);
    }
    await producer.produce(batch);
    due.fill(NaN, 0, batch.count);
    batch.reset();
    if (cursor === null) return;
    const completed = cursor.state === 'COMPLETED';
    crashPoint(completed ? 'wsp.completed.produced' : 'wsp.batch.produced');
    await commit(producer, timeoutMs);
    this.#open = false;
    crashPoint(completed ? 'wsp.completed.committed' : 'wsp.batch.committed');
  }
}

/** Commits; a commit that timed out is asked again until it answers, because its outcome is unknown. */
export async function commit(producer: Producer, timeoutMs: number): Promise<void> {
  for (;;) {
    try {
      await producer.commitTransaction(timeoutMs);
      return;
    } catch (error) {
      if (!(error instanceof KafkaError) || !error.retriable) throw error;
    }
  }
}
