/**
 * One partition of the control topic, and the same partition number of the cursor topic.
 *
 * READY and commands are taken here, each in one transaction with its offset: what they ask for is written to the cursor
 * topic, lane l of a run next to partition p on partition (p + l) mod count. Whoever owns a partition runs the lanes
 * whose cursors lie on it, so the lanes of one run are spread over the instances of the group, and move with it.
 */
import {
  OutgoingBatch,
  partitionOf,
  transactionalProducerDefaults,
  type Consumer,
  type Logger,
  type Producer,
} from '../../lib/index.ts';
import { epochMillisToMicros, type Envelope, type StreamCommandPayload } from '../rails/index.ts';
import type { RunAsked } from './control-history.ts';
import { crashPoint } from './crash-point.ts';
import { CursorLog } from './cursor-log.ts';
import { LaneFenced, LaneRunner } from './lane-runner.ts';
import type { Ready } from './ready.ts';
import { applyCommand, controlKey, type RunControl } from './run-control.ts';
import { cursorKey, encodeRunCursor, isControl, isFinished, type RunCursor } from './run-cursor.ts';
import { StreamError } from './stream-error.ts';
import { appendFact } from './stream-facts.ts';
import { commit } from './stream-transaction.ts';
import { streamOptions, type StreamerContext } from './streamer-context.ts';

export interface ControlPartitionOptions {
  readonly context: StreamerContext;
  readonly partition: number;
  /** Partitions of the control topic. */
  readonly partitionCount: number;
  readonly logger: Logger;
  /** Told when a lane has ended for good in this process. */
  readonly onLaneEnded: (cursor: RunCursor) => void;
}

export type Acceptance = 'ACCEPTED' | 'SKIPPED_DUPLICATE' | 'SKIPPED_SUPERSEDED';

/** The offset of a control record, to be committed with what it brings. */
export interface ControlOffset {
  readonly topic: string;
  /** The next record's. */
  readonly offset: number;
  readonly consumer: Consumer;
}

export class ControlPartition {
  readonly partition: number;
  readonly #options: ControlPartitionOptions;
  readonly #log: CursorLog;
  readonly #intake: Producer;
  readonly #runners = new Map<string, LaneRunner>();
  /** Attempts of one lane go one after the other, since they share their transactional id. */
  readonly #lastOfLane = new Map<string, Promise<void>>();
  #stopped = false;

