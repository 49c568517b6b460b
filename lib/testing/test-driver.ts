/**
 * Runs any topology without a broker, with the runtime's own task code and a clock that is moved by hand.
 *
 * Records are piped into topics and are processed at once; outputs, changelogs and offsets are committed together,
 * after every record or when `commit` is called. `crash` kills every task after a named step of a commit and starts
 * new ones from what had been committed, as a restarted instance would.
 */
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { COMMIT_STEPS, type CommitStep } from '../runtime/transaction.ts';
import { StreamsMetrics } from '../runtime/streams-metrics.ts';
import { Task } from '../runtime/task.ts';
import { Bytes, SerdeError, type Placement, type Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { changelogTopic, type Collector, type Topology } from '../topology/graph.ts';
import { packedBatch } from './packing.ts';
import { recordOf, TopicLog, type LoggedRecord } from './topic-log.ts';

export interface TestDriverOptions {
  /** Default `test`. */
  readonly applicationId?: string;
  /** Partitions of every topic. Default 1. */
  readonly partitions?: number;
  /** Wall time at the start, epoch milliseconds. Default 0. */
  readonly now?: number;
  /** Whether every piped record is committed at once. Default true. */
  readonly autoCommit?: boolean;
  /** Where disk stores keep their files; needed only by a topology that has such stores. */
  readonly stateDir?: string;
}

export interface TestRecord<K, V> {
  readonly key: K | null;
  readonly value: V | null;
  readonly partition: number;
  readonly offset: number;
  /** Kafka timestamp. */
  readonly timestamp: number;
  readonly headers: readonly (readonly [name: string, value: string | null])[];
}

export interface TestInput<K, V> {
  /** Writes a record and processes it; returns its offset. */
  pipe(record: {
    readonly key?: K | null;
    readonly value: V | null;
    /** Kafka timestamp; default the driver's wall time. */
    readonly timestamp?: number;
    /** Default: by key, like a producer. */
    readonly partition?: number;
    readonly headers?: Iterable<readonly [name: string, value: string | null]>;
  }): number;
}

export interface TestOutput<K, V> {
  /** Committed records not read yet, by partition and offset; reading takes them. */
  read(): TestRecord<K, V>[];
}

export class TestDriver {
  readonly metrics = new StreamsMetrics();
  readonly topology: Topology;
  readonly #applicationId: string;
  readonly #partitions: number;
  readonly #autoCommit: boolean;
  readonly #stateDir: string | undefined;
  readonly #topics = new Map<string, TopicLog>();
  /** Committed next offsets and stream time, by task. */
  readonly #committed = new Map<string, { positions: Map<string, number>; streamTime: number }>();
  readonly #collector: Collector = { batch: new OutgoingBatch() };
  /** The stores of global tables, by store name. They outlive crashes: their topics are all there is to them. */
  readonly #globals = new Map<string, StateStore>();
  #now: number;
  #tasks = new Map<string, Task>();

  constructor(topology: Topology, options: TestDriverOptions = {}) {
    this.#applicationId = options.applicationId ?? 'test';
    this.topology = topology.bind(this.#applicationId);
    this.#partitions = options.partitions ?? 1;
    this.#autoCommit = options.autoCommit ?? true;
    this.#stateDir = options.stateDir;
    this.#now = options.now ?? 0;
    for (const { store } of this.topology.globals) {
      const environment = {
        applicationId: this.#applicationId,
        partition: 0,
        now: () => this.#now,
        source: () => null,
        directory: () => {
          throw new Error(`global table "${store.name}" is kept in memory here`);
        },
      };
      this.#globals.set(store.name, store.create(environment));
    }
    this.#start();
  }

  /** A topic to pipe into. */
  input<V>(topic: string, serdes: { readonly key?: never; readonly value: Serde<V> }): TestInput<never, V>;
  input<K, V>(topic: string, serdes: { readonly key: Serde<K>; readonly value: Serde<V> }): TestInput<K, V>;
  input<K, V>(topic: string, serdes: { readonly key?: Serde<K>; readonly value: Serde<V> }): TestInput<K, V> {
    const log = this.#topic(topic);
    return {
      pipe: (record) => {
        const key = record.key === undefined || record.key === null ? null : bytesOf(serdes.key!, record.key);
        const logged = log.append({
          partition: log.choose(key, record.partition),
          timestamp: record.timestamp ?? this.#now,
          key,
          value: record.value === null ? null : bytesOf(serdes.value, record.value),
          headers: [...(record.headers ?? [])].map(([name, value]) => [
            name,
            value === null ? null : Buffer.from(value),
          ]),
        });
        this.#process(topic, logged);
        if (this.#autoCommit) this.commit();
        return logged.offset;
      },
    };
  }

  /** A topic to read from. */
  output<K, V>(
    topic: string,
    serdes: { readonly key?: Serde<K>; readonly value: Serde<V> },
  ): TestOutput<K, V> {
    const log = this.#topic(topic);
    const next = log.partitions.map(() => 0);
    return {
      read: () =>
        log.partitions.flatMap((records, partition) => {
          const unread = records.slice(next[partition]);
          next[partition] = records.length;
          return unread.map((record) => ({
            key: record.key === null || serdes.key === undefined ? null : valueOf(serdes.key, record.key),
            value: record.value === null ? null : valueOf(serdes.value, record.value),
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            headers: record.headers.map(([name, value]) => [name, value?.toString('utf8') ?? null] as const),
          }));
        }),
    };
  }

  /** A task's store, uncommitted writes included; of a global table, the one that all tasks share. */
  store<S extends StateStore>(spec: StoreSpec<S>, partition = 0): S {
    const global = this.#globals.get(spec.name);
    if (global !== undefined) return global as S;
    for (const task of this.#tasks.values()) {
      const at = task.subtopology.stores.indexOf(spec);
      if (at >= 0 && task.partition === partition) return task.stores[at] as S;
    }
    throw new Error(`no store "${spec.name}" on partition ${partition} in this topology`);
  }

  get wallTime(): number {
    return this.#now;
  }

  /** Moves wall time on and fires what is due. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const task of this.#tasks.values()) task.punctuate();
    if (this.#autoCommit) this.commit();
  }

  /** Commits outputs, changelogs and offsets of everything processed so far. */
  commit(): void {
    this.#commit('begin');
  }

  /** Starts a commit, kills every task right after `step`, and starts new ones from the committed state. */
  crash(step: CommitStep): void {
    this.#commit(step);
    this.#collector.batch.reset();
    for (const task of this.#tasks.values()) task.close();
    this.#start();
    this.#catchUp();
  }

  /** Drops everything uncommitted and processes it again, as after a transaction that was aborted. */
  abort(): void {
    this.#collector.batch.reset();
    for (const task of this.#tasks.values()) task.abort(this.#committedPositions(task));
    this.#catchUp();
  }

  #start(): void {
    this.#tasks = new Map();
    for (const subtopology of this.topology.subtopologies) {
      for (let partition = 0; partition < this.#partitions; partition++) {
        const task = new Task({
          topology: this.topology,
          subtopology,
          partition,
          applicationId: this.#applicationId,
          collector: this.#collector,
          clock: { now: () => this.#now },
          metrics: this.metrics,
          globals: (name) => this.#globals.get(name)!,
          ...(this.#stateDir === undefined ? {} : { stateDir: this.#stateDir }),
        });
        task.startAt(this.#committedPositions(task), this.#committed.get(task.id)?.streamTime ?? -1);
        for (const [i, store] of subtopology.stores.entries()) {
          if (store.changelog === 'none') continue;
          const topic = changelogTopic(this.#applicationId, store.name);
          const changelog = this.#topic(topic).partitions[partition]!;
          for (const record of changelog.slice(task.stores[i]!.checkpoint ?? 0))
            task.stores[i]!.restore(packedBatch(record, topic), 0);
          task.stores[i]!.flush(changelog.length);
        }
        this.#tasks.set(task.id, task);
      }
    }
  }

  #committedPositions(task: Task): Map<string, number> {
    return (
      this.#committed.get(task.id)?.positions ??
      new Map(task.subtopology.sources.map((source) => [source.topic, 0]))
    );
  }

  /** Processes what the logs hold beyond the tasks' positions. */
  #catchUp(): void {
    for (const task of this.#tasks.values()) {
      for (const { topic } of task.subtopology.sources) {
        const records = this.#topic(topic).partitions[task.partition]!;
        for (const record of records.slice(task.positions.get(topic))) this.#process(topic, record);
      }
    }
    if (this.#autoCommit) this.commit();
  }

  #process(topic: string, record: LoggedRecord): void {
    for (const global of this.topology.globals) {
      if (global.topic === topic)
        this.#globals.get(global.store.name)!.restore(packedBatch(record, topic), 0);
    }
    for (const task of this.#tasks.values()) {
      if (
        task.partition !== record.partition ||
        !task.subtopology.sources.some((source) => source.topic === topic)
      )
        continue;
      if (task.process(packedBatch(record, topic), 0, topic) === 'blocked') {
        throw new SerdeError(
          `record ${topic}/${record.partition}/${record.offset} waits for something: fetch it before piping`,
        );
      }
      task.punctuate();
    }
  }

  /** The steps of a commit up to and including `last`, as far as they leave something behind. */
  #commit(last: CommitStep): void {
    const reached = (step: CommitStep): boolean => COMMIT_STEPS.indexOf(step) <= COMMIT_STEPS.indexOf(last);
    const dirty = [...this.#tasks.values()].filter((task) => task.dirty);
    const batch = this.#collector.batch;
    for (const task of dirty) task.seal(batch);
    // Until the transaction commits, nothing of it can be seen: dying before leaves no trace.
    if (!reached('commit')) return;
    const written: [string, LoggedRecord][] = [];
    for (let i = 0; i < batch.count; i++) {
      const log = this.#topic(batch.topics[batch.topic[i]!]!);
      const record = recordOf(batch, i, this.#now);
      written.push([
        log.name,
        log.append({ ...record, partition: log.choose(record.key, record.partition) }),
      ]);
    }
    batch.reset();
    for (const task of dirty) {
      this.#committed.set(task.id, { positions: new Map(task.positions), streamTime: task.streamTime });
    }
    if (!reached('apply')) return;
    for (const task of dirty) {
      task.apply(
        (store) =>
          this.#topic(changelogTopic(this.#applicationId, store.name)).partitions[task.partition]!.length,
      );
    }
    this.metrics.commits += 1;
    const sources = new Set([
      ...this.topology.sourceTopics,
      ...this.topology.globals.map((global) => global.topic),
    ]);
    const internal = written.filter(([topic]) => sources.has(topic));
    for (const [topic, record] of internal) this.#process(topic, record);
    if (internal.length > 0 && this.#autoCommit) this.commit();
  }

  #topic(name: string): TopicLog {
    let log = this.#topics.get(name);
    if (log === undefined) this.#topics.set(name, (log = new TopicLog(name, this.#partitions)));
    return log;
  }
}

function bytesOf<T>(serde: Serde<T>, value: T): Buffer {
  const batch = new OutgoingBatch(1);
  const placement: Placement = { source: 0, start: 0, length: -1 };
  serde.serialize(value, batch, placement);
  return Buffer.from(
    batch.sources[placement.source]!.subarray(placement.start, placement.start + placement.length),
  );
}

function valueOf<T>(serde: Serde<T>, bytes: Buffer): T {
  return serde.deserialize(new Bytes(bytes));
}
