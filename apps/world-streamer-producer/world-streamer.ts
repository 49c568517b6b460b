/**
 * The service: a member of the streamer's consumer group on the control topic. It polls all the time; READY is accepted
 * here, runs go on beside it, and partitions come and go with the group.
 */
import {
  consumerDefaults,
  KafkaError,
  OFFSET_BEGINNING,
  RecordBatch,
  SchemaRegistryError,
  type Consumer,
  type Logger,
  type TopicPartition,
} from '../../lib/index.ts';
import type { Envelope, RunReadyPayload, StreamCommandPayload } from '../rails/index.ts';
import { readControlHistory } from './control-history.ts';
import { ControlPartition, type ControlOffset } from './control-partition.ts';
import { ControlRecordReader } from './control-record.ts';
import type { LaneRunner } from './lane-runner.ts';
import { readyOf } from './ready.ts';
import type { RunCursor } from './run-cursor.ts';
import { StreamError } from './stream-error.ts';
import { refusalFact } from './stream-facts.ts';
import type { StreamerContext } from './streamer-context.ts';

const POLL_WAIT_MS = 200;
const TOPIC_WAIT_MS = 2000;
const ACCEPT_RETRY_MS = 500;

export class WorldStreamer {
  readonly #context: StreamerContext;
  readonly #logger: Logger;
  readonly #reader: ControlRecordReader;
  readonly #onLaneEnded: (cursor: RunCursor) => void;
  readonly #partitions = new Map<number, ControlPartition>();
  /** Answers to the group, one after the other: each is one call for all the partitions it asks about. */
  #moving: Promise<void> = Promise.resolve();
  #partitionCount = 0;
  #stopping = false;
  #fatal: Error | null = null;

  constructor(
    context: StreamerContext,
    logger: Logger,
    /** Told when a lane of a run has ended for good in this process. */
    onLaneEnded: (cursor: RunCursor) => void = () => undefined,
  ) {
    this.#context = context;
    this.#logger = logger;
    this.#reader = new ControlRecordReader(context.schemas, logger, () => this.#stopping);
    this.#onLaneEnded = onLaneEnded;
  }

  /** Every lane running in this process. */
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
      await this.#moving;
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
            this.#move(() => this.#open(event.partitions, consumer));
            break;
          case 'revoked':
          case 'lost':
            this.#move(() => this.#give(event.partitions, consumer));
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
      const envelope = await this.#reader.read(batch, i);
      const at: ControlOffset = { topic: this.#context.topics.control, offset: next, consumer };
      const outcome = envelope === null ? 'passed' : await this.#take(envelope, partition, at);
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

  /** `committed`: the offset went with what the fact asks for. `passed`: it is left behind. `retry`: read it again. */
  async #take(
    envelope: Envelope,
    partition: ControlPartition,
    at: ControlOffset,
  ): Promise<'committed' | 'passed' | 'retry'> {
    if (envelope.event_type !== 'run.ready' && envelope.event_type !== 'stream.command') return 'passed';
    const about = { platform_run_id: envelope.platform_run_id, scenario_run_id: envelope.scenario_run_id };
    try {
      if (envelope.event_type === 'run.ready') await this.#takeReady(envelope, partition, at, about);
      else {
        const command = envelope.payload as unknown as StreamCommandPayload;
        const control = await partition.command(command, envelope, at);
        this.#logger.info({ ...about, command: command.command, actor: command.actor, control }, 'COMMAND');
      }
      return 'committed';
    } catch (error) {
      if (error instanceof StreamError && !error.retriable) {
        this.#logger.error({ ...about, code: error.code, err: error }, `${envelope.event_type} refused`);
        return 'passed';
      }
      if (error instanceof KafkaError && error.fatal) throw error;
      if (!(
        error instanceof KafkaError ||
        error instanceof StreamError ||
        error instanceof SchemaRegistryError
      ))
        throw error;
      this.#logger.warn({ ...about, err: error }, `${envelope.event_type} not taken yet, trying again`);
      return 'retry';
    }
  }

  async #takeReady(
    envelope: Envelope,
    partition: ControlPartition,
    at: ControlOffset,
    about: object,
  ): Promise<void> {
    let ready;
    try {
      ready = readyOf(envelope);
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      this.#logger.error({ ...about, code: error.code, err: error }, 'READY refused');
      const payload = envelope.payload as unknown as RunReadyPayload;
      await partition.refuse(refusalFact(envelope, payload, error, this.#context.producerId), at);
      return;
    }
    const outcome = await partition.accept(ready, at);
    this.#logger.info({ ...about, attempt: ready.attempt, message_id: ready.message_id, outcome }, 'READY');
  }

  /** Reads a record again, after a moment. A partition that is gone meanwhile is read by its new owner. */
  async #rewind(partition: number, offset: number, consumer: Consumer): Promise<void> {
    const { topics, timeoutMs } = this.#context;
    await new Promise((resolve) => setTimeout(resolve, ACCEPT_RETRY_MS));
    await consumer
      .seek([{ topic: topics.control, partition, offset }], timeoutMs)
      .catch((error: unknown) => this.#logger.warn({ err: error, partition }, 'seek failed'));
  }

  #move(step: () => Promise<void>): void {
    this.#moving = this.#moving.then(step).catch((error: unknown) => {
      this.#fatal ??= error instanceof Error ? error : new Error(String(error));
    });
  }

  async #open(taken: readonly TopicPartition[], consumer: Consumer): Promise<void> {
    const committed = await consumer.committed(taken, this.#context.timeoutMs);
    await Promise.all(committed.map(({ partition, offset }) => this.#openPartition(partition, offset)));
    consumer.incrementalAssign(
      committed.map(({ topic, partition, offset }) => ({
        topic,
        partition,
        offset: offset >= 0 ? offset : OFFSET_BEGINNING,
      })),
    );
  }

  /** @param committed the group's offset; negative when there is none */
  async #openPartition(number: number, committed: number): Promise<void> {
    const { client, kafkaConfig, topics, timeoutMs } = this.#context;
    const partition = new ControlPartition({
      context: this.#context,
      partition: number,
      partitionCount: this.#partitionCount,
      logger: this.#logger,
      onLaneEnded: this.#onLaneEnded,
    });
    const history = { client, kafkaConfig, topic: topics.control, partition: number, timeoutMs };
    const asked = await readControlHistory({ ...history, reader: this.#reader }, committed);
    await partition.open(asked);
    this.#partitions.set(number, partition);
  }

  /** A group that was answered for a part of what it takes back would wait for the rest. */
  async #give(given: readonly TopicPartition[], consumer: Consumer): Promise<void> {
    await Promise.all(
      given.map(async ({ partition: number }) => {
        const partition = this.#partitions.get(number);
        this.#partitions.delete(number);
        await partition?.close();
      }),
    );
    consumer.incrementalUnassign(given);
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
          this.#partitionCount = control!;
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
