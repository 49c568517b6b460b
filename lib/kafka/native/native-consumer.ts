/** The packed-batch consumer: the contract of client.ts over the addon. */
import type {
  ClientConfig,
  Consumer,
  ConsumerEvent,
  GroupMetadata,
  TopicPartition,
  TopicPartitionOffset,
  Watermarks,
} from '../client.ts';
import { configurationPairs, consumerBaseline } from '../defaults.ts';
import { closedError, metadataColumn, partitionColumns } from '../partition-columns.ts';
import type { RecordBatch } from '../record-batch.ts';
import { untilAnswered } from '../until-answered.ts';
import { WakeUp } from '../wake-up.ts';
import { type Addon, type BoundBatch, type ConsumerHandle, loadAddon } from './addon.ts';

interface Binding {
  readonly slab: Buffer;
  readonly status: Float64Array;
  readonly bound: BoundBatch;
}

export class NativeConsumer implements Consumer {
  readonly handle: ConsumerHandle;
  readonly #addon: Addon;
  readonly #wakeUp = new WakeUp();
  readonly #bindings = new WeakMap<RecordBatch, Binding>();
  readonly #topicNames: string[] = [];
  #subscribed = false;
  #closing: Promise<void> | undefined;

  constructor(config: ClientConfig) {
    this.#addon = loadAddon();
    const wakeUp = this.#wakeUp;
    this.handle = this.#addon.createConsumer(configurationPairs({ ...consumerBaseline, ...config }), () =>
      wakeUp.wake(),
    );
  }

  /** Whether it consumes as a member of a group: then its offsets are fenced by its generation. */
  get subscribed(): boolean {
    return this.#subscribed;
  }

  subscribe(topics: readonly string[]): void {
    const zeros = topics.length;
    this.#addon.subscribe(this.handle, topics, new Int32Array(zeros).fill(-1), new Float64Array(zeros));
    this.#subscribed = true;
  }

  poll(into: RecordBatch): number {
    into.count = 0;
    into.bytes = 0;
    let binding = this.#bind(into);
    let count = this.#addon.poll(this.handle, binding.bound);
    if (count < 0) {
      into.data = Buffer.allocUnsafeSlow(slabFor(binding.status[1]!));
      binding = this.#bind(into);
      count = this.#addon.poll(this.handle, binding.bound);
    }
    into.count = count;
    into.bytes = binding.status[0]!;
    return count;
  }

  #bind(batch: RecordBatch): Binding {
    const known = this.#bindings.get(batch);
    if (known?.slab === batch.data) return known;
    const status = new Float64Array(2);
    const bound = this.#addon.bindBatch(
      batch.data,
      status,
      batch.topic,
      batch.partition,
      batch.offset,
      batch.timestamp,
      batch.leaderEpoch,
      batch.keyStart,
      batch.keyLength,
      batch.valueStart,
      batch.valueLength,
      batch.headersStart,
      batch.headersLength,
      batch.headersCount,
    );
    const binding = { slab: batch.data, status, bound };
    this.#bindings.set(batch, binding);
    return binding;
  }

  wait(timeoutMs: number): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closedError('wait'));
    // Even when there is something at once the event loop gets its turn, or a busy topic would starve it.
    if (this.#addon.ready(this.handle)) return new Promise((resolve) => setImmediate(resolve));
    return this.#wakeUp.wait(timeoutMs);
  }

  takeEvents(): readonly ConsumerEvent[] {
    return this.#closing === undefined ? this.#addon.consumerEvents(this.handle) : [];
  }

  topicName(index: number): string {
    return (this.#topicNames[index] ??= this.#addon.topicName(this.handle, index));
  }

  incrementalAssign(partitions: readonly TopicPartitionOffset[]): void {
    this.#addon.incrementalAssign(this.handle, ...partitionColumns('incrementalAssign', partitions));
  }

  incrementalUnassign(partitions: readonly TopicPartition[]): void {
    this.#addon.incrementalUnassign(this.handle, ...partitionColumns('incrementalUnassign', partitions));
  }

  assign(partitions: readonly TopicPartitionOffset[]): void {
    this.#addon.assign(this.handle, ...partitionColumns('assign', partitions));
  }

  assignment(): TopicPartition[] {
    return this.#addon.assignment(this.handle).map(({ topic, partition }) => ({ topic, partition }));
  }

  pause(partitions: readonly TopicPartition[]): void {
    this.#addon.pause(this.handle, ...partitionColumns('pause', partitions));
  }

  resume(partitions: readonly TopicPartition[]): void {
    this.#addon.resume(this.handle, ...partitionColumns('resume', partitions));
    this.#wakeUp.wake();
  }

  async seek(partitions: readonly TopicPartitionOffset[], timeoutMs: number): Promise<void> {
    if (partitions.length === 0) return;
    await this.#addon.seek(this.handle, ...partitionColumns('seek', partitions), [], timeoutMs);
  }

  async committed(partitions: readonly TopicPartition[], timeoutMs: number): Promise<TopicPartitionOffset[]> {
    if (partitions.length === 0) return [];
    const columns = partitionColumns('committed', partitions);
    return untilAnswered(timeoutMs, (leftMs) => this.#addon.committed(this.handle, ...columns, [], leftMs));
  }

  async commit(offsets: readonly TopicPartitionOffset[]): Promise<void> {
    if (offsets.length === 0) return;
    await this.#addon.commit(this.handle, ...partitionColumns('commit', offsets), metadataColumn(offsets));
  }

  async watermarks(
    partitions: readonly TopicPartition[],
    isolation: 'read_committed' | 'read_uncommitted',
    timeoutMs: number,
  ): Promise<Watermarks[]> {
    if (partitions.length === 0) return [];
    const columns = partitionColumns('watermarks', partitions);
    const committed = isolation === 'read_committed' ? 1 : 0;
    return untilAnswered(timeoutMs, (leftMs) =>
      this.#addon.watermarks(this.handle, ...columns, [], leftMs, committed),
    );
  }

  async offsetsForTimes(
    partitions: readonly (TopicPartition & { readonly timestampMs: number })[],
    timeoutMs: number,
  ): Promise<TopicPartitionOffset[]> {
    if (partitions.length === 0) return [];
    const times = partitions.map(({ topic, partition, timestampMs }) => ({
      topic,
      partition,
      offset: timestampMs,
    }));
    const columns = partitionColumns('offsetsForTimes', times);
    return untilAnswered(timeoutMs, (leftMs) =>
      this.#addon.offsetsForTimes(this.handle, ...columns, [], leftMs),
    );
  }

  async partitionCounts(topics: readonly string[], timeoutMs: number): Promise<Map<string, number>> {
    const counts = new Map<string, number>();
    if (topics.length === 0) return counts;
    const names = [...new Set(topics)];
    const found = await this.#addon.partitionCounts(this.handle, names, timeoutMs);
    names.forEach((name, i) => {
      if (found[i]! >= 0) counts.set(name, found[i]!);
    });
    return counts;
  }

  groupMetadata(): GroupMetadata {
    return this.#addon.groupMetadata(this.handle);
  }

  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#addon.closeConsumer(this.handle);
      this.#wakeUp.wake();
    }
    return this.#closing;
  }
}

/** A slab for a record of this size: the next power of two, so that slightly larger ones don't grow it again. */
function slabFor(bytes: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(bytes, 1)));
}
