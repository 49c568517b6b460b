/**
 * The commit protocol: outputs, changelog and consumed offsets in one Kafka transaction, step by step.
 *
 * Records are gathered in two outgoing batches that take turns: while one's commit is in flight, the loop fills the
 * other, and hands nothing of it to the producer until the commit has answered.
 */
import type { Consumer, Producer, TopicPartitionOffset } from '../kafka/client.ts';
import { KafkaError } from '../kafka/kafka-error.ts';
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import type { RecordBatch } from '../kafka/record-batch.ts';
import type { Collector } from '../topology/graph.ts';
import type { StreamsMetrics } from './streams-metrics.ts';

/**
 * The points at which a process may die, in order; each names the step just finished. What a death there costs is
 * the table in docs/exactly-once.md, and the fault tests kill at every one of them.
 */
export const COMMIT_STEPS = ['drain', 'produce', 'offsets', 'commit', 'apply', 'begin'] as const;
export type CommitStep = (typeof COMMIT_STEPS)[number];

/** The consumer is no member of its group now: its offsets must not be sent, its tasks are as good as lost. */
export class NotAMemberError extends Error {
  override readonly name = 'NotAMemberError';
}

const FLUSH_TIMEOUT_MS = 60_000;
const TRANSACTION_TIMEOUT_MS = 30_000;

export interface TransactionOptions {
  readonly producer: Producer;
  readonly consumer: Consumer;
  readonly metrics: StreamsMetrics;
  /** Called after each step. */
  readonly onStep: ((step: CommitStep) => void) | undefined;
}

/** What one commit covers, frozen at seal. */
export interface Sealed {
  readonly offsets: readonly TopicPartitionOffset[];
  /** Merges what was sealed into the committed state. */
  apply(): void;
}

export class Transaction implements Collector {
  /** The batch that operators write to now. */
  batch = new OutgoingBatch();
  #other = new OutgoingBatch();
  /** Input batches whose slabs the current outgoing batch points into, and those of the sealed one. */
  #slabs: RecordBatch[] = [];
  #sealedSlabs: RecordBatch[] = [];
  readonly #free: RecordBatch[] = [];
  readonly #options: TransactionOptions;
  #inFlight: Promise<void> | null = null;
  #failure: unknown = null;
  #begun = false;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  get committing(): boolean {
    return this.#inFlight !== null;
  }

  /** A batch to poll into: one that nothing points into any more. */
  takeSlab(create: () => RecordBatch): RecordBatch {
    return this.#free.pop() ?? create();
  }

  /** The loop is done with an input batch; it is reused once every output that names it has been handed over. */
  returnSlab(slab: RecordBatch): void {
    if (this.batch.sources.includes(slab.data)) this.#slabs.push(slab);
    else this.#free.push(slab);
  }

  begin(): void {
    this.#options.producer.beginTransaction();
    this.#begun = true;
    this.#options.onStep?.('begin');
  }

  /** Hands over what has been gathered, unless a commit is in flight (then it waits for its turn). */
  async handOver(): Promise<void> {
    if (this.#inFlight !== null || this.batch.count === 0) return;
    await this.#produce(this.batch, this.#slabs);
  }

  /**
   * Starts a commit of everything gathered so far. The outcome is reported by `settled`; until then further records
   * go to the next transaction's batch.
   */
  commit(sealed: Sealed): void {
    if (this.#inFlight !== null) throw new Error('a commit is in flight already');
    const batch = this.batch;
    const slabs = this.#slabs;
    this.batch = this.#other;
    this.#other = batch;
    this.#slabs = this.#sealedSlabs;
    this.#sealedSlabs = slabs;
    const started = performance.now();
    this.#inFlight = this.#run(batch, slabs, sealed)
      .then(() => {
        this.#options.metrics.commits += 1;
        this.#options.metrics.commitMs += performance.now() - started;
      })
      .catch((error: unknown) => {
        this.#failure = error;
      })
      .finally(() => {
        this.#inFlight = null;
      });
  }

  /** Waits for a commit in flight; throws what made it fail, once. */
  async settled(): Promise<void> {
    if (this.#inFlight !== null) await this.#inFlight;
    this.throwFailure();
  }

  /** Throws what made the last commit fail, once. */
  throwFailure(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure as Error;
  }

  /** Drops everything gathered and, where one is open, aborts the broker's transaction. Throws on fatal errors only. */
  async abort(): Promise<void> {
    if (this.#inFlight !== null) await this.#inFlight;
    this.#failure = null;
    this.#forget();
    if (!this.#begun) return;
    for (;;) {
      try {
        await this.#options.producer.abortTransaction(TRANSACTION_TIMEOUT_MS);
        break;
      } catch (error) {
        if (!(error instanceof KafkaError) || !error.retriable || error.fatal) throw error;
      }
    }
    this.#begun = false;
    this.#options.metrics.aborts += 1;
  }

  async #run(batch: OutgoingBatch, slabs: RecordBatch[], sealed: Sealed): Promise<void> {
    const { producer, consumer, onStep } = this.#options;
    onStep?.('drain');
    await this.#produce(batch, slabs);
    // Acknowledged before the offsets are sent: a new owner trusts that stable offsets imply a complete changelog.
    await producer.flush(FLUSH_TIMEOUT_MS);
    onStep?.('produce');
    if (sealed.offsets.length > 0) {
      const { memberId, generationId } = consumer.groupMetadata();
      // Brokers accept offsets without a member id into a live group unchecked, so they must never be sent.
      if (memberId === '' || generationId < 0)
        throw new NotAMemberError('the consumer is no member of its group');
      await producer.sendOffsets(sealed.offsets, consumer, TRANSACTION_TIMEOUT_MS);
    }
    onStep?.('offsets');
    await this.#commitUntilAnswered();
    this.#begun = false;
    onStep?.('commit');
    sealed.apply();
    onStep?.('apply');
    this.begin();
  }

  /** A commit that times out has an unknown outcome and is idempotent: called again until it answers, never aborted. */
  async #commitUntilAnswered(): Promise<void> {
    for (;;) {
      try {
        await this.#options.producer.commitTransaction(TRANSACTION_TIMEOUT_MS);
        return;
      } catch (error) {
        if (error instanceof KafkaError && error.retriable && !error.fatal && !error.abortable) continue;
        throw error;
      }
    }
  }

  async #produce(batch: OutgoingBatch, slabs: RecordBatch[]): Promise<void> {
    if (batch.count > 0) {
      await this.#options.producer.produce(batch);
      this.#options.metrics.recordsProduced += batch.count;
      this.#options.metrics.bytesProduced += batch.bytes;
      batch.reset();
    }
    this.#free.push(...slabs.splice(0));
  }

  #forget(): void {
    this.batch.reset();
    this.#other.reset();
    this.#free.push(...this.#slabs.splice(0), ...this.#sealedSlabs.splice(0));
  }
}
