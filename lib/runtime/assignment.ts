/**
 * Taking partitions: from the group's offer to running tasks.
 *
 * The group subscribes to one lead topic per subtopology. When its partition p is offered, partition p of the
 * sibling topics joins in the same incremental call, because the group's assignors do not co-locate them.
 */
import type { Consumer, TopicPartition } from '../kafka/client.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import type { StateStore } from '../state/state-store.ts';
import type { Topology } from '../topology/graph.ts';
import type { Clock } from './clock.ts';
import type { StoreRestorer } from './store-restorer.ts';
import { decodeStreamTime } from './stream-time.ts';
import type { StreamsMetrics } from './streams-metrics.ts';
import type { TaskSet } from './task-set.ts';
import { Task } from './task.ts';

/** Stable offsets wait for a dead owner's transaction: its timeout and the broker's clean-up, with room. */
const COMMITTED_TIMEOUT_MS = 60_000;
const WATERMARKS_TIMEOUT_MS = 30_000;

export interface AssignmentOptions {
  readonly topology: Topology;
  readonly applicationId: string;
  readonly consumer: Consumer;
  readonly tasks: TaskSet;
  readonly collector: { get(): OutgoingBatch };
  readonly restorer: StoreRestorer;
  readonly metrics: StreamsMetrics;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly maxTaskIdleMs?: number;
  readonly stateDir: string;
  /** The store of a global table, by name. */
  readonly globals: (name: string) => StateStore;
}

export class Assignment {
  readonly #options: AssignmentOptions;
  #opening = 0;
  #failure: unknown = null;
  #closed = false;

  constructor(options: AssignmentOptions) {
    this.#options = options;
  }

  /** Whether no offer is being worked on. */
  get settled(): boolean {
    return this.#opening === 0;
  }

  /** Throws what made taking partitions fail, once. */
  throwFailure(): void {
    const failure = this.#failure;
    this.#failure = null;
    if (failure !== null) throw failure as Error;
  }

  /** Accepts an offer. Goes on in the background, since polling must not stop meanwhile. */
  take(partitions: readonly TopicPartition[]): void {
    this.#opening += 1;
    this.#open(partitions)
      .catch((error: unknown) => {
        if (!this.#closed) this.#failure = error;
      })
      .finally(() => {
        this.#opening -= 1;
      });
  }

  /** The owned tasks of lead partitions. */
  tasksOf(partitions: readonly TopicPartition[]): Task[] {
    return partitions
      .map(({ topic, partition }) => this.#options.tasks.get(`${this.#subtopologyOf(topic).id}_${partition}`))
      .filter((task) => task !== undefined);
  }

  /** Lead partitions with their siblings. */
  siblings(partitions: readonly TopicPartition[]): TopicPartition[] {
    return partitions.flatMap(({ topic, partition }) =>
      this.#subtopologyOf(topic).sources.map((source) => ({ topic: source.topic, partition })),
    );
  }

  dropRestore(task: Task): void {
    this.#options.restorer.drop(task);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#options.restorer.close();
  }

  async #open(offered: readonly TopicPartition[]): Promise<void> {
    const { consumer, tasks, topology, collector, applicationId, clock, metrics } = this.#options;
    const partitions = this.siblings(offered);
    // Stable offsets first; only then may a changelog's end be read (StoreRestorer does).
    const starts = await this.#startingPoints(partitions);
    if (this.#closed) return;
    const opened = offered.map(({ topic, partition }) => {
      const subtopology = this.#subtopologyOf(topic);
      const task = new Task({
        topology,
        subtopology,
        partition,
        applicationId,
        collector: {
          get batch() {
            return collector.get();
          },
        },
        clock,
        metrics,
        stateDir: this.#options.stateDir,
        globals: this.#options.globals,
        ...(this.#options.maxTaskIdleMs === undefined ? {} : { maxTaskIdleMs: this.#options.maxTaskIdleMs }),
      });
      const own = starts.filter(
        (one) => one.partition === partition && subtopology.sources.some((s) => s.topic === one.topic),
      );
      const positions = new Map(own.map((one) => [one.topic, one.offset]));
      task.startAt(positions, Math.max(-1, ...own.map((one) => one.streamTime)));
      tasks.add(task, positions);
      return task;
    });
    consumer.incrementalAssign(starts);
    const restoring = opened.filter((task) =>
      task.subtopology.stores.some((store) => store.changelog !== 'none'),
    );
    if (restoring.length > 0) consumer.pause(restoring.flatMap((task) => tasks.partitionsOf(task)));
    for (const task of opened) if (!restoring.includes(task)) tasks.markRunning(task);
    await Promise.all(
      restoring.map(async (task) => {
        try {
          await this.#options.restorer.restore(task);
        } catch (error) {
          if (tasks.has(task)) throw error;
          return;
        }
        if (!tasks.has(task)) return;
        consumer.resume(tasks.partitionsOf(task));
        tasks.markRunning(task);
      }),
    );
  }

  /** Committed offsets with the stream time in their metadata, else where the source's reset policy says. */
  async #startingPoints(
    partitions: readonly TopicPartition[],
  ): Promise<(TopicPartition & { offset: number; streamTime: number })[]> {
    if (partitions.length === 0) return [];
    const { consumer } = this.#options;
    const committed = await consumer.committed(partitions, COMMITTED_TIMEOUT_MS);
    const marks = await consumer.watermarks(partitions, 'read_committed', WATERMARKS_TIMEOUT_MS);
    return partitions.map((one, i) => {
      const { offset, metadata } = committed[i]!;
      const { low, high } = marks[i]!;
      if (offset >= low) return { ...one, offset, streamTime: decodeStreamTime(metadata) };
      if (offset >= 0) {
        this.#options.logger.error(
          { ...one, committed: offset, first: low },
          'records before the first one left were deleted unread; going on from the first',
        );
        return { ...one, offset: low, streamTime: decodeStreamTime(metadata) };
      }
      const source = this.#subtopologyOf(one.topic).sources.find((s) => s.topic === one.topic)!;
      return { ...one, offset: source.offsetReset === 'earliest' ? low : high, streamTime: -1 };
    });
  }

  #subtopologyOf(topic: string): Topology['subtopologies'][number] {
    return this.#options.topology.subtopologies.find((part) =>
      part.sources.some((source) => source.topic === topic),
    )!;
  }
}
