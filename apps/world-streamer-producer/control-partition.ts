/**
 * The runs that one partition of the control topic brings: accepted in one transaction each, resumed when the partition
 * is taken over, executed attempt by attempt.
 */
import { transactionalProducerDefaults, type Consumer, type Logger, type Producer } from '../../lib/index.ts';
import { epochMillisToMicros } from '../rails/index.ts';
import { crashPoint } from './crash-point.ts';
import { CursorLog } from './cursor-log.ts';
import { LaneFenced, LaneRunner } from './lane-runner.ts';
import type { Ready } from './ready.ts';
import { cursorKey, encodeRunCursor, isFinished, type RunCursor } from './run-cursor.ts';
import { commit } from './stream-transaction.ts';
import { streamOptions, type StreamerContext } from './streamer-context.ts';

export interface ControlPartitionOptions {
  readonly context: StreamerContext;
  readonly partition: number;
  readonly logger: Logger;
  /** Told when all lanes of an attempt have ended in this process. */
  readonly onRunEnded: (cursors: readonly RunCursor[]) => void;
}

export type Acceptance = 'ACCEPTED' | 'SKIPPED_DUPLICATE' | 'SKIPPED_SUPERSEDED';

export class ControlPartition {
  readonly partition: number;
  readonly #options: ControlPartitionOptions;
  readonly #log: CursorLog;
  readonly #intake: Producer;
  readonly #runners = new Set<LaneRunner>();
  /** Attempts of one run go one after the other, since they share their transactional ids. */
  readonly #lastOfRun = new Map<string, Promise<void>>();
  /** Highest attempt known by run. */
  readonly #attempts = new Map<string, number>();
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

  /** Fences the partition's older owner and takes its unfinished runs over. */
  async open(): Promise<void> {
    const { context } = this.#options;
    await this.#intake.initTransactions(context.timeoutMs);
    // Up to the last stable offset: behind it lie runs whose own producers must be fenced first, which their lanes do.
    await this.#log.catchUp('stable', context.timeoutMs);
    const unfinished = new Map<string, RunCursor[]>();
    for (const cursor of this.#log.cursors.values()) {
      this.#noteAttempt(cursor.ready);
      if (isFinished(cursor)) continue;
      const attempt = `${runKey(cursor.ready)}|${cursor.ready.attempt}`;
      unfinished.set(attempt, [...(unfinished.get(attempt) ?? []), cursor]);
    }
    const attempts = [...unfinished.values()].sort((a, b) => a[0]!.ready.attempt - b[0]!.ready.attempt);
    for (const cursors of attempts) this.#execute(cursors);
  }

  /** Accepts a READY: its cursors and `nextOffset` in one transaction. The caller retries on a KafkaError. */
  async accept(ready: Ready, topic: string, nextOffset: number, consumer: Consumer): Promise<Acceptance> {
    const { context } = this.#options;
    crashPoint('wsp.accept.received');
    // What a dead owner left behind may be in the log by now, though it was not when the partition was opened.
    await this.#log.catchUp('end', context.timeoutMs);
    const cursors = this.#newCursors(ready);
    const outcome = this.#acceptance(ready, cursors);
    this.#intake.beginTransaction();
    try {
      if (outcome === 'ACCEPTED') {
        const batch = context.newBatch();
        for (const cursor of cursors) {
          batch.add({
            topic: context.topics.cursors,
            partition: this.partition,
            key: cursorKey(cursor),
            value: encodeRunCursor(cursor),
          });
        }
        await this.#intake.produce(batch);
      }
      const offset = { topic, partition: this.partition, offset: nextOffset };
      await this.#intake.sendOffsets([offset], consumer, context.timeoutMs);
      crashPoint('wsp.accept.produced');
      await commit(this.#intake, context.timeoutMs);
    } catch (error) {
      await this.#intake.abortTransaction(context.timeoutMs).catch(() => undefined);
      throw error;
    }
    crashPoint('wsp.accept.committed');
    if (outcome === 'ACCEPTED') {
      this.#noteAttempt(ready);
      this.#execute(cursors);
    }
    return outcome;
  }

  /** Every lane that is running here. */
  get runners(): ReadonlySet<LaneRunner> {
    return this.#runners;
  }

  /** Stops all lanes after the batch in hand and lets everything go. */
  async close(): Promise<void> {
    this.#stopped = true;
    for (const runner of this.#runners) runner.stop();
    await Promise.all(this.#lastOfRun.values());
    await this.#log.close();
    await this.#intake.close(this.#options.context.timeoutMs);
  }

  #newCursors(ready: Ready): RunCursor[] {
    const { context } = this.#options;
    return Array.from({ length: context.laneCount }, (_, lane) => ({
      version: 1,
      state: 'ACCEPTED',
      ready,
      lane,
      lane_count: context.laneCount,
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

  #acceptance(ready: Ready, cursors: readonly RunCursor[]): Acceptance {
    if (cursors.some((cursor) => this.#log.get(cursorKey(cursor)) !== undefined)) return 'SKIPPED_DUPLICATE';
    return ready.attempt < (this.#attempts.get(runKey(ready)) ?? 0) ? 'SKIPPED_SUPERSEDED' : 'ACCEPTED';
  }

  #noteAttempt(ready: Ready): void {
    const key = runKey(ready);
    this.#attempts.set(key, Math.max(this.#attempts.get(key) ?? 0, ready.attempt));
  }

  #execute(cursors: readonly RunCursor[]): void {
    const key = runKey(cursors[0]!.ready);
    const before = this.#lastOfRun.get(key) ?? Promise.resolve();
    const running = before.then(() => this.#runLanes(cursors));
    this.#lastOfRun.set(key, running);
    void running.then(() => {
      if (this.#lastOfRun.get(key) === running) this.#lastOfRun.delete(key);
    });
  }

  /** Never rejects: what cannot be helped is logged, and the cursor says where the run stands. */
  async #runLanes(cursors: readonly RunCursor[]): Promise<void> {
    if (this.#stopped) return;
    const { context, logger, onRunEnded } = this.#options;
    const lanes = cursors.map((cursor) => new LaneRunner({ context, log: this.#log, logger, cursor }));
    const ended = await Promise.all(
      lanes.map(async (runner) => {
        this.#runners.add(runner);
        try {
          return await runner.run();
        } catch (error) {
          const what =
            error instanceof LaneFenced ? 'the lane was taken over by another instance' : 'the lane was lost';
          logger.error({ err: error, partition: this.partition }, what);
          return null;
        } finally {
          this.#runners.delete(runner);
        }
      }),
    );
    if (ended.every((cursor) => cursor !== null && isFinished(cursor))) onRunEnded(ended as RunCursor[]);
  }
}

function runKey(ready: Ready): string {
  return `${ready.platform_run_id}|${ready.scenario_run_id}`;
}
