/**
 * A task: one subtopology on one partition. It owns its stores, its stream time, its punctuators and the positions
 * it has processed. The runtime and the TestDriver drive the same class.
 */
import { join } from 'node:path';
import type { RecordBatch } from '../kafka/record-batch.ts';
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { NotReady, SerdeError } from '../serde/serde.ts';
import type { ChangelogSink, StateStore, StoreEnvironment } from '../state/state-store.ts';
import {
  changelogTopic,
  type Collector,
  type SourceSpec,
  type Subtopology,
  type Topology,
} from '../topology/graph.ts';
import type { AnyRecord, Cell, Receiver, TaskEnvironment } from '../topology/graph.ts';
import { emptyRecord, FanOut } from '../topology/operators.ts';
import { SourceRecord } from '../topology/record.ts';
import type { Clock } from './clock.ts';
import { DeadLetters } from './dead-letters.ts';
import { InputQueues, type Head } from './input-queues.ts';
import { Punctuators } from './punctuators.ts';
import type { StreamsMetrics } from './streams-metrics.ts';

export interface TaskOptions {
  readonly topology: Topology;
  readonly subtopology: Subtopology;
  readonly partition: number;
  readonly applicationId: string;
  /** Where disk stores keep their files; needed only by a topology that has such stores. */
  readonly stateDir?: string;
  readonly collector: Collector;
  readonly clock: Clock;
  readonly metrics: StreamsMetrics;
  /** The store of a global table, by name. */
  readonly globals?: (name: string) => StateStore;
  /**
   * For a task with several inputs: how long (milliseconds) to wait for an input that is empty and known to be caught
   * up, before going on without it. 0 (default) does not wait beyond knowing; -1 does not wait at all (KIP-695).
   */
  readonly maxTaskIdleMs?: number;
}

/** What became of one record. */
export type Processed =
  /** It is done; the position has moved past it. */
  | 'done'
  /** Something must be fetched first; `task.waitingFor` resolves then, and the record is to be given again. */
  | 'blocked';

/** An error of user code or of a record's bytes, with the record's coordinates. */
export class ProcessingError extends Error {
  override readonly name = 'ProcessingError';
}

export class Task {
  readonly id: string;
  readonly partition: number;
  readonly subtopology: Subtopology;
  readonly stores: readonly StateStore[];
  readonly source = new SourceRecord();
  /** Why the last record was 'blocked'. */
  waitingFor: Promise<unknown> | null = null;
  /** Next offset to process, by source topic; absent before the first record. */
  readonly positions = new Map<string, number>();

  readonly #applicationId: string;
  readonly #collector: Collector;
  readonly #metrics: StreamsMetrics;
  readonly #clock: Clock;
  readonly #entries = new Map<string, { readonly source: SourceSpec; readonly next: Receiver }>();
  readonly #receivers: Receiver[] = [];
  readonly #punctuators: Punctuators;
  readonly #deadLetters: DeadLetters;
  readonly #record: AnyRecord = emptyRecord();
  /** Only for a task with several inputs: with one, records are processed where the poll has put them. */
  readonly #queues: InputQueues | null;
  readonly #cells = new Map<string, TransactionalCell>();
  #streamTime = -1;
  #committedStreamTime = -1;
  #sealedStreamTime = -1;
  #dirty = false;
  /** Whether `source` is the cause of what is being written. */
  #processing = false;

