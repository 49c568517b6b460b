/** The packed-batch producer: the contract of client.ts over the addon. */
import type { ClientConfig, Consumer, ConsumerEvent, Producer, TopicPartitionOffset } from '../client.ts';
import { configurationPairs, producerBaseline } from '../defaults.ts';
import { KafkaError } from '../kafka-error.ts';
import type { OutgoingBatch } from '../outgoing-batch.ts';
import { PartitionCountCache } from '../partition-count-cache.ts';
import { closedError, invalid, metadataColumn, partitionColumns } from '../partition-columns.ts';
import { untilAnswered } from '../until-answered.ts';
import { WakeUp } from '../wake-up.ts';
import { type Addon, loadAddon, type ProducerHandle } from './addon.ts';
import { NativeConsumer } from './native-consumer.ts';

/** Delivery reports wake a producer whose queue is full; this is only the net below. */
const ROOM_CHECK_MS = 100;

export class NativeProducer implements Producer {
  readonly #addon: Addon;
  readonly #handle: ProducerHandle;
  readonly #wakeUp = new WakeUp();
  readonly #topicMaps = new WeakMap<OutgoingBatch, Int32Array>();
  readonly #partitionCounts = new PartitionCountCache();
  #closing: Promise<void> | undefined;

  constructor(config: ClientConfig) {
    this.#addon = loadAddon();
    const wakeUp = this.#wakeUp;
    this.#handle = this.#addon.createProducer(configurationPairs({ ...producerBaseline, ...config }), () =>
      wakeUp.wake(),
    );
  }

  async initTransactions(timeoutMs: number): Promise<void> {
    await untilAnswered(timeoutMs, (leftMs) => this.#addon.initTransactions(this.#handle, leftMs));
  }

  beginTransaction(): void {
    this.#addon.beginTransaction(this.#handle);
  }

  async produce(batch: OutgoingBatch): Promise<void> {
    let done = 0;
    while (done < batch.count) {
      const taken = this.#addon.produce(
        this.#handle,
        this.#topicMap(batch),
        [
          batch.topic,
          batch.partition,
          batch.timestamp,
          batch.keySource,
          batch.keyStart,
          batch.keyLength,
          batch.valueSource,
          batch.valueStart,
          batch.valueLength,
          batch.headersSource,
          batch.headersStart,
          batch.headersLength,
          batch.headersCount,
        ],
        batch.sources,
        done,
        batch.count,
      );
      done += taken;
      if (taken === 0) await this.#wakeUp.wait(ROOM_CHECK_MS);
    }
  }

  /** The addon's topic numbers by the batch's topic indices. */
  #topicMap(batch: OutgoingBatch): Int32Array {
    const known = this.#topicMaps.get(batch);
    if (known?.length === batch.topics.length) return known;
    const map = Int32Array.from(batch.topics, (name) => this.#addon.topicId(this.#handle, name));
    this.#topicMaps.set(batch, map);
    return map;
  }

  async flush(timeoutMs: number): Promise<void> {
    await this.#addon.flush(this.#handle, timeoutMs);
  }

  async sendOffsets(
    offsets: readonly TopicPartitionOffset[],
    consumer: Consumer,
    timeoutMs: number,
  ): Promise<void> {
    if (!(consumer instanceof NativeConsumer)) {
      throw invalid('sendOffsets', 'the consumer must come from the same client (native)');
    }
    if (offsets.length === 0) return;
    const columns = partitionColumns('sendOffsets', offsets);
    const metadata = metadataColumn(offsets);
    await this.#addon.sendOffsets(
      this.#handle,
      ...columns,
      metadata,
      timeoutMs,
      consumer.handle,
      consumer.subscribed,
    );
  }

  async commitTransaction(timeoutMs: number): Promise<void> {
    await this.#addon.commitTransaction(this.#handle, timeoutMs);
  }

  async abortTransaction(timeoutMs: number): Promise<void> {
    await this.#addon.abortTransaction(this.#handle, timeoutMs);
  }

  acknowledged(topic: string, partition: number): number {
    return this.#addon.acknowledged(this.#handle, topic, partition);
  }

  async partitionCount(topic: string, timeoutMs: number): Promise<number> {
    if (this.#closing !== undefined) throw closedError('partitionCount');
    return this.#partitionCounts.get(topic, async () => {
      const [count = -1] = await this.#addon.partitionCount(this.#handle, topic, timeoutMs);
      if (count >= 0) return count;
      throw new KafkaError('partitionCount', 3, 'UNKNOWN_TOPIC_OR_PART', `topic ${topic} does not exist`);
    });
  }

  takeEvents(): readonly ConsumerEvent[] {
    return this.#closing === undefined ? this.#addon.producerEvents(this.#handle) : [];
  }

  close(timeoutMs: number): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#addon.closeProducer(this.#handle, timeoutMs);
      this.#wakeUp.wake();
    }
    return this.#closing;
  }
}
