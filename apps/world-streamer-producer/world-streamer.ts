/**
 * The service: a member of the streamer's consumer group on the control topic. It polls all the time; READY is accepted
 * here, runs go on beside it, and partitions come and go with the group.
 */
import {
  AvroReader,
  Bytes,
  consumerDefaults,
  KafkaError,
  NotReady,
  OFFSET_BEGINNING,
  RecordBatch,
  SerdeError,
  type Consumer,
  type Logger,
  type TopicPartition,
} from '../../lib/index.ts';
import type { Envelope } from '../rails/index.ts';
import { ControlPartition } from './control-partition.ts';
import type { LaneRunner } from './lane-runner.ts';
import { readyOf } from './ready.ts';
import type { RunCursor } from './run-cursor.ts';
import { StreamError } from './stream-error.ts';
import type { StreamerContext } from './streamer-context.ts';

const READY_TYPE = 'run.ready';
const POLL_WAIT_MS = 200;
const TOPIC_WAIT_MS = 2000;
const ACCEPT_RETRY_MS = 500;

export class WorldStreamer {
  readonly #context: StreamerContext;
  readonly #logger: Logger;
  readonly #reader: AvroReader;
  readonly #onRunEnded: (cursors: readonly RunCursor[]) => void;
  readonly #partitions = new Map<number, ControlPartition>();
  /** Partitions being opened or closed; the group's next answer about one waits for it. */
  readonly #moving = new Map<number, Promise<void>>();
  #stopping = false;
  #fatal: Error | null = null;

  constructor(
    context: StreamerContext,
    logger: Logger,
    onRunEnded: (cursors: readonly RunCursor[]) => void = () => undefined,
  ) {
    this.#context = context;
    this.#logger = logger;
    this.#reader = new AvroReader(context.schemas);
    this.#onRunEnded = onRunEnded;
  }

