/**
 * Global tables: topics that every instance reads whole, into stores that all its tasks see. They are filled to the
 * log end before the first task runs, and followed from then on.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ClientConfig, Consumer, KafkaClient, TopicPartition } from '../kafka/client.ts';
import { RecordBatch } from '../kafka/record-batch.ts';
import type { StateStore } from '../state/state-store.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Topology } from '../topology/graph.ts';
import type { Clock } from './clock.ts';

const METADATA_TIMEOUT_MS = 30_000;

export interface GlobalStoresOptions {
  readonly client: KafkaClient;
  readonly config: ClientConfig;
  readonly applicationId: string;
  readonly topology: Topology;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class GlobalStores {
  readonly #options: GlobalStoresOptions;
  readonly #stores = new Map<string, StateStore>();
  readonly #byTopic = new Map<string, StateStore>();
  readonly #batch = new RecordBatch();
  #consumer: Consumer | null = null;

  constructor(options: GlobalStoresOptions) {
    this.#options = options;
    const { applicationId, clock, topology } = options;
    for (const { name, topic, store: spec } of topology.globals) {
      const store = spec.create({
        applicationId,
        partition: 0,
        now: () => clock.now(),
        source: () => null,
        directory: () => {
          throw new Error(`global table ${name} is kept in memory: it is read whole at every start`);
        },
      });
      this.#stores.set(name, store);
      this.#stores.set(spec.name, store);
      this.#byTopic.set(topic, store);
    }
  }

  /** By the global table's name, or its store's. */
  get(name: string): StateStore {
    const store = this.#stores.get(name);
    if (store === undefined) throw new Error(`no global table "${name}" in this topology`);
    return store;
  }

  /** Reads every global topic up to its log end as it is now. */
  async fill(stopping: () => boolean): Promise<void> {
    if (this.#byTopic.size === 0) return;
    const { client, config, applicationId, logger } = this.#options;
    const consumer = client.createConsumer({
      ...config,
      'group.id': `${applicationId}-global`,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
      'enable.auto.commit': false,
      'auto.offset.reset': 'earliest',
    });
    this.#consumer = consumer;
    const topics = [...this.#byTopic.keys()];
    const counts = await consumer.partitionCounts(topics, METADATA_TIMEOUT_MS);
    const partitions: TopicPartition[] = topics.flatMap((topic) =>
      Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) => ({ topic, partition })),
    );
    const marks = await consumer.watermarks(partitions, 'read_committed', METADATA_TIMEOUT_MS);
    const behind = new Map(marks.filter(({ low, high }) => high > low).map((one) => [key(one), one.high]));
    consumer.assign(marks.map(({ topic, partition, low }) => ({ topic, partition, offset: low })));
    let records = 0;
    while (behind.size > 0 && !stopping()) {
      const count = consumer.poll(this.#batch);
      this.#apply(consumer);
      records += count;
      for (const event of consumer.takeEvents()) {
        if (event.type === 'end' && event.offset >= (behind.get(key(event)) ?? Infinity))
          behind.delete(key(event));
      }
      if (count === 0) await consumer.wait(100);
      else await nextTurn();
    }
    logger.info({ topics, records }, 'global tables are filled');
  }

  /** Takes what has arrived since. Called from the instance's loop, between records. */
  follow(): void {
    const consumer = this.#consumer;
    if (consumer === null) return;
    if (consumer.poll(this.#batch) > 0) this.#apply(consumer);
    consumer.takeEvents();
  }

  async close(): Promise<void> {
    await this.#consumer?.close();
    this.#consumer = null;
    for (const store of this.#byTopic.values()) store.close();
  }

  #apply(consumer: Consumer): void {
    for (let i = 0; i < this.#batch.count; i++) {
      this.#byTopic.get(consumer.topicName(this.#batch.topic[i]!))?.restore(this.#batch, i);
    }
  }
}

function key({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
