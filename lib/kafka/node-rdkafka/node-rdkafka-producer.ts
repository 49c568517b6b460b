/**
 * The producer contract over node-rdkafka's per-message calls.
 *
 * What node-rdkafka cannot do is refused with `_UNSUPPORTED_FEATURE`: offset metadata, and header values that are
 * null or not UTF-8 text (it turns every value into text). It has no group metadata either, so of a consumer
 * whose membership has ended only the broker's own check protects; one that never joined is refused here.
 */
import { isUtf8 } from 'node:buffer';
import type { ClientConfig, Consumer, ConsumerEvent, Producer, TopicPartitionOffset } from '../client.ts';
import { producerBaseline } from '../defaults.ts';
import { KafkaError } from '../kafka-error.ts';
import type { OutgoingBatch } from '../outgoing-batch.ts';
import { PartitionCountCache } from '../partition-count-cache.ts';
import { closedError, invalid, partitionColumns } from '../partition-columns.ts';
import { HEADER_PREFIX_BYTES } from '../record-batch.ts';
import { WakeUp } from '../wake-up.ts';
import { untilAnswered } from '../until-answered.ts';
import { Connection, type RdClient } from './connection.ts';
import { NodeRdkafkaConsumer } from './node-rdkafka-consumer.ts';
import {
  called,
  loadRdkafka,
  QUEUE_FULL,
  rdkafkaError,
  splitConfiguration,
  TIMED_OUT,
  unsupported,
} from './rdkafka-module.ts';

type Done = (error: unknown) => void;

/** node-rdkafka's producer, with the parts that its own types leave out. */
interface RdProducer extends RdClient {
  setPollInterval(intervalMs: number): void;
  poll(): void;
  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    timestamp: number | undefined,
    opaque: undefined,
    headers: Record<string, string>[] | undefined,
  ): void;
  flush(timeoutMs: number, done: Done): void;
  initTransactions(timeoutMs: number, done: Done): void;
  beginTransaction(done: Done): void;
  commitTransaction(timeoutMs: number, done: Done): void;
  abortTransaction(timeoutMs: number, done: Done): void;
  sendOffsetsToTransaction(
    offsets: readonly TopicPartitionOffset[],
    consumer: unknown,
    timeoutMs: number,
    done: Done,
  ): void;
}

const POLL_MS = 20;
/** Errors of records that an abort or a close dropped. */
const PURGED = new Set([-152, -151]);

export class NodeRdkafkaProducer implements Producer {
  readonly #kafka: RdProducer;
  readonly #connection: Connection;
  readonly #wakeUp = new WakeUp();
  readonly #partitionCounts = new PartitionCountCache();
  readonly #acknowledged = new Map<string, number[]>();
  readonly #transactional: boolean;
  #handedOver = 0;
  #reported = 0;
  #deliveryFailure: KafkaError | undefined;
  #begun: Promise<void> = Promise.resolve();
  #inTransaction = false;
  #closing: Promise<void> | undefined;

