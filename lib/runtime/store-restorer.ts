/**
 * Fills the stores of new tasks from their changelogs, with one consumer for all of them.
 *
 * The target is the log end read uncommitted at assignment, reached by reading committed: reaching it proves that
 * every transaction that was open then (a dead owner's) has ended. The caller has fetched the task's stable
 * committed offset before, never after: the other order would miss a transaction that was about to end.
 */
import type {
  ClientConfig,
  Consumer,
  KafkaClient,
  TopicPartition,
  TopicPartitionOffset,
} from '../kafka/client.ts';
import { RecordBatch } from '../kafka/record-batch.ts';
import type { StateStore } from '../state/state-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import { changelogTopic } from '../topology/graph.ts';
import type { Clock } from './clock.ts';
import type { StreamsMetrics } from './streams-metrics.ts';
import type { Task } from './task.ts';

const PROGRESS_EVERY_MS = 2000;
const METADATA_TIMEOUT_MS = 30_000;

interface Restoring extends TopicPartition {
  readonly store: StateStore;
  readonly task: Task;
  position: number;
  readonly target: number;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

export interface StoreRestorerOptions {
  readonly client: KafkaClient;
  readonly config: ClientConfig;
  readonly applicationId: string;
  readonly metrics: StreamsMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class StoreRestorer {
  readonly #options: StoreRestorerOptions;
  readonly #batch = new RecordBatch();
  #consumer: Consumer | null = null;
  #pending: Restoring[] = [];
  /** Tasks that were taken away: one of them may still be asking where its changelogs end. */
  readonly #dropped = new WeakSet<Task>();
  #pump: Promise<void> | null = null;
  /** Set and cleared in step with the loop itself, so that a store added as it ends starts a new one. */
  #running = false;
  #closed = false;

  constructor(options: StoreRestorerOptions) {
    this.#options = options;
  }

  /** Restores every store of a task that has a changelog. Rejects when the task is dropped meanwhile. */
  async restore(task: Task): Promise<void> {
    const specs = task.subtopology.stores.entries();
    const stores = [...specs].filter(([, spec]) => spec.changelog !== 'none').map(([i]) => task.stores[i]!);
    if (stores.length === 0) return;
    const consumer = this.#open();
    const partitions = stores.map((store) => ({
      topic: changelogTopic(this.#options.applicationId, store.name),
      partition: task.partition,
    }));
    const ends = await consumer.watermarks(partitions, 'read_uncommitted', METADATA_TIMEOUT_MS);
    // Only what is being restored can be dropped, and until now this task was not.
    if (this.#dropped.has(task) || this.#closed) throw takenAway(task);
    const begun: TopicPartitionOffset[] = [];
    const waits = stores.map((store, i) => {
      const { low, high } = ends[i]!;
      const position = startOf(store, low, high);
      if (high <= position) return Promise.resolve();
      begun.push({ ...partitions[i]!, offset: position });
      return new Promise<void>((done, failed) => {
        this.#pending.push({ ...partitions[i]!, store, task, position, target: high, done, failed });
      });
    });
    if (begun.length > 0) consumer.incrementalAssign(begun);
    if (!this.#running) this.#pump = this.#run();
    await Promise.all(waits);
  }

  /** Stops restoring a task that has been taken away. Its `restore` rejects. */
  drop(task: Task): void {
    this.#dropped.add(task);
    const dropped = this.#pending.filter((one) => one.task === task);
    if (dropped.length === 0) return;
    this.#pending = this.#pending.filter((one) => one.task !== task);
    this.#unassign(dropped);
    for (const one of dropped) one.failed(takenAway(task));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const one of this.#pending) one.failed(new Error('the instance is closing'));
    this.#pending = [];
    await this.#pump;
    await this.#consumer?.close();
    this.#consumer = null;
  }

  #open(): Consumer {
    // librdkafka wants a group.id even from a reader that never subscribes and never commits.
    this.#consumer ??= this.#options.client.createConsumer({
      ...this.#options.config,
      'group.id': `${this.#options.applicationId}-restore`,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
      'enable.auto.commit': false,
      'auto.offset.reset': 'earliest',
    });
    return this.#consumer;
  }

  /**
   * Each partition is assigned once and given back once. Replacing the whole assignment instead would stop and start
   * every partition each time, and librdkafka aborts the process when it is to stop one that is still stopping.
   */
  #unassign(finished: readonly Restoring[]): void {
    this.#consumer?.incrementalUnassign(finished.map(({ topic, partition }) => ({ topic, partition })));
  }

  async #run(): Promise<void> {
    const consumer = this.#open();
    const { clock, logger, metrics } = this.#options;
    let nextProgress = clock.now() + PROGRESS_EVERY_MS;
    this.#running = true;
    while (this.#pending.length > 0 && !this.#closed) {
      const count = consumer.poll(this.#batch);
      try {
        for (let i = 0; i < count; i++) this.#apply(consumer.topicName(this.#batch.topic[i]!), i);
      } catch (error) {
        const failed = this.#pending;
        this.#pending = [];
        this.#unassign(failed);
        for (const one of failed) one.failed(error);
        break;
      }
      metrics.recordsRestored += count;
      for (const event of consumer.takeEvents()) {
        if (event.type === 'end') {
          const one = this.#find(event.topic, event.partition);
          if (one !== undefined) one.position = Math.max(one.position, event.offset);
        } else if (event.type === 'error') {
          logger.warn({ error: event.error.message }, 'reading a changelog');
        }
      }
      this.#finish();
      if (clock.now() >= nextProgress) {
        nextProgress = clock.now() + PROGRESS_EVERY_MS;
        const remaining = this.#pending.reduce((sum, one) => sum + one.target - one.position, 0);
        logger.info({ stores: this.#pending.length, remaining }, 'restoring state');
      }
      if (count === 0) await consumer.wait(100);
      else await new Promise((next) => setImmediate(next));
    }
    this.#running = false;
  }

  #apply(topic: string, i: number): void {
    const one = this.#find(topic, this.#batch.partition[i]!);
    const offset = this.#batch.offset[i]!;
    if (one === undefined || offset < one.position) return;
    one.store.restore(this.#batch, i);
    one.position = offset + 1;
  }

  #finish(): void {
    const finished = this.#pending.filter((one) => one.position >= one.target);
    if (finished.length === 0) return;
    this.#pending = this.#pending.filter((one) => one.position < one.target);
    this.#unassign(finished);
    for (const one of finished) {
      one.store.flush(one.position);
      one.done();
    }
  }

  #find(topic: string, partition: number): Restoring | undefined {
    return this.#pending.find((one) => one.topic === topic && one.partition === partition);
  }
}

/** Where to read from. A checkpoint that the changelog does not hold (any more) says nothing: all over again. */
function startOf(store: StateStore, low: number, high: number): number {
  const { checkpoint } = store;
  if (checkpoint === null) return low;
  if (checkpoint >= low && checkpoint <= high) return checkpoint;
  store.wipe();
  return low;
}

function takenAway(task: Task): Error {
  return new Error(`task ${task.id} was taken away while its stores were restored`);
}
