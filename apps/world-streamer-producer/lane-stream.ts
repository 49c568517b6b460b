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
  type FidelitySummary,
  type Pacer,
  type Producer,
} from '../../lib/index.ts';
import { epochMillisToMicros, outputDefinition, type Partitioning, type StopReason } from '../rails/index.ts';
import { PartitionKeyCache } from './partition-key-cache.ts';
import { partitionKeyColumn } from './partition-key-column.ts';
import { RowEncoder } from './row-encoder.ts';
import type { OutputProgress, RunCursor } from './run-cursor.ts';
import { appendFact, streamFact, type StreamFactType } from './stream-facts.ts';
import { StreamTransaction } from './stream-transaction.ts';
import type { VerifiedWorld } from './world-verification.ts';

export interface LaneStreamOptions {
  readonly cursor: RunCursor;
  readonly world: VerifiedWorld;
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
/** The least milliseconds between two fillings: rows that fall due within them go together. */
const COALESCE_MS = 4;
/** Rows between two looks at the clock while rows are behind their schedule. */
const CLOCK_ROWS = 64;
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
  #stopping: 'stop' | 'drain' | 'cancel' | null = null;

  constructor(options: LaneStreamOptions) {
    this.#options = options;
    const { cursor, world, pacer } = options;
    const progress = new Map(cursor.outputs.map((output) => [output.output_id, output]));
    const before = world.views.map((view) => progress.get(view.outputId));
    this.#merge = new TimeMerge(
      world.views.map((view, rank) => {
        const from = before[rank];
        return new PartedSource({
          name: view.outputId,
          rank,
          timeColumn: 'ts_utc',
          partCount: view.partCount,
          openPart: (index) => view.openPart(index),
          ...(from === undefined ? {} : { from: { part: from.part, row: from.row } }),
        });
      }),
    );
    const keys = new PartitionKeyCache(options.ingressPartitions);
    this.#encoders = world.views.map((view) => this.#encoder(view.outputId, keys));
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
      onIdle: () => {
        pacer.wake();
      },
    });
  }

  /** Ends after the batch in hand, with the cursor where it stands: the next owner goes on. */
  stop(): void {
    this.#stopping ??= 'stop';
    this.#options.pacer.wake();
  }
  /**
   * Ends for good once every event of the moment being sent (its event time) is out, so that no anchor stays without
   * the events beside it; what is left of that moment goes out without pacing, even while paused.
   */
  drain(): void {
    this.#stopping ??= 'drain';
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

  /** How late events entered the outgoing transaction, and how late they were handed to the producer. */
  fidelity(): { readonly entered: FidelitySummary; readonly handed_over: FidelitySummary } {
    return {
      entered: this.#options.pacer.fidelity.summary(),
      handed_over: this.#transaction.handOverFidelity.summary(),
    };
  }

  async #run(): Promise<RunCursor> {
    const { pacer } = this.#options;
    const transaction = this.#transaction;
    if (this.#options.cursor.state === 'ACCEPTED')
      this.#appendFact('stream.started', this.#cursor('STREAMING'));
    for (;;) {
      transaction.check();
      const filledAt = pacer.now();
      const ending = this.#stopping === 'stop' || this.#stopping === 'cancel';
      const pause = ending ? END : this.#fill();
      if (pause.kind === 'end') return await this.#end();
      const filled = transaction.batch.count > 0;
      const open = !Number.isNaN(transaction.openedAt);
      // Waiting for rows may take long, and an open transaction must not.
      const commit =
        (filled || open) &&
        (pause.kind === 'load' ||
          transaction.records + transaction.batch.count >= MAX_TRANSACTION_RECORDS ||
          transaction.bytes + transaction.batch.bytes >= MAX_TRANSACTION_BYTES ||
          performance.now() - transaction.openedAt >= MAX_TRANSACTION_MS);
      // Rows that are due enter the next batch while the last one is on its way: it is never waited for before the
      // batch is full, and its end wakes the sleep below.
      if ((filled || commit) && (transaction.idle || pause.kind !== 'wait')) {
        await this.#handOver(commit ? this.#cursor('STREAMING') : null);
      }
      if (pause.kind === 'load') {
        await this.#merge.load();
        this.#startPacing();
      } else if (pause.kind === 'wait') {
        await pacer.sleepUntil(Math.min(Math.max(pause.untilMs, filledAt + COALESCE_MS), this.#commitAt()));
      }
    }
  }

  /** When the open transaction must be committed; Infinity when there is none, or when its end is awaited anyway. */
  #commitAt(): number {
    const { openedAt, idle } = this.#transaction;
    return Number.isNaN(openedAt) || !idle ? Infinity : openedAt + MAX_TRANSACTION_MS;
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
    let untilClock = CLOCK_ROWS;
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
      let due = now;
      if (this.#stopping === 'drain') {
        if (source.time !== this.#streamTime) return END;
      } else {
        due = pacer.dueAt(source.time, now);
        untilClock -= 1;
        if (due > now || untilClock === 0) {
          now = pacer.now();
          untilClock = CLOCK_ROWS;
          due = pacer.dueAt(source.time, now);
          if (due > now) return { kind: 'wait', untilMs: due };
        }
      }
      const encoder = this.#encoders[index]!;
      encoder.bind(source.batch);
      const { row } = source;
      if (laneCount === 1 || encoder.partition(row) % laneCount === lane) {
        if (scheduled) {
          dueTimes[batch.count] = due;
          pacer.fidelity.record(now - due);
        }
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
    if (this.#stopping === 'drain') return 'drained';
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
