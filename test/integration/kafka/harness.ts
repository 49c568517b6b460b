/** What the contract suite needs around a client: topics of its own, records in and out, polling with a deadline. */
import { randomBytes } from 'node:crypto';
import { Admin } from '../../../lib/kafka/admin.ts';
import {
  type ClientConfig,
  type Consumer,
  type ConsumerEvent,
  type KafkaClient,
  OFFSET_BEGINNING,
  OFFSET_INVALID,
  type Producer,
} from '../../../lib/kafka/client.ts';
import {
  consumerDefaults,
  producerDefaults,
  transactionalProducerDefaults,
} from '../../../lib/kafka/defaults.ts';
import { HEADER_PREFIX_BYTES, RecordBatch } from '../../../lib/kafka/record-batch.ts';

export const TIMEOUT_MS = 15_000;

export function bootstrapServers(): string {
  const servers = process.env['KAFKA_BOOTSTRAP_SERVERS'] ?? '';
  if (servers === '')
    throw new Error('KAFKA_BOOTSTRAP_SERVERS is not set: start the stack and source its settings');
  return servers;
}

/** A record out of a batch, as whole values, to compare with. */
export interface Copied {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [string, string | null])[];
}

export function copyOf(consumer: Consumer, batch: RecordBatch, i: number): Copied {
  const text = (start: number, length: number): string | null =>
    length < 0 ? null : batch.data.toString('latin1', start, start + length);
  const headers: [string, string | null][] = [];
  let at = batch.headersStart[i]!;
  for (let h = 0; h < batch.headersCount[i]!; h++) {
    const nameLength = batch.data.readInt32LE(at);
    const valueLength = batch.data.readInt32LE(at + 4);
    at += HEADER_PREFIX_BYTES;
    headers.push([text(at, nameLength)!, text(at + nameLength, valueLength)]);
    at += nameLength + Math.max(valueLength, 0);
  }
  if (at !== batch.headersStart[i]! + batch.headersLength[i]!)
    throw new Error('a header block has another length');
  return {
    topic: consumer.topicName(batch.topic[i]!),
    partition: batch.partition[i]!,
    offset: batch.offset[i]!,
    timestamp: batch.timestamp[i]!,
    key: text(batch.keyStart[i]!, batch.keyLength[i]!),
    value: text(batch.valueStart[i]!, batch.valueLength[i]!),
    headers,
  };
}

/** Polls a consumer, answers its rebalances, and keeps everything that came. */
export class Reader {
  readonly records: Copied[] = [];
  readonly events: ConsumerEvent[] = [];
  readonly batch: RecordBatch;
  readonly consumer: Consumer;
  /** What to do with rebalance events; by default assigned and revoked are answered at once. */
  onEvent: (event: ConsumerEvent) => void = (event) => this.answer(event);

  constructor(consumer: Consumer, batch = new RecordBatch()) {
    this.consumer = consumer;
    this.batch = batch;
  }

  answer(event: ConsumerEvent): void {
    if (event.type === 'assigned') {
      this.consumer.incrementalAssign(event.partitions.map((p) => ({ ...p, offset: OFFSET_INVALID })));
    } else if (event.type === 'revoked' || event.type === 'lost') {
      this.consumer.incrementalUnassign(event.partitions);
    }
  }

  /** One poll; answers how many records came. */
  step(): number {
    const count = this.consumer.poll(this.batch);
    for (let i = 0; i < count; i++) this.records.push(copyOf(this.consumer, this.batch, i));
    for (const event of this.consumer.takeEvents()) {
      this.events.push(event);
      this.onEvent(event);
    }
    return count;
  }

  async until(what: string, done: () => boolean, timeoutMs = TIMEOUT_MS): Promise<void> {
    await untilAll(what, [this], done, timeoutMs);
  }

  get ends(): number {
    return this.events.filter(({ type }) => type === 'end').length;
  }
}

/** Polls several readers in turn until the condition holds; fails after the deadline, saying what did not happen. */
export async function untilAll(
  what: string,
  readers: readonly Reader[],
  done: () => boolean,
  timeoutMs = TIMEOUT_MS,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!done()) {
    if (performance.now() > deadline) throw new Error(`not in ${timeoutMs} ms: ${what}`);
    let count = 0;
    for (const reader of readers) count += reader.step();
    if (count === 0 && !done()) await Promise.race(readers.map(({ consumer }) => consumer.wait(50)));
    else await new Promise((resolve) => setImmediate(resolve));
  }
}

/** A client with names of its own in the shared cluster; `dispose` closes and deletes all it made. */
export class Bench {
  readonly run = `it-kafka-${randomBytes(5).toString('hex')}`;
  readonly admin = new Admin({ bootstrapServers: bootstrapServers() });
  readonly client: KafkaClient;
  readonly #consumers: Consumer[] = [];
  readonly #producers: Producer[] = [];
  readonly #topics: string[] = [];
  readonly #groups = new Set<string>();
  #names = 0;

  constructor(client: KafkaClient) {
    this.client = client;
  }

  name(kind: string): string {
    return `${this.run}-${kind}-${(this.#names += 1)}`;
  }

  async topic(partitions: number, configs: Record<string, string> = {}): Promise<string> {
    const name = this.name('t');
    this.#topics.push(name);
    await this.admin.createTopics([{ name, partitions, replicationFactor: 1, configs }]);
    return name;
  }

  consumer(config: ClientConfig = {}): Consumer {
    const group = String(config['group.id'] ?? this.name('g'));
    this.#groups.add(group);
    const consumer = this.client.createConsumer({
      ...consumerDefaults,
      'bootstrap.servers': bootstrapServers(),
      'group.id': group,
      ...config,
    });
    this.#consumers.push(consumer);
    return consumer;
  }

  producer(config: ClientConfig = {}): Producer {
    const defaults = 'transactional.id' in config ? transactionalProducerDefaults : producerDefaults;
    const producer = this.client.createProducer({
      ...defaults,
      'bootstrap.servers': bootstrapServers(),
      ...config,
    });
    this.#producers.push(producer);
    return producer;
  }

  /** A reader of all partitions of a topic from the beginning, without a group. */
  async reader(topic: string, config: ClientConfig = {}, batch?: RecordBatch): Promise<Reader> {
    const consumer = this.consumer(config);
    const count = (await consumer.partitionCounts([topic], TIMEOUT_MS)).get(topic) ?? 0;
    consumer.assign(
      Array.from({ length: count }, (_, partition) => ({ topic, partition, offset: OFFSET_BEGINNING })),
    );
    return new Reader(consumer, batch);
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.close()));
    await Promise.all(this.#producers.map((producer) => producer.close(5000)));
    await this.admin.deleteTopics(this.#topics);
    const known = new Set(await this.admin.listGroups());
    await this.admin.deleteGroups([...this.#groups].filter((group) => known.has(group)));
    await this.admin.close();
  }
}
