/**
 * The consumer contract over node-rdkafka's per-message calls.
 *
 * node-rdkafka fetches asynchronously on a worker, so `poll` takes from a local queue and starts the next fetch.
 * What a running fetch brings of a partition that was given up meanwhile is dropped, and a partition that was
 * taken again meanwhile is assigned once more when the fetch has ended: nothing stale is ever delivered.
 *
 * What node-rdkafka cannot do is refused with `_UNSUPPORTED_FEATURE`: offset metadata, group metadata, and
 * watermarks of another isolation level than the configured one. It tells no lost partitions from revoked ones
 * (they come as `revoked`), no leader epochs (-1), and no null header values (they come as empty). `commit`
 * blocks the event loop for one round trip. Without group metadata it cannot check a membership itself: an
 * expelled member's offsets are stopped by the broker's check alone. Use the native client for exactly-once.
 */
import type {
  ClientConfig,
  Consumer,
  ConsumerEvent,
  GroupMetadata,
  TopicPartition,
  TopicPartitionOffset,
  Watermarks,
} from '../client.ts';
import { OFFSET_INVALID } from '../client.ts';
import { consumerBaseline } from '../defaults.ts';
import { closedError, invalid, partitionColumns } from '../partition-columns.ts';
import type { RecordBatch } from '../record-batch.ts';
import { WakeUp } from '../wake-up.ts';
import { appendMessage, type RdMessage } from './batch-writer.ts';
import { Connection, type RdClient } from './connection.ts';
import {
  ASSIGN_PARTITIONS,
  called,
  loadRdkafka,
  rdkafkaError,
  splitConfiguration,
  STATE,
  UNSTABLE_OFFSET_COMMIT,
  unsupported,
} from './rdkafka-module.ts';

/** node-rdkafka's consumer, with the parts that its own types leave out. */
interface RdConsumer extends RdClient {
  setDefaultConsumeTimeout(timeoutMs: number): void;
  subscribe(topics: readonly string[]): void;
  consume(count: number, done: (error: unknown) => void): void;
  assign(partitions: readonly TopicPartition[]): void;
  unassign(): void;
  incrementalAssign(partitions: readonly TopicPartition[]): void;
  incrementalUnassign(partitions: readonly TopicPartition[]): void;
  rebalanceProtocol(): string;
  assignments(): TopicPartition[];
  pause(partitions: readonly TopicPartition[]): void;
  resume(partitions: readonly TopicPartition[]): void;
  seek(position: TopicPartitionOffset, timeoutMs: number, done: (error: unknown) => void): void;
  committed(
    partitions: readonly TopicPartition[],
    timeoutMs: number,
    done: (error: unknown, offsets?: MaybeOffset[]) => void,
  ): void;
  commitSync(offsets: readonly TopicPartitionOffset[]): void;
  queryWatermarkOffsets(
    topic: string,
    partition: number,
    timeoutMs: number,
    done: (error: unknown, offsets?: { lowOffset: number; highOffset: number }) => void,
  ): void;
  offsetsForTimes(
    times: readonly TopicPartitionOffset[],
    timeoutMs: number,
    done: (error: unknown, offsets?: MaybeOffset[]) => void,
  ): void;
}

type MaybeOffset = TopicPartition & { readonly offset?: number };

type Item =
  | { readonly at: string; readonly message: RdMessage }
  | { readonly at: string; readonly end: TopicPartitionOffset };

/** Records per fetch, and how long a fetch waits for its next one. */
const FETCH_RECORDS = 2000;
const FETCH_WAIT_MS = 20;
const SEEK_RETRY_MS = 5;

const keyOf = ({ topic, partition }: TopicPartition): string => `${topic}/${partition}`;

export class NodeRdkafkaConsumer implements Consumer {
  readonly kafka: RdConsumer;
  readonly #connection: Connection;
  readonly #wakeUp = new WakeUp();
  readonly #isolation: string;
  readonly #topicIndex = new Map<string, number>();
  readonly #topicNames: string[] = [];
  readonly #paused = new Set<string>();
  #queue: Item[] = [];
  /** Calls made before the client exists, in order. */
  #early: (() => void)[] = [];
  #connected = false;
  #fetching: Promise<void> | undefined;
  /** Given up while a fetch was running: what it brings of them is stale. */
  readonly #stale = new Set<string>();
  /** Assignments that were made while a fetch was running, and are made again after it. */
  #again: (() => void)[] = [];
  #seeks = 0;
  #subscribed = false;
  #unanswered: { readonly assign: boolean; readonly partitions: readonly TopicPartition[] } | undefined;
  #closing: Promise<void> | undefined;