  constructor(config: ClientConfig) {
    const { Producer: RdProducerClass } = loadRdkafka();
    this.#transactional = config['transactional.id'] !== undefined;
    try {
      const { global, topic } = splitConfiguration({ ...producerBaseline, ...config });
      this.#kafka = new RdProducerClass({ ...global, event_cb: true, dr_cb: true }, topic);
    } catch (error) {
      throw invalid('createProducer', (error as Error).message);
    }
    this.#kafka.on(
      'delivery-report',
      (error: unknown, report: { topic: string; partition: number; offset: number }) =>
        this.#onReport(error, report),
    );
    this.#connection = new Connection(this.#kafka, () => this.#wakeUp.wake());
    this.#kafka.setPollInterval(POLL_MS);
  }

  #onReport(error: unknown, report: { topic: string; partition: number; offset: number }): void {
    this.#reported += 1;
    if (error === null || error === undefined) {
      let offsets = this.#acknowledged.get(report.topic);
      if (offsets === undefined) this.#acknowledged.set(report.topic, (offsets = []));
      offsets[report.partition] = Math.max(offsets[report.partition] ?? -1, report.offset);
    } else {
      const { code, codeName, message, fatal } = rdkafkaError('delivery', error);
      if (!PURGED.has(code)) {
        const flags = { fatal, abortable: this.#transactional && !fatal };
        this.#deliveryFailure ??= new KafkaError('flush', code, codeName, message, flags);
      }
    }
    this.#wakeUp.wake();
  }

  async #ready(operation: string): Promise<void> {
    if (this.#closing !== undefined) throw closedError(operation);
    await this.#connection.ready;
    await this.#begun;
  }

  async #transact(operation: string, call: (done: Done) => void): Promise<void> {
    await this.#ready(operation);
    await called(operation, call);
  }

  initTransactions(timeoutMs: number): Promise<void> {
    return untilAnswered(timeoutMs, (leftMs) =>
      this.#transact('initTransactions', (done) => this.#kafka.initTransactions(leftMs, done)),
    );
  }

  /** The call itself is asynchronous in node-rdkafka: its failure comes out of the next call. */
  beginTransaction(): void {
    if (this.#closing !== undefined) throw closedError('beginTransaction');
    this.#inTransaction = true;
    this.#begun = this.#connection.ready.then(() =>
      called('beginTransaction', (done) => this.#kafka.beginTransaction(done)),
    );
    this.#begun.catch(() => undefined);
  }

  async produce(batch: OutgoingBatch): Promise<void> {
    await this.#ready('produce');
    for (let i = 0; i < batch.count; i++) {
      while (!this.#handOver(batch, i)) {
        this.#kafka.poll();
        await this.#wakeUp.wait(POLL_MS);
        if (this.#closing !== undefined) throw closedError('produce');
      }
    }
  }

  /** False when the queue is full. */
  #handOver(batch: OutgoingBatch, i: number): boolean {
    const topic = batch.topics[batch.topic[i]!];
    if (topic === undefined)
      throw invalid('produce', `record ${i}: the topic's index is not one of the batch's topics`);
    const key = range(batch, i, 'key', batch.keySource[i]!, batch.keyStart[i]!, batch.keyLength[i]!);
    const value = range(
      batch,
      i,
      'value',
      batch.valueSource[i]!,
      batch.valueStart[i]!,
      batch.valueLength[i]!,
    );
    const timestamp = batch.timestamp[i] === 0 ? undefined : batch.timestamp[i];
    try {
      this.#kafka.produce(topic, batch.partition[i]!, value, key, timestamp, undefined, headersOf(batch, i));
      this.#handedOver += 1;
      return true;
    } catch (error) {
      const failure = rdkafkaError('produce', error, `record ${i} to ${topic}: `);
      if (failure.code === QUEUE_FULL) return false;
      throw failure;
    }
  }

  async flush(timeoutMs: number): Promise<void> {
    await this.#ready('flush');
    const deadline = performance.now() + timeoutMs;
    await called('flush', (done) => this.#kafka.flush(timeoutMs, done));
    // Reports come through the event loop, later than the call that served them.
    while (this.#reported < this.#handedOver) {
      const missing = this.#handedOver - this.#reported;
      if (performance.now() > deadline) {
        throw new KafkaError('flush', TIMED_OUT, '_TIMED_OUT', `${missing} records not acknowledged`, {
          retriable: true,
        });
      }
      await this.#wakeUp.wait(POLL_MS);
    }
    const failure = this.#deliveryFailure;
    this.#deliveryFailure = undefined;
    if (failure !== undefined) throw failure;
  }

  async sendOffsets(
    offsets: readonly TopicPartitionOffset[],
    consumer: Consumer,
    timeoutMs: number,
  ): Promise<void> {
    if (!(consumer instanceof NodeRdkafkaConsumer)) {
      throw invalid('sendOffsets', 'the consumer must come from the same client (node-rdkafka)');
    }
    partitionColumns('sendOffsets', offsets);
    if (offsets.some(({ metadata }) => metadata !== undefined))
      throw unsupported('sendOffsets', 'offset metadata');
    if (!consumer.mayCommit) {
      const reason = 'the consumer is not a member of its group now';
      throw new KafkaError('sendOffsets', 25, 'UNKNOWN_MEMBER_ID', reason, { abortable: true });
    }
    if (offsets.length === 0) return;
    await this.#transact('sendOffsets', (done) =>
      this.#kafka.sendOffsetsToTransaction(offsets, consumer.kafka, timeoutMs, done),
    );
  }

  async commitTransaction(timeoutMs: number): Promise<void> {
    await this.#transact('commitTransaction', (done) => this.#kafka.commitTransaction(timeoutMs, done));
    this.#inTransaction = false;
  }

  async abortTransaction(timeoutMs: number): Promise<void> {
    await this.#transact('abortTransaction', (done) => this.#kafka.abortTransaction(timeoutMs, done));
    this.#inTransaction = false;
    this.#deliveryFailure = undefined;
  }

  acknowledged(topic: string, partition: number): number {
    return this.#acknowledged.get(topic)?.[partition] ?? -1;
  }

  async partitionCount(topic: string, timeoutMs: number): Promise<number> {
    if (this.#closing !== undefined) throw closedError('partitionCount');
    return this.#partitionCounts.get(topic, async () => {
      const count = (await this.#connection.partitionCounts('partitionCount', timeoutMs)).get(topic);
      if (count !== undefined) return count;
      throw new KafkaError('partitionCount', 3, 'UNKNOWN_TOPIC_OR_PART', `topic ${topic} does not exist`);
    });
  }

  takeEvents(): readonly ConsumerEvent[] {
    return this.#closing === undefined ? this.#connection.take() : [];
  }

  close(timeoutMs: number): Promise<void> {
    return (this.#closing ??= this.#close(timeoutMs));
  }

  async #close(timeoutMs: number): Promise<void> {
    await Promise.resolve(); // calls from here on see that it is closing
    this.#wakeUp.wake();
    if (this.#inTransaction && this.#kafka.isConnected()) {
      await called('close', (done) => this.#kafka.abortTransaction(timeoutMs, done)).catch(() => undefined);
    }
    await this.#connection.disconnect();
  }
}

/** The bytes of a range, or null; a range outside its source is an error. */
function range(
  batch: OutgoingBatch,
  i: number,
  what: string,
  source: number,
  start: number,
  length: number,
): Buffer | null {
  if (length === -1) return null;
  const buffer = batch.sources[source];
  if (buffer === undefined || start < 0 || length < 0 || start + length > buffer.length) {
    throw invalid('produce', `record ${i}: the ${what}'s position is outside its source`);
  }
  return buffer.subarray(start, start + length);
}

function headersOf(batch: OutgoingBatch, i: number): Record<string, string>[] | undefined {
  const count = batch.headersCount[i]!;
  const length = batch.headersLength[i]!;
  if (count === 0 && length === 0) return undefined;
  const block = range(
    batch,
    i,
    'headers',
    batch.headersSource[i]!,
    batch.headersStart[i]!,
    Math.max(length, 0),
  )!;
  const headers: Record<string, string>[] = [];
  let at = 0;
  for (let h = 0; h < count && at + HEADER_PREFIX_BYTES <= block.length; h++) {
    const nameEnd = at + HEADER_PREFIX_BYTES + block.readInt32LE(at);
    const valueLength = block.readInt32LE(at + 4);
    const name = block.toString('utf8', at + HEADER_PREFIX_BYTES, nameEnd);
    const value = block.subarray(nameEnd, nameEnd + Math.max(valueLength, 0));
    if (valueLength < 0) throw unsupported('produce', `null header values (record ${i}, header ${name})`);
    if (!isUtf8(value))
      throw unsupported('produce', `header values that are no text (record ${i}, header ${name})`);
    headers.push({ [name]: value.toString() });
    at = nameEnd + valueLength;
  }
  if (headers.length !== count || at !== length) {
    throw invalid('produce', `record ${i}: the header block does not hold the headers it counts`);
  }
  return headers;
}
