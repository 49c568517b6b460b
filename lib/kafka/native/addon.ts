/** The compiled addon's functions as TypeScript sees them. Mechanics only: see client.h, consumer.c and producer.c. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { isMainThread } from 'node:worker_threads';
import type { GroupMetadata, ConsumerEvent, TopicPartitionOffset, Watermarks } from '../client.ts';
import { KafkaError } from '../kafka-error.ts';

/** Opaque objects of the addon. */
export interface ConsumerHandle {
  readonly consumer: unique symbol;
}
export interface ProducerHandle {
  readonly producer: unique symbol;
}
export interface BoundBatch {
  readonly batch: unique symbol;
}

type Partitions = readonly [topics: readonly string[], partitions: Int32Array, offsets: Float64Array];
type PartitionsWithMetadata = readonly [...Partitions, metadata: readonly (string | undefined)[]];

export interface Addon {
  readonly librdkafkaVersion: string;
  setErrorFactory(
    factory: (operation: string, code: number, codeName: string, reason: string, flags: number) => Error,
  ): void;
  processExiting(): void;

  createConsumer(configuration: readonly string[], onWake: () => void): ConsumerHandle;
  bindBatch(
    slab: Buffer,
    status: Float64Array,
    ...columns: readonly (Int32Array | Float64Array)[]
  ): BoundBatch;
  poll(consumer: ConsumerHandle, batch: BoundBatch): number;
  ready(consumer: ConsumerHandle): boolean;
  consumerEvents(consumer: ConsumerHandle): ConsumerEvent[];
  topicName(consumer: ConsumerHandle, index: number): string;
  subscribe(consumer: ConsumerHandle, ...partitions: Partitions): void;
  incrementalAssign(consumer: ConsumerHandle, ...partitions: Partitions): void;
  incrementalUnassign(consumer: ConsumerHandle, ...partitions: Partitions): void;
  assign(consumer: ConsumerHandle, ...partitions: Partitions): void;
  assignment(consumer: ConsumerHandle): TopicPartitionOffset[];
  pause(consumer: ConsumerHandle, ...partitions: Partitions): void;
  resume(consumer: ConsumerHandle, ...partitions: Partitions): void;
  seek(
    ...call: [consumer: ConsumerHandle, ...partitions: PartitionsWithMetadata, timeoutMs: number]
  ): Promise<void>;
  committed(
    ...call: [consumer: ConsumerHandle, ...partitions: PartitionsWithMetadata, timeoutMs: number]
  ): Promise<TopicPartitionOffset[]>;
  commit(consumer: ConsumerHandle, ...partitions: PartitionsWithMetadata): Promise<void>;
  watermarks(
    ...call: [
      consumer: ConsumerHandle,
      ...partitions: PartitionsWithMetadata,
      timeoutMs: number,
      readCommitted: 0 | 1,
    ]
  ): Promise<Watermarks[]>;
  offsetsForTimes(
    ...call: [consumer: ConsumerHandle, ...partitions: PartitionsWithMetadata, timeoutMs: number]
  ): Promise<TopicPartitionOffset[]>;
  partitionCounts(consumer: ConsumerHandle, topics: readonly string[], timeoutMs: number): Promise<number[]>;
  groupMetadata(consumer: ConsumerHandle): GroupMetadata;
  closeConsumer(consumer: ConsumerHandle): Promise<void>;

  createProducer(configuration: readonly string[], onWake: () => void): ProducerHandle;
  topicId(producer: ProducerHandle, name: string): number;
  produce(
    producer: ProducerHandle,
    topicMap: Int32Array,
    columns: readonly (Int32Array | Float64Array)[],
    sources: readonly Buffer[],
    start: number,
    count: number,
  ): number;
  acknowledged(producer: ProducerHandle, topic: string, partition: number): number;
  initTransactions(producer: ProducerHandle, timeoutMs: number): Promise<void>;
  beginTransaction(producer: ProducerHandle): void;
  sendOffsets(
    ...call: [
      producer: ProducerHandle,
      ...partitions: PartitionsWithMetadata,
      timeoutMs: number,
      consumer: ConsumerHandle,
      memberRequired: boolean,
    ]
  ): Promise<void>;
  commitTransaction(producer: ProducerHandle, timeoutMs: number): Promise<void>;
  abortTransaction(producer: ProducerHandle, timeoutMs: number): Promise<void>;
  flush(producer: ProducerHandle, timeoutMs: number): Promise<void>;
  partitionCount(producer: ProducerHandle, topic: string, timeoutMs: number): Promise<number[]>;
  producerEvents(producer: ProducerHandle): ConsumerEvent[];
  closeProducer(producer: ProducerHandle, timeoutMs: number): Promise<void>;
}

const require = createRequire(import.meta.url);
let loaded: Addon | undefined;

/** Loads the addon once. Throws, naming how to build it, when it is not there or does not load. */
export function loadAddon(): Addon {
  if (loaded !== undefined) return loaded;
  const file = fileURLToPath(new URL('./build/kafka.node', import.meta.url));
  let addon: Addon;
  try {
    addon = require(file) as Addon;
  } catch (error) {
    const build = fileURLToPath(new URL('./build.mjs', import.meta.url));
    throw new Error(
      `the Kafka batch addon does not load from ${file}; build it with: node ${build} (${(error as Error).message})`,
      { cause: error },
    );
  }
  addon.setErrorFactory(
    (operation, code, codeName, reason, flags) =>
      new KafkaError(operation, code, codeName, reason, {
        fatal: (flags & 1) !== 0,
        retriable: (flags & 2) !== 0,
        abortable: (flags & 4) !== 0,
      }),
  );
  // exit() joins libuv's workers; without this a call that waits for a broker would hold it up.
  if (isMainThread) process.once('exit', () => addon.processExiting());
  loaded = addon;
  return addon;
}
