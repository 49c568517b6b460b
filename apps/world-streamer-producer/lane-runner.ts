/**
 * Runs one lane of one run until it has ended, whatever happens on the way: fences older owners, resumes from the
 * cursor, verifies the world, streams, and tries again what may succeed later.
 */
import {
  KafkaError,
  ObjectStoreError,
  OutgoingBatch,
  Pacer,
  partitionOf,
  ReplayError,
  SchemaRegistryError,
  transactionalProducerDefaults,
  type CompiledSchema,
  type Logger,
  type Producer,
} from '../../lib/index.ts';
import { epochMillisToMicros } from '../rails/index.ts';
import { crashPoint } from './crash-point.ts';
import type { CursorLog } from './cursor-log.ts';
import { LaneStream } from './lane-stream.ts';
import { cursorKey, encodeRunCursor, isFinished, transactionalId, type RunCursor } from './run-cursor.ts';
import type { Ready } from './ready.ts';
import type { RunControl } from './run-control.ts';
import { appendFact, STREAM_FACT_TYPES, streamFact } from './stream-facts.ts';
import { StreamError } from './stream-error.ts';
import { commit } from './stream-transaction.ts';
import type { StreamerContext } from './streamer-context.ts';
import { verifyWorld } from './world-verification.ts';

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 30_000;

export interface LaneRunnerOptions {
  readonly context: StreamerContext;
  readonly log: CursorLog;
  readonly logger: Logger;
  /** The cursor as it was accepted or found. */
  readonly cursor: RunCursor;
}

/** The lane's transactional producer has been fenced: another instance runs it. */
export class LaneFenced extends Error {
  override readonly name = 'LaneFenced';
}

export class LaneRunner {
  readonly #options: LaneRunnerOptions;
  readonly #logger: Logger;
  readonly #stopped = new AbortController();
  /** Ends the wait between two tries. */
  readonly #retry = new AbortController();
  #limitedTo: number | null = null;
  readonly #pacer: Pacer;
  #stream: LaneStream | null = null;
  #control: RunControl;

