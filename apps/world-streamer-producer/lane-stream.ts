/**
 * One lane of one run: merges the views by event time, paces, frames, and hands over batches with their cursor, from
 * where the cursor stands to the end or a cap.
 */
import {
  CapCounter,
  MERGE_END,
  MERGE_WAITING,
  PartedSource,
  partitionOf,
  TimeMerge,
  type CompiledSchema,
  type ObjectStore,
  type Pacer,
  type Producer,
} from '../../lib/index.ts';
import { epochMillisToMicros, outputDefinition, type Partitioning } from '../rails/index.ts';
import { PartitionKeyCache } from './partition-key-cache.ts';
import { partitionKeyColumn } from './partition-key-column.ts';
import { RowEncoder } from './row-encoder.ts';
import type { OutputProgress, RunCursor, StopReason } from './run-cursor.ts';
import { appendFact, streamFact, type StreamFactType } from './stream-facts.ts';
import { StreamTransaction } from './stream-transaction.ts';
import { readPart, type VerifiedWorld } from './world-verification.ts';

export interface LaneStreamOptions {
  readonly cursor: RunCursor;
  readonly world: VerifiedWorld;
  readonly store: ObjectStore;
  /** Has initialised its transactions; used by nobody else meanwhile. */
  readonly producer: Producer;
  readonly pacer: Pacer;
  readonly partitioning: Partitioning;
  /** Schemas by event type: every output and every stream fact. */
  readonly schemas: ReadonlyMap<string, CompiledSchema>;
  readonly ingressTopic: string;
  readonly ingressPartitions: number;
  readonly cursorTopic: string;
  readonly cursorPartition: number;
  readonly producerId: string;
  readonly schemaVersion: string;
  readonly timeoutMs: number;
  /** A progress fact each time this many rows have passed. Default 100000. */
  readonly progressEvery?: number;
  /** Told the cursor of each batch that is handed over for commit. */
  readonly onCursor?: (cursor: RunCursor) => void;
}

/** Bounds of one transaction; whichever comes first. */
const MAX_TRANSACTION_RECORDS = 16_384;
const MAX_TRANSACTION_BYTES = 16 << 20;
const MAX_TRANSACTION_MS = 100;
/** Bounds of one hand-over. */
const MAX_BATCH_RECORDS = 4096;
/** Rows that fall due within this many milliseconds are handed over together. */
const COALESCE_MS = 4;
const DEFAULT_PROGRESS_EVERY = 100_000;

type Pause =
  | { readonly kind: 'full' | 'load' | 'end' }
  /** Nothing is due before this monotonic millisecond. */
  | { readonly kind: 'wait'; readonly untilMs: number };

const FULL: Pause = { kind: 'full' };
const LOAD: Pause = { kind: 'load' };
const END: Pause = { kind: 'end' };

export class LaneStream {
  readonly #options: LaneStreamOptions;
  readonly #merge: TimeMerge<PartedSource>;
  readonly #encoders: readonly RowEncoder[];
  readonly #caps: CapCounter;
  readonly #read: Float64Array;
  readonly #transaction: StreamTransaction;
  readonly #progressEvery: number;
  #progressFacts: number;
  #nextProgress: number;
  #streamTime: number | null;
  #startedAtUtc: string;
  #paced = false;
  #cappedBySource = false;
  #stopping: 'stop' | 'cancel' | null = null;