  constructor(options: TaskOptions) {
    const { subtopology, partition, topology, clock } = options;
    this.id = `${subtopology.id}_${partition}`;
    this.partition = partition;
    this.subtopology = subtopology;
    this.#applicationId = options.applicationId;
    this.#collector = options.collector;
    this.#metrics = options.metrics;
    this.#clock = clock;
    this.#punctuators = new Punctuators(() => this.#streamTime, clock);
    this.#deadLetters = new DeadLetters(options.collector, clock);
    const topics = subtopology.sources.map((source) => source.topic);
    this.#queues = topics.length > 1 ? new InputQueues(topics, options.maxTaskIdleMs ?? 0, clock) : null;
    const storeEnvironment: StoreEnvironment = {
      applicationId: options.applicationId,
      partition,
      now: () => clock.now(),
      source: () => (this.#processing ? this.source : null),
      directory: (store) => {
        if (options.stateDir === undefined)
          throw new Error(`store "${store}" is kept on disk, and no stateDir says where; set stateDir`);
        return join(options.stateDir, options.applicationId, this.id, store);
      },
    };
    this.stores = subtopology.stores.map((spec) => spec.create(storeEnvironment));
    const byName = new Map(this.stores.map((store) => [store.name, store]));
    const environment: TaskEnvironment = {
      source: this.source,
      collector: options.collector,
      task: { subtopology: subtopology.id, partition },
      store: (name) => byName.get(name)!,
      global: (name) => {
        if (options.globals === undefined) throw new Error(`no global tables here: "${name}"`);
        return options.globals(name);
      },
      cell: (name) => this.#cell(name),
      drop: (reason) => {
        this.#metrics.dropped[reason] = (this.#metrics.dropped[reason] ?? 0) + 1;
      },
      schedule: (intervalMs, type, callback) => this.#punctuators.schedule(intervalMs, type, callback),
      streamTime: () => this.#streamTime,
      wallTime: () => clock.now(),
    };
    const made = new Map<string, Receiver>();
    const nextOf = (name: string): Receiver => {
      const children = topology.childrenOf(name).map((child) => {
        let receiver = made.get(child.name);
        if (receiver === undefined) {
          receiver =
            child.kind === 'operator'
              ? child.instantiate(nextOf(child.name), environment)
              : child.kind === 'sink'
                ? child.instantiate(environment)
                : NOWHERE;
          made.set(child.name, receiver);
          this.#receivers.push(receiver);
        }
        return receiver;
      });
      return children.length === 1 ? children[0]! : children.length === 0 ? NOWHERE : new FanOut(children);
    };
    for (const source of subtopology.sources)
      this.#entries.set(source.topic, { source, next: nextOf(source.name) });
  }

  /** Whether records must be offered to its queues instead of processed one by one. */
  get buffersInputs(): boolean {
    return this.#queues !== null;
  }

  /** Buffers records of one poll, all of this partition of `topic`, in offset order. `run` processes them. */
  offer(batch: RecordBatch, indices: readonly number[], topic: string): void {
    this.#queues!.add(topic, batch, indices);
  }

  /** The reader has reached the log end of an input: what others wait for. */
  reachedEnd(topic: string, offset: number): void {
    this.#queues?.reachedEnd(topic, offset);
  }

  /** Records of an input that wait in memory. */
  buffered(topic: string): number {
    return this.#queues?.buffered(topic) ?? 0;
  }

  /** Processes what is buffered, lowest event time first, as far as no input must be waited for. */
  run(): Processed {
    const queues = this.#queues;
    if (queues === null) return 'done';
    try {
      for (let head = queues.choose(this.#timeOf); head !== null; head = queues.choose(this.#timeOf)) {
        if (this.process(head.batch, head.i, head.topic) === 'blocked') return 'blocked';
        queues.take(head);
      }
    } catch (error) {
      if (!(error instanceof NotReady)) throw error;
      this.waitingFor = error.ready;
      return 'blocked';
    }
    return 'done';
  }

  /** Forgets what is buffered: it is read again from the positions. */
  dropBuffered(): void {
    this.#queues?.clear();
  }

  /** Highest event time seen; -1 before the first record. */
  get streamTime(): number {
    return this.#streamTime;
  }

  /** Whether anything has been processed since the last seal. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Stream time as a committed offset's metadata carries it. */
  startAt(positions: ReadonlyMap<string, number>, streamTime: number): void {
    for (const [topic, offset] of positions) this.positions.set(topic, offset);
    this.#streamTime = this.#committedStreamTime = this.#sealedStreamTime = streamTime;
  }

  /** Runs record `i` of a batch through the operators. Throws ProcessingError, which ends the instance. */
  process(batch: RecordBatch, i: number, topic: string): Processed {
    const offset = batch.offset[i]!;
    const position = this.positions.get(topic);
    // A record below the position was processed before (a fetch that raced a seek): it must not count twice.
    if (position !== undefined && offset < position) return 'done';
    const { source, next } = this.#entries.get(topic)!;
    const cursor = this.source;
    cursor.moveTo(batch, i, topic);
    const record = this.#record;
    try {
      record.key = this.#read(source, 'key');
      record.value = this.#read(source, 'value');
      record.timestamp = source.timestamp(record.value, cursor);
    } catch (error) {
      if (error instanceof NotReady) {
        this.waitingFor = error.ready;
        return 'blocked';
      }
      this.#refuse(source, error);
      this.#done(topic, offset);
      return 'done';
    }
    record.headers = cursor.headers;
    if (record.timestamp > this.#streamTime) this.#streamTime = record.timestamp;
    this.#processing = true;
    try {
      next.receive(record);
    } catch (error) {
      if (error instanceof NotReady) {
        this.waitingFor = error.ready;
        return 'blocked';
      }
      throw new ProcessingError(`${this.#where()}: ${(error as Error).message}`, { cause: error });
    } finally {
      this.#processing = false;
    }
    this.#done(topic, offset);
    return 'done';
  }

  /** Runs due punctuators, stream time first. Returns whether any ran. */
  punctuate(): boolean {
    const ran = this.#punctuators.run();
    if (ran) this.#dirty = true;
    return ran;
  }

  /** Wall time at which the next wall-clock punctuator is due; Infinity when there is none. */
  nextWallClockPunctuation(): number {
    return this.#punctuators.nextWallClock();
  }

  /** Writes the stores' changes to `batch` and freezes what this commit covers. */
  seal(batch: OutgoingBatch): void {
    const wallTime = this.#clock.now();
    for (const [i, spec] of this.subtopology.stores.entries()) {
      const store = this.stores[i]!;
      store.seal(
        spec.changelog === 'none'
          ? null
          : changelogSink(batch, changelogTopic(this.#applicationId, spec.name), this.partition, wallTime),
      );
    }
    this.#sealedStreamTime = this.#streamTime;
    for (const cell of this.#cells.values()) cell.sealed = cell.value;
    this.#dirty = false;
  }

  /** The transaction has committed; `checkpoint` is the offset behind its last record in a store's changelog. */
  apply(checkpoint?: (store: StateStore) => number | undefined): void {
    this.#committedStreamTime = this.#sealedStreamTime;
    for (const cell of this.#cells.values()) cell.committed = cell.sealed;
    const now = this.#clock.now();
    for (const store of this.stores) {
      store.apply(checkpoint?.(store));
      store.expire?.(now);
    }
  }

  /** The transaction is gone: back to the last committed state. The caller sets the positions. */
  abort(positions: ReadonlyMap<string, number>): void {
    for (const store of this.stores) store.abort();
    for (const cell of this.#cells.values()) cell.value = cell.sealed = cell.committed;
    this.#streamTime = this.#sealedStreamTime = this.#committedStreamTime;
    this.#dirty = false;
    this.waitingFor = null;
    this.dropBuffered();
    for (const [topic, offset] of positions) this.positions.set(topic, offset);
  }

  close(): void {
    for (const receiver of this.#receivers) receiver.close?.();
    for (const store of this.stores) store.close();
  }

  /** Event time of a buffered record; one that cannot be read comes first, so that its policy is applied in place. */
  readonly #timeOf = ({ batch, i, topic }: Head): number => {
    const { source } = this.#entries.get(topic)!;
    this.source.moveTo(batch, i, topic);
    try {
      return source.timestamp(this.#read(source, 'value'), this.source);
    } catch (error) {
      if (error instanceof NotReady) throw error;
      return -Infinity;
    }
  };

  #cell(name: string): TransactionalCell {
    let cell = this.#cells.get(name);
    if (cell === undefined)
      this.#cells.set(name, (cell = { value: Number.NaN, sealed: Number.NaN, committed: Number.NaN }));
    return cell;
  }

  #done(topic: string, offset: number): void {
    this.positions.set(topic, offset + 1);
    this.#dirty = true;
    this.#metrics.recordsProcessed += 1;
  }

  #read(source: SourceSpec, part: 'key' | 'value'): unknown {
    const serde = source[part];
    if (serde === null) return null;
    const bytes = this.source[part];
    if (bytes.length >= 0) return serde.deserialize(bytes);
    if (serde.nullable === true) return null;
    throw new SerdeError(
      `the ${part} is null, and its serde takes no null; wrap it in nullable(…) if that is meant`,
    );
  }

  #refuse(source: SourceSpec, error: unknown): void {
    const policy = source.onDeserializationError;
    this.#metrics.deserializationErrors += 1;
    if (policy.kind === 'fail') {
      throw new ProcessingError(
        `${this.#where()} cannot be read: ${(error as Error).message}; ` +
          'to go on past such records choose onDeserializationError: skip or dead-letter',
        { cause: error },
      );
    }
    if (policy.kind === 'dead-letter') this.#deadLetters.write(policy.topic, this.source, error as Error);
    else this.#metrics.recordsSkipped += 1;
  }

  #where(): string {
    const { topic, partition, offset } = this.source;
    return `task ${this.id}, record ${topic}/${partition}/${offset}`;
  }
}

/** A cell with what a commit in flight and the last commit have seen of it. */
interface TransactionalCell extends Cell {
  sealed: number;
  committed: number;
}

const NOWHERE: Receiver = {
  receive() {
    // A stream that nobody reads.
  },
};

/** On a changelog record: `<topic>/<partition>/<offset>` of the consumed record that caused the change. */
const SOURCE_HEADER = 'source';

function changelogSink(
  batch: OutgoingBatch,
  topic: string,
  partition: number,
  timestamp: number,
): ChangelogSink {
  return {
    append(key, value, source = null) {
      batch.add({
        topic,
        partition,
        timestamp,
        key: key === null ? null : Buffer.from(key.buffer, key.byteOffset, key.length),
        value: value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.length),
        headers: source === null ? [] : [[SOURCE_HEADER, `${source.topic}/${partition}/${source.offset}`]],
      });
    },
  };
}
