/**
 * The one consumer of a front door: it tails ingress, the bus and the outcomes topic from their ends as they were at
 * start, committed records only and without a group, and hands what it sees to the match.
 */
import {
  avroAnyReader,
  consumerDefaults,
  HeaderBlock,
  NotReady,
  RecordBatch,
  type AvroReader,
  type Consumer,
  type KafkaClient,
  type Logger,
  type SchemaSource,
  type TopicPartition,
} from '../../../lib/index.ts';
import type { Settings } from '../../rails/index.ts';
import {
  decisionOf,
  headersAt,
  outcomeAt,
  receiptOfAdmission,
  receiptOfOutcome,
  type PushReceipt,
} from './committed-outcome.ts';
import type { OutcomeMatch } from './outcome-match.ts';
import { PUSH_ID_HEADER } from './ingress-writer.ts';

export interface OutcomeTailOptions {
  readonly settings: Pick<Settings, 'kafka' | 'topics' | 'partitions'>;
  readonly client: KafkaClient;
  readonly schemas: SchemaSource;
  readonly match: OutcomeMatch<PushReceipt>;
  readonly logger: Logger;
}

const TIMEOUT_MS = 10_000;
const WAIT_MS = 100;
const SCHEMA_RETRY_MS = 500;

export class OutcomeTail {
  readonly #options: OutcomeTailOptions;
  readonly #consumer: Consumer;
  readonly #headers = new HeaderBlock();
  readonly #avro: AvroReader;
  /** Set when the tail has stopped for a reason: nothing would be answered any more. */
  failure: Error | undefined;

  constructor(options: OutcomeTailOptions) {
    this.#options = options;
    this.#avro = avroAnyReader(options.schemas);
    this.#consumer = options.client.createConsumer({
      ...consumerDefaults,
      'bootstrap.servers': options.settings.kafka.bootstrapServers,
      // librdkafka wants a group even from a reader that never joins one.
      'group.id': `${options.settings.topics.prefix}front-door`,
      'client.id': 'front-door-tail',
      'auto.offset.reset': 'latest',
      'fetch.wait.max.ms': 10,
    });
  }

  /** Takes its place at the ends of the topics; rejects while they or the brokers are not there. */
  async start(): Promise<void> {
    const { topics, partitions } = this.#options.settings;
    const names = [topics.ingress, topics.traffic, topics.control, topics.audit, topics.outcomes];
    const counts = await this.#consumer.partitionCounts(names, TIMEOUT_MS);
    const missing = names.filter((name) => counts.get(name) !== partitions);
    if (missing.length > 0) {
      throw new Error(
        `no topic ${missing.join(', ')} with ${partitions} partitions; \`npm run topology:apply\` makes them`,
      );
    }
    const all: TopicPartition[] = names.flatMap((topic) =>
      Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
    );
    const ends = await this.#consumer.watermarks(all, 'read_uncommitted', TIMEOUT_MS);
    this.#consumer.assign(ends.map(({ topic, partition, high }) => ({ topic, partition, offset: high })));
  }

  /** Reads until the signal aborts, then closes. What goes wrong for good is in `failure`. */
  async run(signal: AbortSignal): Promise<void> {
    const batch = new RecordBatch();
    try {
      while (!signal.aborted) {
        const polled = this.#consumer.poll(batch);
        for (let i = 0; i < polled; i++) {
          const waiting = this.#see(batch, i);
          if (waiting !== undefined) await waiting;
        }
        for (const event of this.#consumer.takeEvents()) {
          if (event.type !== 'error') continue;
          if (event.error.fatal) throw event.error;
          this.#options.logger.debug({ reason: event.error.message }, 'the tail has trouble');
        }
        await this.#consumer.wait(WAIT_MS);
      }
    } catch (error) {
      this.failure = error as Error;
      this.#options.logger.error({ reason: String(error) }, 'the tail of outcomes has stopped');
    } finally {
      await this.#consumer.close();
    }
  }

  /** One record; asynchronous only while the outcomes' schema is fetched for the first time. */
  #see(batch: RecordBatch, i: number): Promise<void> | undefined {
    const { topics } = this.#options.settings;
    const topic = this.#consumer.topicName(batch.topic[i]!);
    if (topic === topics.ingress) {
      this.#seeIngress(batch, i);
      return undefined;
    }
    // Under a replay nobody here waits for, records pass without being looked into.
    if (this.#options.match.waiting === 0) return undefined;
    if (topic !== topics.outcomes) {
      this.#seeBus(batch, i, topic);
      return undefined;
    }
    return this.#seeOutcome(batch, i, topic);
  }

  #seeIngress(batch: RecordBatch, i: number): void {
    const pushId =
      batch.headersCount[i] === 0 ? undefined : headersAt(this.#headers, batch, i).text(PUSH_ID_HEADER);
    this.#options.match.sawIngress(batch.partition[i]!, batch.offset[i]!, pushId ?? undefined);
  }

  #seeBus(batch: RecordBatch, i: number, topic: string): void {
    const headers = headersAt(this.#headers, batch, i);
    let decision;
    try {
      decision = decisionOf(headers);
    } catch (error) {
      this.#options.logger.warn({ topic, reason: String(error) }, 'a bus record does not come from the gate');
      return;
    }
    if (decision === undefined) return;
    const found = decision;
    this.#options.match.sawOutcome(
      { partition: decision.ingressPartition, offset: decision.ingressOffset },
      () => receiptOfAdmission(found, headers, batch, i, topic),
    );
  }

  async #seeOutcome(batch: RecordBatch, i: number, topic: string): Promise<void> {
    for (;;) {
      try {
        const outcome = outcomeAt(this.#avro, batch, i);
        this.#options.match.sawOutcome(
          { partition: outcome.ingress_partition, offset: outcome.ingress_offset },
          () =>
            receiptOfOutcome(outcome, { topic, partition: batch.partition[i]!, offset: batch.offset[i]! }),
        );
        return;
      } catch (error) {
        if (!(error instanceof NotReady)) throw error;
        await error.ready.catch(() => new Promise((done) => setTimeout(done, SCHEMA_RETRY_MS)));
      }
    }
  }
}
