/** Configuration: what the contract itself needs (baselines), and what we recommend on top, with the reasons. */
import type { ClientConfig } from './client.ts';

/** What the contract promises of every consumer; each adapter applies it below the caller's configuration. */
export const consumerBaseline: ClientConfig = {
  'partition.assignment.strategy': 'cooperative-sticky',
  'isolation.level': 'read_committed',
  // Offsets are committed in transactions, or by `commit`, never behind the caller's back.
  'enable.auto.commit': false,
  'enable.auto.offset.store': false,
};

/** What the contract promises of every producer. */
export const producerBaseline: ClientConfig = {
  'enable.idempotence': true,
  // Java's default partitioner: the same key lands on the same partition whoever produces it.
  partitioner: 'murmur2_random',
};

/** A broker that comes back is found within two seconds (librdkafka's default waits up to ten). */
const reconnect: ClientConfig = { 'reconnect.backoff.max.ms': 2000 };

/** Recommended for consumers that process streams. */
export const consumerDefaults: ClientConfig = {
  ...consumerBaseline,
  ...reconnect,
  // `end` events: a task may only stop waiting for an empty input once it is known to be empty (KIP-695).
  'enable.partition.eof': true,
  'auto.offset.reset': 'earliest',
  // Heartbeats come from librdkafka's own thread, so a busy event loop never costs membership: a short session
  // only means that a dead process's partitions move sooner.
  'session.timeout.ms': 10_000,
  'heartbeat.interval.ms': 2000,
  // Latency of the first record after idle; a busy partition never waits for it.
  'fetch.wait.max.ms': 100,
  // Larger fetches, fewer requests, while catching up.
  'fetch.message.max.bytes': 2 * 1024 * 1024,
  // The bound of memory per consumer: what is fetched ahead. The backlog stays in Kafka.
  'queued.max.messages.kbytes': 32 * 1024,
  // When that bound is reached librdkafka stops fetching for this long; its default of a second would be a stall.
  'fetch.queue.backoff.ms': 10,
};

/** The broker's default `message.max.bytes`. */
export const BROKER_MESSAGE_MAX_BYTES = 1_048_588;
/** How much larger than its input an output record may be: stamped key, headers, envelope. */
export const OUTPUT_MARGIN_BYTES = 64 * 1024;

/** Recommended for producers without transactions. */
export const producerDefaults: ClientConfig = {
  ...producerBaseline,
  ...reconnect,
  // Batches of bytes, not of time: under load a batch fills before this passes, and a flush ends it at once.
  'linger.ms': 5,
  'batch.size': 1_000_000,
  'batch.num.messages': 10_000,
  // Cheapest by CPU per record of those that still halve the bytes.
  'compression.type': 'lz4',
  // librdkafka's default (1,000,000) is below the broker's, so a record read could not be written again.
  'message.max.bytes': BROKER_MESSAGE_MAX_BYTES + OUTPUT_MARGIN_BYTES,
  // The bound of memory per producer; `produce` waits when it is reached.
  'queue.buffering.max.kbytes': 64 * 1024,
  'queue.buffering.max.messages': 200_000,
  // Takes tens of milliseconds off each transaction; later retries back off exponentially anyway.
  'retry.backoff.ms': 1,
};

/** Recommended for transactional producers, below a `transactional.id`. */
export const transactionalProducerDefaults: ClientConfig = {
  ...producerDefaults,
  // A dead owner's transaction blocks readers for this long, plus the broker's clean-up interval.
  'transaction.timeout.ms': 10_000,
};

/** [name, value, name, value, …] as librdkafka takes them. */
export function configurationPairs(config: ClientConfig): string[] {
  return Object.entries(config).flatMap(([name, value]) => [name, String(value)]);
}