  constructor(options: LaneRunnerOptions) {
    this.#options = options;
    const { context, cursor } = options;
    const { ready, lane } = cursor;
    this.#logger = options.logger.child({
      platform_run_id: ready.platform_run_id,
      scenario_run_id: ready.scenario_run_id,
      attempt: ready.attempt,
      lane,
    });
    this.#pacer = new Pacer({ speedup: cursor.options.speedup, ...context.pacing });
    this.#control = options.log.control(ready);
    this.#obey(this.#control);
  }

  /** The key of the lane's cursor. */
  get key(): string {
    return cursorKey(this.#options.cursor);
  }
  /** The READY it streams. */
  get ready(): Ready {
    return this.#options.cursor.ready;
  }
  /** No row is due, because an operator wants it so. */
  get paused(): boolean {
    return this.#pacer.paused;
  }

  /** Gives the lane up after the batch in hand; `run` then resolves with the cursor where it stands. */
  stop(): void {
    this.#stopped.abort();
    this.#stream?.stop();
  }

  /** Does what operators want from now on; `control` must be of this run and attempt. */
  obey(control: RunControl): void {
    if (control.command_id === this.#control.command_id) return;
    this.#logger.info(
      {
        command_id: control.command_id,
        paused: control.paused,
        speedup: control.speedup,
        target_eps: control.target_eps,
        end: control.end,
      },
      'command',
    );
    this.#obey(control);
    this.#control = control;
  }

  #obey(control: RunControl): void {
    const { speedup, target_eps: eps, paused, end } = control;
    if (speedup !== null && speedup !== this.#pacer.speedup) this.#pacer.throttle(speedup);
    if (eps !== null && eps !== this.#limitedTo) {
      this.#limitedTo = eps;
      this.#pacer.limitRate(eps);
    }
    if (paused) this.#pacer.pause();
    else this.#pacer.resume();
    if (end === null) return;
    if (this.#stream === null) this.#retry.abort();
    else if (end === 'drain') this.#stream.drain();
    else this.#stream.cancel();
  }

  /** Resolves with the last committed cursor: finished, or as it stood when stopped. Rejects with LaneFenced. */
  async run(): Promise<RunCursor> {
    let cursor = this.#options.cursor;
    let refusal: StreamError | null = null;
    for (let tries = 0; ; tries += 1) {
      if (this.#stopped.signal.aborted) return cursor;
      const producer = this.#options.context.client.createProducer({
        ...transactionalProducerDefaults,
        ...this.#options.context.kafkaConfig,
        'transactional.id': transactionalId(cursor),
      });
      try {
        cursor = await this.#own(producer);
        if (isFinished(cursor)) return cursor;
        if (refusal !== null) return await this.#fail(producer, cursor, refusal);
        if (this.#control.end !== null) return await this.#endUnstreamed(producer, cursor);
        return await this.#attempt(producer, cursor);
      } catch (error) {
        const failure = streamFailure(error);
        if (failure === null) throw new LaneFenced((error as Error).message, { cause: error });
        if (!failure.retriable) {
          // Told by a producer of its own: this one may be in the middle of a transaction.
          refusal = failure;
          continue;
        }
        const delayMs = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** tries) * (0.75 + Math.random() / 2);
        this.#logger.warn(
          { code: failure.code, err: error, retry_in_ms: Math.round(delayMs) },
          'stream failed, retrying',
        );
        await interruptibleSleep(delayMs, AbortSignal.any([this.#stopped.signal, this.#retry.signal]));
      } finally {
        this.#stream = null;
        await producer.close(this.#options.context.timeoutMs).catch((error: unknown) => {
          this.#logger.warn({ err: error }, 'closing the producer failed');
        });
      }
    }
  }

  /** Fences older owners of the lane, then reads what they have committed. */
  async #own(producer: Producer): Promise<RunCursor> {
    const { context, log, cursor } = this.#options;
    await producer.initTransactions(context.timeoutMs);
    crashPoint('wsp.run.fenced');
    await log.catchUp('end', context.timeoutMs);
    return log.get(cursorKey(cursor)) ?? cursor;
  }

  async #attempt(producer: Producer, cursor: RunCursor): Promise<RunCursor> {
    const { context, log } = this.#options;
    const world = await verifyWorld(cursor.ready, {
      store: context.store,
      producerId: context.producerId,
      producerAllowlist: context.producerAllowlist,
    });
    const schemas = await this.#schemas(world.views.map((view) => view.outputId));
    const ingressPartitions = await producer.partitionCount(context.topics.ingress, context.timeoutMs);
    crashPoint('wsp.run.verified');
    this.#logger.info({ options: cursor.options, from: cursor.outputs }, 'streaming');
    const stream = new LaneStream({
      cursor,
      world,
      producer,
      pacer: this.#pacer,
      partitioning: context.partitioning,
      schemas,
      ingressTopic: context.topics.ingress,
      ingressPartitions,
      cursorTopic: context.topics.cursors,
      cursorPartition: log.partition,
      producerId: context.producerId,
      schemaVersion: context.schemaVersion,
      timeoutMs: context.timeoutMs,
      ...(context.progressEvery === undefined ? {} : { progressEvery: context.progressEvery }),
      ...(context.onCursor === undefined ? {} : { onCursor: context.onCursor }),
    });
    this.#stream = stream;
    if (this.#control.end === 'drain') stream.drain();
    else if (this.#control.end === 'cancel') stream.cancel();
    if (this.#stopped.signal.aborted) stream.stop();
    const begun = performance.now();
    const ended = await stream.run();
    const sent = ended.outputs.reduce((sum, output) => sum + output.sent, 0);
    this.#logger.info(
      {
        state: ended.state,
        stop_reason: ended.stop_reason,
        outputs: ended.outputs.map(({ output_id, read, sent: each }) => ({ output_id, read, sent: each })),
        sent,
        seconds: Number(((performance.now() - begun) / 1000).toFixed(3)),
        fidelity: stream.fidelity(),
      },
      'stream ended',
    );
    return ended;
  }

  async #schemas(outputIds: readonly string[]): Promise<Map<string, CompiledSchema>> {
    const { context } = this.#options;
    const schemas = new Map<string, CompiledSchema>();
    for (const eventType of [...outputIds, ...STREAM_FACT_TYPES]) {
      schemas.set(eventType, await context.schemas.schemaFor(`${context.topics.ingress}-${eventType}`));
    }
    return schemas;
  }

  /** Ends a run that an operator has ended before it was streamed here. */
  #endUnstreamed(producer: Producer, cursor: RunCursor): Promise<RunCursor> {
    const cancelled = this.#control.end === 'cancel';
    return this.#tellEnd(producer, 'stream.completed', {
      ...cursor,
      state: cancelled ? 'CANCELLED' : 'COMPLETED',
      ended_at_utc: epochMillisToMicros(),
      stop_reason: cancelled ? 'cancelled' : 'drained',
    });
  }

  #fail(producer: Producer, cursor: RunCursor, failure: StreamError): Promise<RunCursor> {
    this.#logger.error({ code: failure.code, err: failure }, 'run refused');
    return this.#tellEnd(producer, 'stream.failed', {
      ...cursor,
      state: 'FAILED',
      ended_at_utc: epochMillisToMicros(),
      failure: { code: failure.code, message: failure.message },
    });
  }

  /** The last cursor and its fact in one transaction. */
  async #tellEnd(
    producer: Producer,
    type: 'stream.completed' | 'stream.failed',
    ended: RunCursor,
  ): Promise<RunCursor> {
    const { context, log } = this.#options;
    const { ingress, cursors } = context.topics;
    const schema = await context.schemas.schemaFor(`${ingress}-${type}`);
    const partitions = await producer.partitionCount(ingress, context.timeoutMs);
    const batch = new OutgoingBatch(2);
    appendFact(
      streamFact(type, ended, context.producerId),
      schema,
      ingress,
      (key) => partitionOf(key, 0, key.length, partitions),
      batch,
    );
    batch.add({
      topic: cursors,
      partition: log.partition,
      key: cursorKey(ended),
      value: encodeRunCursor(ended),
    });
    producer.beginTransaction();
    await producer.produce(batch);
    await commit(producer, context.timeoutMs);
    return ended;
  }
}

/** The failure as the component names it; null when the producer was fenced. */
function streamFailure(error: unknown): StreamError | null {
  if (error instanceof StreamError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const as = (code: StreamError['code']): StreamError => new StreamError(code, message, { cause: error });
  if (error instanceof KafkaError)
    return /FENCED|INVALID_PRODUCER_EPOCH/.test(error.codeName) ? null : as('KAFKA_UNAVAILABLE');
  if (error instanceof ObjectStoreError)
    return as(error.retriable ? 'OBJECT_STORE_UNAVAILABLE' : 'STREAM_VIEW_UNREADABLE');
  if (error instanceof SchemaRegistryError) return as('SCHEMA_REGISTRY_UNAVAILABLE');
  if (error instanceof ReplayError)
    return as(error.code === 'CURSOR_INVALID' ? 'CURSOR_INVALID' : 'STREAM_VIEW_UNREADABLE');
  return as('STREAM_FAILED');
}

async function interruptibleSleep(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });
}