  constructor(config: ClientConfig) {
    const merged = { ...consumerBaseline, ...config };
    if (merged['group.id'] === undefined) throw invalid('createConsumer', 'group.id is required');
    this.#isolation = String(merged['isolation.level']);
    const { KafkaConsumer } = loadRdkafka();
    const rebalance = (error: { code: number }, partitions: TopicPartition[]): void =>
      this.#onRebalance(error.code === ASSIGN_PARTITIONS, partitions);
    try {
      const { global, topic } = splitConfiguration(merged);
      this.kafka = new KafkaConsumer(
        { ...global, event_cb: true, rebalance_cb: rebalance },
        topic,
      ) as unknown as RdConsumer;
    } catch (error) {
      throw invalid('createConsumer', (error as Error).message);
    }
    this.kafka.setDefaultConsumeTimeout(FETCH_WAIT_MS);
    // A fetch emits what it has brought, ends in their places, and then calls back.
    this.kafka.on('data', (message: RdMessage) => this.#put({ at: keyOf(message), message }));
    this.kafka.on('partition.eof', (end: TopicPartitionOffset) => this.#put({ at: keyOf(end), end }));
    this.#connection = new Connection(this.kafka, () => this.#wakeUp.wake());
    void this.#connection.ready.then(() => {
      this.#connected = true;
      for (const call of this.#early) this.#guarded(call);
      this.#early = [];
      this.#wakeUp.wake();
    });
  }

  /** Whether its offsets may be sent: a subscriber must have joined. */
  get mayCommit(): boolean {
    return !this.#subscribed || this.#joined;
  }
  #joined = false;

  #guarded(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#connection.push({ type: 'error', error: rdkafkaError('assign', error) });
    }
  }

  #do(operation: string, call: () => void): void {
    if (this.#closing !== undefined) throw closedError(operation);
    if (!this.#connected) {
      this.#early.push(call);
      return;
    }
    try {
      call();
    } catch (error) {
      throw rdkafkaError(operation, error);
    }
  }

  #onRebalance(assign: boolean, partitions: readonly TopicPartition[]): void {
    if (this.#closing !== undefined) {
      this.#answer(assign, partitions);
      return;
    }
    if (assign) this.#joined = true;
    this.#unanswered = { assign, partitions };
    this.#connection.push({ type: assign ? 'assigned' : 'revoked', partitions });
  }

  /** While closing nobody answers but we do. */
  #answer(assign: boolean, partitions: readonly TopicPartition[]): void {
    try {
      if (this.kafka.rebalanceProtocol() !== 'COOPERATIVE') this.kafka.unassign();
      else if (assign) this.kafka.incrementalAssign([]);
      else {
        const held = new Set(this.kafka.assignments().map(keyOf));
        this.kafka.incrementalUnassign(partitions.filter((partition) => held.has(keyOf(partition))));
      }
    } catch {
      // It is going away; librdkafka leaves the group whatever the state of the assignment.
    }
  }

  subscribe(topics: readonly string[]): void {
    this.#do('subscribe', () => this.kafka.subscribe(topics));
    this.#subscribed = true;
  }

  poll(into: RecordBatch): number {
    if (this.#closing !== undefined) throw closedError('poll');
    into.count = 0;
    into.bytes = 0;
    const left: Item[] = [];
    let full = false;
    for (const item of this.#queue) {
      if (full || this.#paused.has(item.at)) left.push(item);
      else if ('end' in item) {
        const { topic, partition, offset } = item.end;
        this.#connection.push({ type: 'end', topic, partition, offset });
      } else if (!appendMessage(into, item.message, this.#indexOf(item.message.topic))) {
        left.push(item);
        full = true;
      }
    }
    this.#queue = left;
    this.#fetch();
    return into.count;
  }

  #indexOf(topic: string): number {
    let index = this.#topicIndex.get(topic);
    if (index === undefined) {
      index = this.#topicNames.push(topic) - 1;
      this.#topicIndex.set(topic, index);
    }
    return index;
  }

  /** Starts a fetch when none runs and there is room for what it brings. */
  #fetch(): void {
    if (!this.#connected || this.#fetching !== undefined || this.#seeks > 0 || this.#closing !== undefined)
      return;
    if (this.#queue.length >= FETCH_RECORDS) return;
    this.#fetching = new Promise((resolve) => {
      this.kafka.consume(FETCH_RECORDS, (error) => {
        this.#fetching = undefined;
        if (error !== null && error !== undefined) {
          this.#connection.push({ type: 'error', error: rdkafkaError('poll', error) });
        }
        this.#stale.clear();
        for (const assign of this.#again.splice(0)) this.#guarded(assign);
        resolve();
        this.#wakeUp.wake();
      });
    });
  }

  #put(item: Item): void {
    if (!this.#stale.has(item.at)) this.#queue.push(item);
  }

  get #somethingQueued(): boolean {
    return (
      this.#closing !== undefined ||
      this.#connection.waiting ||
      this.#queue.some(({ at }) => !this.#paused.has(at))
    );
  }

  async wait(timeoutMs: number): Promise<void> {
    if (this.#closing !== undefined) throw closedError('wait');
    const deadline = performance.now() + timeoutMs;
    await new Promise((resolve) => setImmediate(resolve));
    while (!this.#somethingQueued) {
      const left = deadline - performance.now();
      if (left <= 0) return;
      this.#fetch();
      await this.#wakeUp.wait(left);
    }
  }

  takeEvents(): readonly ConsumerEvent[] {
    return this.#closing === undefined ? this.#connection.take() : [];
  }

  topicName(index: number): string {
    const name = this.#topicNames[index];
    if (name === undefined) throw invalid('topicName', 'no topic has this index');
    return name;
  }

  #forget(partitions: readonly TopicPartition[]): void {
    const keys = new Set(partitions.map(keyOf));
    this.#queue = this.#queue.filter(({ at }) => !keys.has(at));
    for (const key of keys) {
      this.#paused.delete(key);
      if (this.#fetching !== undefined) this.#stale.add(key);
    }
  }

  incrementalAssign(partitions: readonly TopicPartitionOffset[]): void {
    partitionColumns('incrementalAssign', partitions);
    this.#do('incrementalAssign', () => {
      this.kafka.incrementalAssign(partitions);
      this.#unanswered = undefined;
      const doubtful = partitions.filter((partition) => this.#stale.has(keyOf(partition)));
      if (doubtful.length > 0) {
        this.#again.push(() => {
          this.kafka.incrementalUnassign(doubtful);
          this.kafka.incrementalAssign(doubtful);
        });
      }
    });
  }

  incrementalUnassign(partitions: readonly TopicPartition[]): void {
    partitionColumns('incrementalUnassign', partitions);
    this.#do('incrementalUnassign', () => {
      this.kafka.incrementalUnassign(partitions);
      this.#unanswered = undefined;
      this.#forget(partitions);
      this.#again = [];
    });
  }

  assign(partitions: readonly TopicPartitionOffset[]): void {
    partitionColumns('assign', partitions);
    this.#do('assign', () => {
      const before = this.kafka.assignments();
      const replace = (): void => {
        if (partitions.length === 0) this.kafka.unassign();
        else this.kafka.assign(partitions);
      };
      replace();
      this.#unanswered = undefined;
      this.#forget(before);
      this.#again = partitions.some((partition) => this.#stale.has(keyOf(partition))) ? [replace] : [];
    });
  }

  assignment(): TopicPartition[] {
    if (this.#closing !== undefined) throw closedError('assignment');
    if (!this.#connected) return [];
    return this.kafka.assignments().map(({ topic, partition }) => ({ topic, partition }));
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#do('pause', () => {
      this.kafka.pause(partitions);
      for (const partition of partitions) this.#paused.add(keyOf(partition));
    });
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#do('resume', () => {
      this.kafka.resume(partitions);
      for (const partition of partitions) this.#paused.delete(keyOf(partition));
    });
    this.#wakeUp.wake();
  }

  async seek(partitions: readonly TopicPartitionOffset[], timeoutMs: number): Promise<void> {
    partitionColumns('seek', partitions);
    await this.#ready('seek');
    const deadline = performance.now() + timeoutMs;
    this.#seeks += 1;
    try {
      await this.#fetching;
      for (const partition of partitions) await this.#seekOne(partition, deadline);
      const paused = new Set(this.#paused);
      this.#forget(partitions);
      for (const key of paused) this.#paused.add(key);
    } finally {
      this.#seeks -= 1;
      this.#wakeUp.wake();
    }
  }

  /** A partition that was assigned a moment ago may not fetch yet, and then refuses to seek: try again. */
  async #seekOne(position: TopicPartitionOffset, deadline: number): Promise<void> {
    const key = keyOf(position);
    for (;;) {
      if (!this.assignment().some((partition) => keyOf(partition) === key)) {
        throw invalid('seek', `${position.topic} [${position.partition}] is not assigned`);
      }
      const left = Math.max(1, Math.ceil(deadline - performance.now()));
      try {
        await called('seek', (done) => this.kafka.seek(position, left, done));
        return;
      } catch (error) {
        if (rdkafkaError('seek', error).code !== STATE || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, SEEK_RETRY_MS));
      }
    }
  }

  async #ready(operation: string): Promise<void> {
    if (this.#closing !== undefined) throw closedError(operation);
    await this.#connection.ready;
  }

  async committed(partitions: readonly TopicPartition[], timeoutMs: number): Promise<TopicPartitionOffset[]> {
    await this.#ready('committed');
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const left = Math.max(1, Math.ceil(deadline - performance.now()));
      try {
        const found = await called<MaybeOffset[]>('committed', (done) =>
          this.kafka.committed(partitions, left, done),
        );
        return found.map(({ topic, partition, offset = OFFSET_INVALID }) => ({ topic, partition, offset }));
      } catch (error) {
        const unstable = rdkafkaError('committed', error).code === UNSTABLE_OFFSET_COMMIT;
        if (!unstable || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, SEEK_RETRY_MS));
      }
    }
  }

  async commit(offsets: readonly TopicPartitionOffset[]): Promise<void> {
    partitionColumns('commit', offsets);
    if (offsets.some(({ metadata }) => metadata !== undefined))
      throw unsupported('commit', 'offset metadata');
    await this.#ready('commit');
    if (offsets.length === 0) return;
    this.#do('commit', () => this.kafka.commitSync(offsets));
  }

  async watermarks(
    partitions: readonly TopicPartition[],
    isolation: 'read_committed' | 'read_uncommitted',
    timeoutMs: number,
  ): Promise<Watermarks[]> {
    if (isolation !== this.#isolation) throw unsupported('watermarks', `${isolation} log end here`);
    await this.#ready('watermarks');
    return Promise.all(
      partitions.map(async ({ topic, partition }) => {
        const found = await called<{ lowOffset: number; highOffset: number }>('watermarks', (done) =>
          this.kafka.queryWatermarkOffsets(topic, partition, timeoutMs, done),
        );
        return { topic, partition, low: found.lowOffset, high: found.highOffset };
      }),
    );
  }

  async offsetsForTimes(
    partitions: readonly (TopicPartition & { readonly timestampMs: number })[],
    timeoutMs: number,
  ): Promise<TopicPartitionOffset[]> {
    await this.#ready('offsetsForTimes');
    const times = partitions.map(({ topic, partition, timestampMs }) => ({
      topic,
      partition,
      offset: timestampMs,
    }));
    const found = await called<MaybeOffset[]>('offsetsForTimes', (done) =>
      this.kafka.offsetsForTimes(times, timeoutMs, done),
    );
    return found.map(({ topic, partition, offset = OFFSET_INVALID }) => ({ topic, partition, offset }));
  }

  async partitionCounts(topics: readonly string[], timeoutMs: number): Promise<Map<string, number>> {
    if (this.#closing !== undefined) throw closedError('partitionCounts');
    const all = await this.#connection.partitionCounts('partitionCounts', timeoutMs);
    const wanted = new Set(topics);
    return new Map([...all].filter(([name]) => wanted.has(name)));
  }

  groupMetadata(): GroupMetadata {
    throw unsupported('groupMetadata', 'group metadata');
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await Promise.resolve(); // calls from here on see that it is closing
    this.#wakeUp.wake();
    await this.#fetching;
    if (this.#connected && this.#unanswered !== undefined) {
      this.#answer(this.#unanswered.assign, this.#unanswered.partitions);
    }
    await this.#connection.disconnect();
    this.#queue = [];
  }
}