  constructor(options: LaneStreamOptions) {
    this.#options = options;
    const { cursor, world, pacer } = options;
    const progress = new Map(cursor.outputs.map((output) => [output.output_id, output]));
    const before = world.views.map((view) => progress.get(view.manifest.output_id));
    this.#merge = new TimeMerge(
      world.views.map((view, rank) => {
        const from = before[rank];
        return new PartedSource({
          name: view.manifest.output_id,
          rank,
          timeColumn: 'ts_utc',
          partCount: view.partKeys.length,
          readPart: (index) => readPart(options.store, view, index),
          ...(from === undefined ? {} : { from: { part: from.part, row: from.row } }),
        });
      }),
    );
    const keys = new PartitionKeyCache(options.ingressPartitions);
    this.#encoders = world.views.map((view) => this.#encoder(view.manifest.output_id, keys));
    this.#caps = new CapCounter(
      {
        ...(cursor.options.max_events === null ? {} : { maxEvents: cursor.options.max_events }),
        ...(cursor.options.max_events_per_output === null
          ? {}
          : { maxEventsPerSource: cursor.options.max_events_per_output }),
      },
      before.map((output) => output?.passed ?? 0),
    );
    this.#read = Float64Array.from(before, (output) => output?.read ?? 0);
    this.#progressEvery = options.progressEvery ?? DEFAULT_PROGRESS_EVERY;
    this.#progressFacts = cursor.progress_facts;
    this.#nextProgress = (this.#progressFacts + 1) * this.#progressEvery;
    this.#streamTime = cursor.stream_time_micros;
    this.#startedAtUtc = cursor.started_at_utc ?? epochMillisToMicros();
    this.#transaction = new StreamTransaction({
      producer: options.producer,
      cursorTopic: options.cursorTopic,
      cursorPartition: options.cursorPartition,
      maxRecords: MAX_BATCH_RECORDS,
      timeoutMs: options.timeoutMs,
      fidelity: pacer.fidelity,
    });
  }

  /** Ends after the batch in hand, with the cursor where it stands: the next owner goes on. */
  stop(): void {
    this.#stopping ??= 'stop';
    this.#options.pacer.wake();
  }
  /** Ends after the batch in hand for good, with stream.completed and its reason. */
  cancel(): void {
    this.#stopping = 'cancel';
    this.#options.pacer.wake();
  }

  /**
   * Streams to the end, a cap, `stop` or `cancel`, and resolves with the committed cursor. Rejects with the producer's
   * KafkaError or a StreamError; what was not committed then is as if it had never been sent.
   */
  async run(): Promise<RunCursor> {
    try {
      return await this.#run();
    } catch (error) {
      await this.#transaction.abandon();
      throw error;
    }
  }

  async #run(): Promise<RunCursor> {
    const { pacer } = this.#options;
    const transaction = this.#transaction;
    if (this.#options.cursor.state === 'ACCEPTED')
      this.#appendFact('stream.started', this.#cursor('STREAMING'));
    for (;;) {
      const pause = this.#stopping === null ? this.#fill() : END;
      if (pause.kind === 'end') return await this.#end();
      if (transaction.batch.count > 0 || !Number.isNaN(transaction.openedAt)) {
        // Waiting for a part may take long, and an open transaction must not.
        const full =
          pause.kind === 'load' ||
          transaction.records + transaction.batch.count >= MAX_TRANSACTION_RECORDS ||
          transaction.bytes + transaction.batch.bytes >= MAX_TRANSACTION_BYTES ||
          performance.now() - transaction.openedAt >= MAX_TRANSACTION_MS;
        if (full || transaction.batch.count > 0)
          await this.#handOver(full ? this.#cursor('STREAMING') : null);
      }
      if (pause.kind === 'load') {
        await this.#merge.load();
        this.#startPacing();
      } else if (pause.kind === 'wait') {
        // An open transaction must not outlive its bound while nothing is due.
        const commitAt = Number.isNaN(transaction.openedAt)
          ? Infinity
          : transaction.openedAt + MAX_TRANSACTION_MS;
        await pacer.sleepUntil(Math.min(pause.untilMs + COALESCE_MS, commitAt));
      }
    }
  }

  /** The clock starts at the first row of this process, wherever the cursor stood. */
  #startPacing(): void {
    const first = this.#merge.peek();
    if (this.#paced || first < 0) return;
    this.#options.pacer.start(this.#merge.sources[first]!.time);
    this.#paced = true;
  }

  /** Fills the batch with rows that are due, in merged order, until it is full or something must be waited for. */
  #fill(): Pause {
    const { pacer, cursor, ingressTopic } = this.#options;
    const { lane, lane_count: laneCount } = cursor;
    const { batch, due: dueTimes } = this.#transaction;
    const merge = this.#merge;
    const caps = this.#caps;
    const topic = batch.topicIndex(ingressTopic);
    const scheduled = pacer.speedup > 0;
    let now = pacer.now();
    while (batch.count < MAX_BATCH_RECORDS) {
      const index = merge.peek();
      if (index === MERGE_END || caps.reached) return END;
      if (index === MERGE_WAITING) return LOAD;
      const source = merge.sources[index]!;
      if (caps.reachedBy(index)) {
        this.#cappedBySource = true;
        source.close();
        merge.dropCurrent();
        continue;
      }
      const due = pacer.dueAt(source.time, now);
      if (due > now) {
        now = pacer.now();
        const again = pacer.dueAt(source.time, now);
        if (again > now) return { kind: 'wait', untilMs: again };
      }
      const encoder = this.#encoders[index]!;
      encoder.bind(source.batch);
      const { row } = source;
      if (laneCount === 1 || encoder.partition(row) % laneCount === lane) {
        if (scheduled) dueTimes[batch.count] = due;
        encoder.encode(row, batch, topic);
        this.#read[index] = this.#read[index]! + 1;
      }
      pacer.taken();
      caps.take(index);
      this.#streamTime = source.time;
      merge.advance();
      if (caps.total >= this.#nextProgress) this.#appendProgress();
    }
    return FULL;
  }

  async #end(): Promise<RunCursor> {
    const finished = this.#stopping !== 'stop';
    const cursor: RunCursor = finished
      ? {
          ...this.#cursor(this.#stopping === 'cancel' ? 'CANCELLED' : 'COMPLETED'),
          ended_at_utc: epochMillisToMicros(),
          stop_reason: this.#stopReason(),
        }
      : this.#cursor('STREAMING');
    if (finished) this.#appendFact('stream.completed', cursor);
    await this.#handOver(cursor);
    await this.#transaction.settled();
    return cursor;
  }

  #stopReason(): StopReason {
    if (this.#stopping === 'cancel') return 'cancelled';
    if (this.#caps.reached) return 'max_events';
    return this.#cappedBySource ? 'max_events_per_output' : 'end_of_view';
  }

  async #handOver(cursor: RunCursor | null): Promise<void> {
    await this.#transaction.handOver(cursor);
    if (cursor !== null) this.#options.onCursor?.(cursor);
  }

  #appendProgress(): void {
    this.#progressFacts += 1;
    this.#nextProgress += this.#progressEvery;
    this.#appendFact('stream.progress', this.#cursor('STREAMING'));
  }

  #appendFact(type: StreamFactType, cursor: RunCursor): void {
    const { schemas, ingressTopic, ingressPartitions, producerId } = this.#options;
    appendFact(
      streamFact(type, cursor, producerId),
      schemas.get(type)!,
      ingressTopic,
      (key) => partitionOf(key, 0, key.length, ingressPartitions),
      this.#transaction.batch,
    );
  }

  #cursor(state: RunCursor['state']): RunCursor {
    return {
      ...this.#options.cursor,
      state,
      outputs: this.#merge.sources.map((source, index): OutputProgress => {
        const read = this.#read[index]!;
        return {
          output_id: source.name,
          ...source.position,
          passed: this.#caps.taken(index),
          read,
          sent: read,
        };
      }),
      progress_facts: this.#progressFacts,
      stream_time_micros: this.#streamTime,
      started_at_utc: this.#startedAtUtc,
    };
  }

  #encoder(outputId: string, keys: PartitionKeyCache): RowEncoder {
    const { cursor, partitioning, schemas, producerId, schemaVersion } = this.#options;
    const { ready } = cursor;
    const output = outputDefinition(outputId);
    return new RowEncoder({
      output,
      schema: schemas.get(outputId)!,
      keys,
      keyColumn: partitionKeyColumn(output, partitioning.profileOf(outputId)),
      envelope: {
        event_type: outputId,
        ...ready.world,
        run_id: ready.pack.engine_run_id,
        platform_run_id: ready.platform_run_id,
        scenario_run_id: ready.scenario_run_id,
        schema_version: schemaVersion,
        emitted_at_utc: null,
        producer: producerId,
        trace_id: ready.pack.oracle_pack_id,
        span_id: ready.pack.engine_release,
        parent_event_id: null,
      },
    });
  }
}
