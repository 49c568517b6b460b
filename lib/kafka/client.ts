/**
 * The contract between the runtime and a Kafka client. Two adapters fulfil it (the packed-batch addon in
 * `native/`, and node-rdkafka's per-message calls in `node-rdkafka/`), and one contract test suite runs against
 * both. Everything a caller may rely on is said here.
 *
 * All calls are made from one thread. What may wait for the network returns a promise; everything else is
 * synchronous and returns at once. Every failure is a KafkaError.
 */
import type { KafkaError } from './kafka-error.ts';
import type { OutgoingBatch } from './outgoing-batch.ts';
import type { RecordBatch } from './record-batch.ts';

/** librdkafka configuration properties, by their documented names. */
export type ClientConfig = Readonly<Record<string, string | number | boolean>>;

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface TopicPartitionOffset extends TopicPartition {
  /** Exclusive: the offset of the next record to read. OFFSET_BEGINNING and OFFSET_END where a call says so. */
  readonly offset: number;
  /** Text stored with a committed offset; the runtime keeps stream time in it. */
  readonly metadata?: string;
}

/** Logical offsets (librdkafka's values). */
export const OFFSET_BEGINNING = -2;
export const OFFSET_END = -1;
/** No committed offset, or none known. */
export const OFFSET_INVALID = -1001;

export type ConsumerEvent =
  /** Partitions are offered (cooperative: in addition to those held). Answer with `incrementalAssign`. */
  | { readonly type: 'assigned'; readonly partitions: readonly TopicPartition[] }
  /** Partitions are being taken back. Answer with `incrementalUnassign` when they are given up. */
  | { readonly type: 'revoked'; readonly partitions: readonly TopicPartition[] }
  /** Partitions are gone already (the session expired): commit nothing, answer with `incrementalUnassign`. */
  | { readonly type: 'lost'; readonly partitions: readonly TopicPartition[] }
  /** The reader has reached the end of a partition; `offset` is the next one to come. */
  | { readonly type: 'end'; readonly topic: string; readonly partition: number; readonly offset: number }
  /** Not tied to a call. `fatal` ones end the client; the others repair themselves and are for logs and counters. */
  | {
      readonly type: 'error';
      readonly error: KafkaError;
      /** When the error concerns a partition (such as `_AUTO_OFFSET_RESET`: its position is not in the log). */
      readonly topic?: string;
      readonly partition?: number;
    }
  /** librdkafka's statistics JSON, when `statistics.interval.ms` is set. */
  | { readonly type: 'statistics'; readonly json: string }
  /** A line of librdkafka's log; `level` is syslog's (3 error … 7 debug). Appears without a poll, too. */
  | { readonly type: 'log'; readonly level: number; readonly facility: string; readonly message: string };

export interface GroupMetadata {
  readonly memberId: string;
  /** -1 when the consumer is not a member now. */
  readonly generationId: number;
}

export interface Watermarks extends TopicPartition {
  /** First offset still in the log. */
  readonly low: number;
  /** Log end: the offset of the next record to be written (read uncommitted), or the last stable offset. */
  readonly high: number;
}

export interface Consumer {
  /** Joins the group for these topics (cooperative-sticky unless configured otherwise). */
  subscribe(topics: readonly string[]): void;

  /**
   * Takes what has arrived, without waiting: fills `into` and returns the number of records (0 when none).
   * Records of several partitions are mixed; per partition they are in offset order. A record that does not fit
   * the slab any more comes with the next poll; one larger than the whole slab makes it grow. Polling also serves
   * rebalances and keeps membership (`max.poll.interval.ms`).
   */
  poll(into: RecordBatch): number;

  /**
   * Resolves when `poll` or `takeEvents` may have something, or after `timeoutMs`. Never busy-waits, and always
   * lets the event loop turn once, so that a poll loop over a busy topic starves nothing.
   */
  wait(timeoutMs: number): Promise<void>;

  /** What has happened since the last call, in order. Only `poll` makes events appear. */
  takeEvents(): readonly ConsumerEvent[];