  constructor(options: ControlPartitionOptions) {
    this.#options = options;
    this.partition = options.partition;
    const { context, partition } = options;
    this.#log = new CursorLog(context.client, context.kafkaConfig, context.topics.cursors, partition);
    this.#intake = context.client.createProducer({
      ...transactionalProducerDefaults,
      ...context.kafkaConfig,
      'transactional.id': `wsp/intake/${context.group}/${partition}`,
    });
  }

  /**
   * Fences the partition's older owner and takes its unfinished lanes over.
   *
   * @param asked what the control partition asks for below the group's offset: a run of it that has neither ended nor a
   *   cursor has lost it, and is accepted anew; what it had sent already meets its duplicates at the gate
   */
  async open(asked: readonly RunAsked[]): Promise<void> {
    const { context } = this.#options;
    await this.#intake.initTransactions(context.timeoutMs);
    // Up to the last stable offset: behind it lie lanes whose own producers must be fenced first, which running them does.
    await this.#log.catchUp('stable', context.timeoutMs);
    await this.#acceptLost(asked);
    for (const cursor of [...this.#log.cursors.values()].sort((a, b) => a.ready.attempt - b.ready.attempt)) {
      if (!isFinished(cursor)) this.#execute(cursor);
    }
    this.#log.onRecord((record) => {
      this.#follow(record);
    });
  }

  /** Accepts a READY. The caller retries on a KafkaError. */
  async accept(ready: Ready, at: ControlOffset): Promise<Acceptance> {
    const { context } = this.#options;
    crashPoint('wsp.accept.received');
    // What a dead owner left behind may be in the log by now, though it was not when the partition was opened.
    await this.#log.catchUp('end', context.timeoutMs);
    const outcome = this.#acceptance(ready);
    const cursors = outcome === 'ACCEPTED' ? this.#newCursors(ready) : [];
    await this.#commit((batch) => this.#addCursors(cursors, batch), at);
    crashPoint('wsp.accept.committed');
    return outcome;
  }

  /** Answers a READY that cannot be read as one with a stream.failed fact, so that nobody waits for its replay. */
  async refuse(failed: Envelope, at: ControlOffset): Promise<void> {
    const { context } = this.#options;
    const { ingress } = context.topics;
    const schema = await context.schemas.schemaFor(`${ingress}-${failed.event_type}`);
    const partitions = await this.#intake.partitionCount(ingress, context.timeoutMs);
    await this.#commit((batch) => {
      appendFact(failed, schema, ingress, (key) => partitionOf(key, 0, key.length, partitions), batch);
    }, at);
  }

  /**
   * Takes an operator's command. Throws StreamError: COMMAND_RUN_UNKNOWN, COMMAND_TOO_LATE when the only lane of the run
   * has ended, COMMAND_INVALID. The caller retries on a KafkaError.
   */
  async command(command: StreamCommandPayload, envelope: Envelope, at: ControlOffset): Promise<RunControl> {
    await this.#log.catchUp('end', this.#options.context.timeoutMs);
    const cursors = [...this.#log.cursors.values()].filter(
      ({ ready }) =>
        ready.platform_run_id === envelope.platform_run_id &&
        ready.scenario_run_id === envelope.scenario_run_id &&
        (command.attempt === null || ready.attempt === command.attempt),
    );
    const [latest] = cursors.sort((a, b) => b.ready.attempt - a.ready.attempt);
    if (latest === undefined) {
      throw new StreamError(
        'COMMAND_RUN_UNKNOWN',
        `no run ${String(envelope.scenario_run_id)} of ${String(envelope.platform_run_id)} was accepted`,
      );
    }
    if (latest.lane_count === 1 && isFinished(latest)) {
      throw new StreamError('COMMAND_TOO_LATE', `the run is ${latest.state} already`);
    }
    const control = applyCommand(this.#log.control(latest.ready), command);
    await this.#commit((batch) => {
      const partitions = new Set(
        Array.from({ length: latest.lane_count }, (_, lane) => this.#partitionOfLane(lane)),
      );
      for (const partition of partitions) {
        batch.add({
          topic: this.#options.context.topics.cursors,
          partition,
          key: controlKey(control),
          value: JSON.stringify(control),
        });
      }
    }, at);
    return control;
  }

  /** Every lane that is running here. */
  get runners(): Iterable<LaneRunner> {
    return this.#runners.values();
  }

  /** Stops all lanes after the batch in hand and lets everything go. */
  async close(): Promise<void> {
    this.#stopped = true;
    for (const runner of this.#runners.values()) runner.stop();
    await Promise.all(this.#lastOfLane.values());
    await this.#log.close();
    await this.#intake.close(this.#options.context.timeoutMs);
  }

  /** Commits records with an offset, or without one. */
  async #commit(add: (batch: OutgoingBatch) => void, at: ControlOffset | null): Promise<void> {
    const { timeoutMs } = this.#options.context;
    const batch = new OutgoingBatch(16);
    add(batch);
    this.#intake.beginTransaction();
    try {
      await this.#intake.produce(batch);
      if (at !== null) {
        const { topic, offset, consumer } = at;
        await this.#intake.sendOffsets([{ topic, partition: this.partition, offset }], consumer, timeoutMs);
      }
      crashPoint('wsp.accept.produced');
      await commit(this.#intake, timeoutMs);
    } catch (error) {
      await this.#intake.abortTransaction(timeoutMs).catch(() => undefined);
      throw error;
    }
  }

  #addCursors(cursors: readonly RunCursor[], batch: OutgoingBatch): void {
    for (const cursor of cursors) {
      batch.add({
        topic: this.#options.context.topics.cursors,
        partition: this.#partitionOfLane(cursor.lane),
        key: cursorKey(cursor),
        value: encodeRunCursor(cursor),
      });
    }
  }

  /** Lane 0 of a run lies here. */
  #partitionOfLane(lane: number): number {
    return (this.partition + lane) % this.#options.partitionCount;
  }

  #newCursors(ready: Ready, laneCount = this.#options.context.laneCount): RunCursor[] {
    const { context } = this.#options;
    return Array.from({ length: laneCount }, (_, lane) => ({
      version: 1,
      state: 'ACCEPTED',
      ready,
      lane,
      lane_count: laneCount,
      options: streamOptions(context, ready),
      outputs: [],
      progress_facts: 0,
      stream_time_micros: null,
      accepted_at_utc: epochMillisToMicros(),
      started_at_utc: null,
      ended_at_utc: null,
      stop_reason: null,
      failure: null,
    }));
  }

  #acceptance(ready: Ready): Acceptance {
    const known = [...this.#log.cursors.values()].filter(
      (cursor) => cursor.lane === 0 && laneKey(cursor) === laneKey({ ready, lane: 0 }),
    );
    if (known.some((cursor) => cursor.ready.attempt === ready.attempt)) return 'SKIPPED_DUPLICATE';
    return known.some((cursor) => cursor.ready.attempt > ready.attempt) ? 'SKIPPED_SUPERSEDED' : 'ACCEPTED';
  }

  async #acceptLost(asked: readonly RunAsked[]): Promise<void> {
    const { context, logger } = this.#options;
    for (const { ready, laneCount, ended } of asked) {
      const known = [...this.#log.cursors.values()].find(
        (cursor) => cursor.ready.attempt === ready.attempt && laneKey(cursor) === laneKey({ ready, lane: 0 }),
      );
      const cursors = this.#newCursors(ready, laneCount ?? known?.lane_count);
      const lost: RunCursor[] = [];
      for (const cursor of cursors) {
        if (ended.has(cursor.lane) || (await this.#hasCursor(cursor))) continue;
        lost.push(cursor);
      }
      if (lost.length === 0) continue;
      logger.warn(
        {
          platform_run_id: ready.platform_run_id,
          scenario_run_id: ready.scenario_run_id,
          attempt: ready.attempt,
          lanes: lost.map(({ lane }) => lane),
        },
        'the run has lost its cursor: it is streamed again, and what was sent already will be a duplicate',
      );
      await this.#commit((batch) => this.#addCursors(lost, batch), null);
    }
    if (asked.length > 0) await this.#log.catchUp('stable', context.timeoutMs);
  }

  async #hasCursor(cursor: RunCursor): Promise<boolean> {
    const { context } = this.#options;
    const partition = this.#partitionOfLane(cursor.lane);
    if (partition === this.partition && this.#log.get(cursorKey(cursor)) !== undefined) return true;
    // It may lie behind a transaction that is still open; a run whose cursor is there is never begun again.
    const log =
      partition === this.partition
        ? this.#log
        : new CursorLog(context.client, context.kafkaConfig, context.topics.cursors, partition);
    try {
      await log.catchUp('end', context.timeoutMs);
      return log.get(cursorKey(cursor)) !== undefined;
    } finally {
      if (log !== this.#log) await log.close();
    }
  }

  /** What others, or this partition's intake, have written to the log since it was opened. */
  #follow(record: RunCursor | RunControl): void {
    if (this.#stopped) return;
    if (!isControl(record)) {
      if (record.state === 'ACCEPTED' && !this.#runners.has(cursorKey(record))) this.#execute(record);
      return;
    }
    const key = controlKey(record);
    for (const runner of this.#runners.values()) if (controlKey(runner.ready) === key) runner.obey(record);
  }

  #execute(cursor: RunCursor): void {
    const key = laneKey(cursor);
    const before = this.#lastOfLane.get(key) ?? Promise.resolve();
    const running = before.then(() => this.#runLane(cursor));
    this.#lastOfLane.set(key, running);
    void running.then(() => {
      if (this.#lastOfLane.get(key) === running) this.#lastOfLane.delete(key);
    });
  }

  /** Never rejects: what cannot be helped is logged, and the cursor says where the run stands. */
  async #runLane(cursor: RunCursor): Promise<void> {
    if (this.#stopped) return;
    const { context, logger, onLaneEnded } = this.#options;
    const runner = new LaneRunner({ context, log: this.#log, logger, cursor });
    this.#runners.set(runner.key, runner);
    try {
      const ended = await runner.run();
      if (isFinished(ended)) onLaneEnded(ended);
    } catch (error) {
      const what =
        error instanceof LaneFenced ? 'the lane was taken over by another instance' : 'the lane was lost';
      logger.error({ err: error, partition: this.partition }, what);
    } finally {
      this.#runners.delete(runner.key);
    }
  }
}

/** What shares a transactional id. */
function laneKey({ ready, lane }: Pick<RunCursor, 'ready' | 'lane'>): string {
  return `${ready.platform_run_id}|${ready.scenario_run_id}|${lane}`;
}