  /** Every lane running in this process, to pause, throttle or cancel. */
  get runners(): readonly LaneRunner[] {
    return [...this.#partitions.values()].flatMap((partition) => [...partition.runners]);
  }

  /** Asks `run` to end: runs stop after the batch in hand and are resumed by the next start. */
  stop(): void {
    this.#stopping = true;
  }

  /** Serves until `stop`. Rejects on a fatal error. */
  async run(): Promise<void> {
    const { client, kafkaConfig, group, topics } = this.#context;
    const consumer = client.createConsumer({ ...consumerDefaults, ...kafkaConfig, 'group.id': group });
    try {
      await this.#waitForTopics(consumer);
      if (this.#stopping) return;
      consumer.subscribe([topics.control]);
      this.#logger.info({ group, topic: topics.control }, 'waiting for READY');
      await this.#serve(consumer);
    } finally {
      await Promise.all(this.#moving.values());
      await Promise.all([...this.#partitions.values()].map((partition) => partition.close()));
      this.#partitions.clear();
      await consumer.close();
    }
  }

  async #serve(consumer: Consumer): Promise<void> {
    const batch = new RecordBatch({ maxRecords: 256, slabBytes: 1 << 20 });
    while (!this.#stopping) {
      const count = consumer.poll(batch);
      if (count > 0) await this.#takeRecords(batch, count, consumer);
      for (const event of consumer.takeEvents()) {
        switch (event.type) {
          case 'assigned':
            for (const taken of event.partitions)
              this.#move(taken.partition, () => this.#open(taken, consumer));
            break;
          case 'revoked':
          case 'lost':
            for (const given of event.partitions)
              this.#move(given.partition, () => this.#give(given, consumer));
            break;
          case 'error':
            if (event.error.fatal) throw event.error;
            this.#logger.warn({ err: event.error }, 'kafka');
            break;
          case 'end':
          case 'statistics':
            break;
        }
      }
      if (this.#fatal !== null) throw this.#fatal;
      if (count === 0) await consumer.wait(POLL_WAIT_MS);
    }
  }

  async #takeRecords(batch: RecordBatch, count: number, consumer: Consumer): Promise<void> {
    const passed = new Map<number, number>();
    const rewound = new Set<number>();
    for (let i = 0; i < count; i += 1) {
      const partition = this.#partitions.get(batch.partition[i]!);
      // Gone since it was fetched: its new owner reads it.
      if (partition === undefined || rewound.has(partition.partition)) continue;
      const next = batch.offset[i]! + 1;
      const envelope = await this.#readyEnvelope(batch, i);
      const outcome = envelope === null ? 'passed' : await this.#accept(envelope, partition, next, consumer);
      if (outcome === 'passed') passed.set(partition.partition, next);
      else passed.delete(partition.partition);
      if (outcome === 'retry') {
        rewound.add(partition.partition);
        await this.#rewind(partition.partition, batch.offset[i]!, consumer);
      }
    }
    if (passed.size === 0) return;
    const topic = this.#context.topics.control;
    await consumer
      .commit([...passed].map(([partition, offset]) => ({ topic, partition, offset })))
      // Only lag depends on it: these records are not READY and are read again without harm.
      .catch((error: unknown) => this.#logger.warn({ err: error }, 'offset commit failed'));
  }

  /** The decoded record if it is a READY; null for every other fact. */
  async #readyEnvelope(batch: RecordBatch, i: number): Promise<Envelope | null> {
    if (batch.valueLength[i]! < 0) return null;
    const bytes = new Bytes(batch.data, batch.valueStart[i], batch.valueLength[i]);
    for (;;) {
      try {
        const schema = this.#reader.schemaOf(bytes);
        return schema.recordName === READY_TYPE ? (schema.decode(bytes) as Envelope) : null;
      } catch (error) {
        if (error instanceof NotReady) {
          await error.ready.catch((cause: unknown) => {
            this.#logger.warn({ err: cause }, 'schema registry does not answer, waiting');
            return new Promise((resolve) => setTimeout(resolve, TOPIC_WAIT_MS));
          });
          if (this.#stopping) return null;
          continue;
        }
        if (!(error instanceof SerdeError)) throw error;
        // The gate admits only what decodes; whatever else wrote here is not ours to stream.
        this.#logger.error(
          { err: error, offset: batch.offset[i], partition: batch.partition[i] },
          'unreadable fact',
        );
        return null;
      }
    }
  }

  /** `committed`: the offset went with the acceptance. `passed`: it is left behind. `retry`: read it again. */
  async #accept(
    envelope: Envelope,
    partition: ControlPartition,
    next: number,
    consumer: Consumer,
  ): Promise<'committed' | 'passed' | 'retry'> {
    const about = { platform_run_id: envelope.platform_run_id, scenario_run_id: envelope.scenario_run_id };
    try {
      const ready = readyOf(envelope);
      const outcome = await partition.accept(ready, this.#context.topics.control, next, consumer);
      this.#logger.info({ ...about, attempt: ready.attempt, message_id: ready.message_id, outcome }, 'READY');
      return 'committed';
    } catch (error) {
      if (error instanceof StreamError && !error.retriable) {
        this.#logger.error({ ...about, code: error.code, err: error }, 'READY refused');
        return 'passed';
      }
      if (error instanceof KafkaError && error.fatal) throw error;
      if (!(error instanceof KafkaError) && !(error instanceof StreamError)) throw error;
      this.#logger.warn({ ...about, err: error }, 'READY not accepted yet, trying again');
      return 'retry';
    }
  }

  /** Reads a record again, after a moment. A partition that is gone meanwhile is read by its new owner. */
  async #rewind(partition: number, offset: number, consumer: Consumer): Promise<void> {
    const { topics, timeoutMs } = this.#context;
    await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
    await consumer
      .seek([{ topic: topics.control, partition, offset }], timeoutMs)
      .catch((error: unknown) => this.#logger.warn({ err: error, partition }, 'seek failed'));
  }

  #move(partition: number, step: () => Promise<void>): void {
    const before = this.#moving.get(partition) ?? Promise.resolve();
    const moving = before.then(step).catch((error: unknown) => {
      this.#fatal ??= error instanceof Error ? error : new Error(String(error));
    });
    this.#moving.set(partition, moving);
    void moving.then(() => {
      if (this.#moving.get(partition) === moving) this.#moving.delete(partition);
    });
  }

  async #open(taken: TopicPartition, consumer: Consumer): Promise<void> {
    const { timeoutMs } = this.#context;
    const partition = new ControlPartition({
      context: this.#context,
      partition: taken.partition,
      logger: this.#logger,
      onRunEnded: this.#onRunEnded,
    });
    await partition.open();
    const [committed] = await consumer.committed([taken], timeoutMs);
    const offset = committed!.offset >= 0 ? committed!.offset : OFFSET_BEGINNING;
    this.#partitions.set(taken.partition, partition);
    consumer.incrementalAssign([{ ...taken, offset }]);
  }

  async #give(given: TopicPartition, consumer: Consumer): Promise<void> {
    const partition = this.#partitions.get(given.partition);
    this.#partitions.delete(given.partition);
    await partition?.close();
    consumer.incrementalUnassign([given]);
  }

  async #waitForTopics(consumer: Consumer): Promise<void> {
    const { topics, timeoutMs } = this.#context;
    const needed = [topics.control, topics.ingress, topics.cursors];
    while (!this.#stopping) {
      let missing: string;
      try {
        const counts = await consumer.partitionCounts(needed, timeoutMs);
        const absent = needed.filter((topic) => !counts.has(topic));
        if (absent.length === 0) {
          const [control, , cursors] = needed.map((topic) => counts.get(topic)!);
          if (cursors! < control!) {
            throw new StreamError(
              'CURSOR_INVALID',
              `${topics.cursors} has ${cursors!} partitions, ${topics.control} ${control!}: they must be equal`,
            );
          }
          return;
        }
        missing = `topics ${absent.join(', ')}; npm run topology:apply makes them`;
      } catch (error) {
        if (error instanceof StreamError) throw error;
        missing = (error as Error).message;
      }
      this.#logger.info({ waiting_for: missing }, 'not there yet');
      await new Promise((resolve) => setTimeout(resolve, TOPIC_WAIT_MS));
    }
  }
}