  /** The name behind `RecordBatch.topic`. */
  topicName(index: number): string;

  /** Adds partitions, each starting at its `offset` (OFFSET_BEGINNING and OFFSET_END allowed). */
  incrementalAssign(partitions: readonly TopicPartitionOffset[]): void;
  incrementalUnassign(partitions: readonly TopicPartition[]): void;
  /** Manual assignment without a group: replaces what was assigned. */
  assign(partitions: readonly TopicPartitionOffset[]): void;
  assignment(): TopicPartition[];

  pause(partitions: readonly TopicPartition[]): void;
  resume(partitions: readonly TopicPartition[]): void;
  /** Moves assigned partitions. Records fetched before are never delivered after this resolves. */
  seek(partitions: readonly TopicPartitionOffset[], timeoutMs: number): Promise<void>;

  /**
   * Committed offsets of the group with their metadata; OFFSET_INVALID where there is none. Waits for offsets of
   * pending transactions (stable offsets are required: `isolation.level` is read_committed), until `timeoutMs`.
   */
  committed(partitions: readonly TopicPartition[], timeoutMs: number): Promise<TopicPartitionOffset[]>;
  /** Commits offsets without a transaction (at-least-once, or for lag only). */
  commit(offsets: readonly TopicPartitionOffset[]): Promise<void>;
  /** Log start and end. `isolation` uncommitted gives the true log end, committed the last stable offset. */
  watermarks(
    partitions: readonly TopicPartition[],
    isolation: 'read_committed' | 'read_uncommitted',
    timeoutMs: number,
  ): Promise<Watermarks[]>;
  /** First offset whose record timestamp is at or after `timestampMs`; OFFSET_END when there is none. */
  offsetsForTimes(
    partitions: readonly (TopicPartition & { readonly timestampMs: number })[],
    timeoutMs: number,
  ): Promise<TopicPartitionOffset[]>;
  /** Number of partitions by topic; a topic that does not exist is absent. */
  partitionCounts(topics: readonly string[], timeoutMs: number): Promise<Map<string, number>>;

  groupMetadata(): GroupMetadata;
  /** Leaves the group and frees everything. Pending rebalance events need no answer. Idempotent. */
  close(): Promise<void>;
}

export interface Producer {
  /** Gets a producer id; aborts and fences an older producer of the same `transactional.id`. */
  initTransactions(timeoutMs: number): Promise<void>;
  beginTransaction(): void;

  /**
   * Hands every record over (bytes are copied: the batch and its sources may be reused after it resolves).
   * While the client's queue is full it waits without spinning. Without transactions it is idempotent, acks=all.
   * Rejects on the first record that the client refuses; those before it are handed over.
   */
  produce(batch: OutgoingBatch): Promise<void>;

  /** Waits until every record handed over is acknowledged; rejects with the first delivery error since the last flush. */
  flush(timeoutMs: number): Promise<void>;

  /** Adds the group's offsets to the transaction, fenced by the consumer's group metadata taken now (KIP-447). */
  sendOffsets(offsets: readonly TopicPartitionOffset[], consumer: Consumer, timeoutMs: number): Promise<void>;

  /** On a timeout (retriable) the outcome is unknown: call again until it answers. */
  commitTransaction(timeoutMs: number): Promise<void>;
  /** Aborts; records not sent yet are purged. */
  abortTransaction(timeoutMs: number): Promise<void>;

  /** Highest acknowledged offset of a partition this producer wrote, or -1. Reset by nothing. */
  acknowledged(topic: string, partition: number): number;

  /** Partition count of a topic, from metadata (cached by the client). Throws if the topic does not exist. */
  partitionCount(topic: string, timeoutMs: number): Promise<number>;
  takeEvents(): readonly ConsumerEvent[];
  close(timeoutMs: number): Promise<void>;
}

/** What an adapter is: `connect…` returns when the client object exists; brokers are contacted in the background. */
export interface KafkaClient {
  readonly name: 'native' | 'node-rdkafka';
  createConsumer(config: ClientConfig): Consumer;
  createProducer(config: ClientConfig): Producer;
}
