/**
 * The receipt ledger: tails the three bus topics and the outcomes topic, and gives every record of theirs a row.
 *
 * One thread of control: poll, encode into the batch being filled, and hand that batch to PostgreSQL whenever the
 * previous one is written. Backlog stays in Kafka: when PostgreSQL is slower, or away, the loop stops taking records.
 */
import type { Pool } from 'pg';
import {
  NotReady,
  RecordBatch,
  SerdeError,
  type Consumer,
  type ConsumerEvent,
  type Logger,
  type TopicPartition,
} from '../../../lib/index.ts';
import { AdmittedRecordReader } from './admitted-record.ts';
import { LedgerError } from './ledger-error.ts';
import type { LedgerMetrics } from './ledger-metrics.ts';
import type { OutcomeRecordReader } from './outcome-record.ts';
import { partitionName, readPositions } from './positions.ts';
import { ReceiptBatch } from './receipt-batch.ts';
import type { ReceiptWriter } from './receipt-writer.ts';

export interface ReceiptLedgerOptions {
  readonly consumer: Consumer;
  readonly pool: Pool;
  readonly writer: ReceiptWriter;
  readonly admitted: AdmittedRecordReader;
  readonly outcomes: OutcomeRecordReader;
  readonly busTopics: readonly string[];
  readonly outcomesTopic: string;
  readonly logger: Logger;
  readonly metrics: LedgerMetrics;
  /** Called when records have come: other work may use the machine while they don't. */
  readonly busy?: () => void;
  /** Stop by itself once it owns this many partitions and has written all of them up to their ends. */
  readonly untilEndOf?: number;
  /** Rows at which a batch is written at once. Default 20,000. */
  readonly batchRows?: number;
  /** Bytes at which a batch is written at once. Default 16 MiB. */
  readonly batchBytes?: number;
  /** Milliseconds that a record waits for others before its batch is written. Default 100. */
  readonly lingerMs?: number;
}

/** What the ledger knows of a partition it is assigned. */
interface OwnedPartition extends TopicPartition {
  /** Offset after the last record encoded: where the next slice begins. */
  next: number;
  /** Its next record waits for a schema. */
  blocked: boolean;
  /** Everything up to the log's end has been encoded, as of the last poll. */
  atEnd: boolean;
}

const POLL_WAIT_MS = 100;
const CALL_TIMEOUT_MS = 10_000;
/** A writer busy for longer than this is waited for with the partitions paused, so that polling goes on. */
const WRITER_PATIENCE_MS = 5_000;
const REVOKE_PATIENCE_MS = 5_000;
const RETRY_FIRST_MS = 250;
const RETRY_MOST_MS = 5_000;

export class ReceiptLedger {
  readonly #options: ReceiptLedgerOptions;
  readonly #consumer: Consumer;
  readonly #records = new RecordBatch({ maxRecords: 8192, slabBytes: 8 * 1024 * 1024 });
  readonly #owned = new Map<string, OwnedPartition>();
  #filling = new ReceiptBatch();
  #spare = new ReceiptBatch();
  #writing: Promise<void> | undefined;
  #paused = false;
  #stopping = false;
  #failure: Error | undefined;

  constructor(options: ReceiptLedgerOptions) {
    this.#options = options;
    this.#consumer = options.consumer;
  }

  /** Runs until `signal` aborts, then finishes what is begun. Rejects with what makes going on pointless. */
  async run(signal: AbortSignal): Promise<void> {
    this.#consumer.subscribe([...this.#options.busTopics, this.#options.outcomesTopic]);
    try {
      while (!signal.aborted && this.#failure === undefined && !this.#caughtUp) await this.#turn();
    } finally {
      this.#stopping = true;
      await this.#finish();
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #turn(): Promise<void> {
    const count = this.#consumer.poll(this.#records);
    const events = this.#consumer.takeEvents();
    for (const event of events) await this.#handle(event);
    if (count > 0) {
      await this.#encode(count);
      this.#options.busy?.();
    }
    for (const event of events) if (event.type === 'end') this.#reachedEnd(event);
    this.#writeIfDue();
    if (this.#full && this.#writing !== undefined) {
      await this.#waitForWriter();
    } else if (count === 0) {
      await this.#consumer.wait(this.#filling.rows > 0 ? 10 : POLL_WAIT_MS);
    }
  }

  #reachedEnd({ topic, partition }: TopicPartition): void {
    const owned = this.#owned.get(partitionName(topic, partition));
    if (owned !== undefined) owned.atEnd = !owned.blocked;
  }

  get #caughtUp(): boolean {
    if (this.#owned.size !== this.#options.untilEndOf) return false;
    return [...this.#owned.values()].every((owned) => owned.atEnd);
  }

  get #full(): boolean {
    const { batchRows = 20_000, batchBytes = 16 * 1024 * 1024 } = this.#options;
    return this.#filling.rows >= batchRows || this.#filling.bytes >= batchBytes;
  }

  async #encode(count: number): Promise<void> {
    const records = this.#records;
    let topic = -1;
    let partition = -1;
    let owned: OwnedPartition | undefined;
    let name = '';
    let isBus = true;
    const blocked: { readonly owned: OwnedPartition; readonly cause: NotReady }[] = [];
    if (this.#filling.rows === 0) this.#filling.startedAt = performance.now();
    for (let i = 0; i < count; i += 1) {
      if (records.topic[i] !== topic || records.partition[i] !== partition) {
        topic = records.topic[i]!;
        partition = records.partition[i]!;
        name = this.#consumer.topicName(topic);
        isBus = name !== this.#options.outcomesTopic;
        owned = this.#owned.get(partitionName(name, partition));
      }
      const offset = records.offset[i]!;
      // Fetched before the partition was given away or moved: not ours, or had already.
      if (owned === undefined || owned.blocked || offset < owned.next) continue;
      const slice = this.#filling.slice(name, partition, owned.next);
      try {
        if (isBus) this.#options.admitted.read(records, i, slice);
        else this.#options.outcomes.read(records, i, slice);
      } catch (error) {
        if (error instanceof NotReady) {
          owned.blocked = true;
          owned.atEnd = false;
          blocked.push({ owned, cause: error });
          continue;
        }
        if (!(error instanceof LedgerError) && !(error instanceof SerdeError) && !isDecisionError(error))
          throw error;
        slice.unreadable.push({ offset, reason: error.message.slice(0, 500) });
        this.#options.metrics.unreadable.inc({ topic: name });
        this.#options.logger.error(
          { topic: name, partition, offset, reason: error.message },
          'a record the ledger cannot read: it is kept under unreadable_records',
        );
      }
      slice.next = offset + 1;
      owned.next = offset + 1;
    }
    for (const { owned: each, cause } of blocked) await this.#waitForSchema(each, cause);
  }

  /** Goes back to the record and leaves its partition alone until the schema is there; the others go on. */
  async #waitForSchema(owned: OwnedPartition, cause: NotReady): Promise<void> {
    const { logger } = this.#options;
    const partition = { topic: owned.topic, partition: owned.partition };
    this.#consumer.pause([partition]);
    await this.#consumer.seek([{ ...partition, offset: owned.next }], CALL_TIMEOUT_MS);
    logger.info({ ...partition, offset: owned.next }, cause.message);
    cause.ready.then(
      () => this.#unblock(owned),
      (error: unknown) => {
        logger.warn(
          { ...partition, reason: String(error) },
          'the schema registry did not answer: trying again',
        );
        setTimeout(() => this.#unblock(owned), RETRY_FIRST_MS).unref();
      },
    );
  }

  #unblock(owned: OwnedPartition): void {
    owned.blocked = false;
    if (
      this.#stopping ||
      this.#paused ||
      this.#owned.get(partitionName(owned.topic, owned.partition)) !== owned
    )
      return;
    this.#consumer.resume([{ topic: owned.topic, partition: owned.partition }]);
  }

  #writeIfDue(): void {
    const batch = this.#filling;
    if (this.#writing !== undefined || batch.filled().length === 0) return;
    const { lingerMs = 100 } = this.#options;
    if (!this.#full && performance.now() - batch.startedAt < lingerMs) return;
    this.#startWrite();
  }

  #startWrite(): void {
    const batch = this.#filling;
    this.#filling = this.#spare;
    this.#spare = batch;
    this.#writing = this.#write(batch)
      .catch((error: unknown) => {
        this.#failure ??= error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        batch.clear();
        this.#writing = undefined;
      });
  }

  /** Writes a batch, again and again while PostgreSQL is away; then commits the group's offsets, for lag only. */
  async #write(batch: ReceiptBatch): Promise<void> {
    const { writer, metrics, logger } = this.#options;
    const began = performance.now();
    for (let delay = RETRY_FIRST_MS; ; delay = Math.min(delay * 2, RETRY_MOST_MS)) {
      try {
        const { rows, lost } = await writer.write(batch);
        metrics.rows.inc(rows);
        metrics.batchSeconds.observe((performance.now() - began) / 1000);
        if (lost.length > 0) await this.#reread(lost);
        break;
      } catch (error) {
        if (!isPassing(error)) {
          throw new LedgerError('BATCH_REFUSED', `PostgreSQL refused a batch: ${(error as Error).message}`, {
            cause: error,
          });
        }
        if (this.#stopping) {
          logger.warn(
            { reason: String(error) },
            'stopping with a batch unwritten: its records will be read again',
          );
          return;
        }
        metrics.retries.inc();
        logger.warn(
          { reason: String(error), delayMs: delay },
          'PostgreSQL is not taking receipts: trying again',
        );
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
    const offsets = batch
      .filled()
      .filter((slice) => this.#owned.has(slice.name))
      .map((slice) => ({ topic: slice.topic, partition: slice.partition, offset: slice.next }));
    if (offsets.length === 0) return;
    await this.#consumer.commit(offsets).catch((error: unknown) => {
      logger.debug({ reason: String(error) }, 'group offsets not committed (they only show lag)');
    });
  }

  /** Another owner has moved these partitions on: what is buffered of them is stale. Continue where the database is. */
  async #reread(names: readonly string[]): Promise<void> {
    const { metrics, logger } = this.#options;
    metrics.fenced.inc(names.length);
    logger.warn(
      { partitions: names },
      'another owner has written these partitions: dropped what was buffered of them',
    );
    const partitions = names.map((name) => this.#owned.get(name)).filter((each) => each !== undefined);
    for (const owned of partitions) {
      owned.blocked = true;
      owned.atEnd = false;
    }
    const positions = await this.#positions(partitions);
    for (const owned of partitions) {
      const name = partitionName(owned.topic, owned.partition);
      this.#filling.drop(name);
      if (this.#owned.get(name) !== owned) continue;
      const next = positions.get(name)!;
      await this.#consumer.seek(
        [{ topic: owned.topic, partition: owned.partition, offset: next }],
        CALL_TIMEOUT_MS,
      );
      this.#filling.drop(name);
      owned.next = next;
      owned.blocked = false;
    }
  }

  async #waitForWriter(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<'busy'>((resolve) => {
      timer = setTimeout(resolve, this.#paused ? POLL_WAIT_MS : WRITER_PATIENCE_MS, 'busy');
    });
    const outcome = await Promise.race([this.#writing, patience]);
    clearTimeout(timer);
    if (outcome === 'busy' && !this.#paused) {
      // Keep polling for membership, but take nothing more.
      this.#consumer.pause(this.#consumer.assignment());
      this.#paused = true;
    } else if (outcome !== 'busy' && this.#paused) {
      this.#paused = false;
      const ready = [...this.#owned.values()].filter((owned) => !owned.blocked);
      this.#consumer.resume(ready.map(({ topic, partition }) => ({ topic, partition })));
    }
  }

  async #handle(event: ConsumerEvent): Promise<void> {
    const { logger } = this.#options;
    switch (event.type) {
      case 'assigned':
        await this.#assign(event.partitions);
        break;
      case 'revoked':
        // A batch in flight is let finish so that the next owner finds its positions; the fence covers the rest.
        await withinMs(this.#writing, REVOKE_PATIENCE_MS);
        this.#disown(event.partitions);
        break;
      case 'lost':
        this.#disown(event.partitions);
        break;
      case 'error':
        if (event.error.fatal) throw event.error;
        logger.warn({ reason: event.error.message }, 'Kafka client');
        break;
      case 'end':
      case 'statistics':
        break;
    }
  }

  async #assign(partitions: readonly TopicPartition[]): Promise<void> {
    if (partitions.length === 0) {
      this.#consumer.incrementalAssign([]);
      return;
    }
    const positions = await this.#positions(partitions);
    const watermarks = await this.#consumer.watermarks(partitions, 'read_uncommitted', CALL_TIMEOUT_MS);
    const starts = watermarks.map(({ topic, partition, low, high }) => {
      const position = positions.get(partitionName(topic, partition))!;
      if (position > high) {
        throw new LedgerError(
          'POSITION_BEYOND_LOG_END',
          `the ledger stands at offset ${position} of ${topic}/${partition}, whose end is ${high}: the topic was ` +
            'made anew while the database was not. Delete its rows from ledger_positions to read it from its start',
        );
      }
      if (position > 0 && position < low) {
        this.#options.metrics.missed.inc(low - position);
        this.#options.logger.error(
          { topic, partition, position, logStart: low },
          'records were deleted by retention before the ledger read them: their receipts are missing',
        );
      }
      return { topic, partition, position, offset: Math.max(position, low) };
    });
    for (const { topic, partition, position } of starts) {
      this.#owned.set(partitionName(topic, partition), {
        topic,
        partition,
        next: position,
        blocked: false,
        atEnd: false,
      });
    }
    this.#consumer.incrementalAssign(
      starts.map(({ topic, partition, offset }) => ({ topic, partition, offset })),
    );
    if (this.#paused) this.#consumer.pause(partitions);
    this.#options.logger.info(
      { partitions: starts.map((each) => partitionName(each.topic, each.partition)) },
      'assigned',
    );
  }

  #disown(partitions: readonly TopicPartition[]): void {
    for (const { topic, partition } of partitions) {
      const name = partitionName(topic, partition);
      this.#owned.delete(name);
      this.#filling.drop(name);
    }
    this.#consumer.incrementalUnassign(partitions);
    this.#options.logger.info(
      { partitions: partitions.map((each) => partitionName(each.topic, each.partition)) },
      'given up',
    );
  }

  /** Positions from PostgreSQL, waiting for it as long as it takes. */
  async #positions(partitions: readonly TopicPartition[]): Promise<Map<string, number>> {
    for (let delay = RETRY_FIRST_MS; ; delay = Math.min(delay * 2, RETRY_MOST_MS)) {
      try {
        const client = await this.#options.pool.connect();
        try {
          return await readPositions(client, partitions);
        } finally {
          client.release();
        }
      } catch (error) {
        if (!isPassing(error) || this.#stopping) throw error;
        this.#options.logger.warn(
          { reason: String(error) },
          'PostgreSQL does not tell the positions: trying again',
        );
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
  }

  async #finish(): Promise<void> {
    await this.#writing;
    if (this.#failure === undefined && this.#filling.filled().length > 0) {
      this.#startWrite();
      await this.#writing;
    }
    await this.#consumer.close();
  }
}

function isDecisionError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'DecisionHeaderError';
}

/**
 * Whether trying again may help: the connection failed, or PostgreSQL is starting, stopping, short of resources, or
 * rolled the transaction back; a missing partition or kind is made again by the next attempt.
 */
export function isPassing(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (typeof code !== 'string') return typeof message === 'string' && /connection|timeout/i.test(message);
  if (/^E[A-Z]{3,}/.test(code)) return true;
  return /^(08|40|53|55|57|58)/.test(code) || code === '23503' || code === '23514';
}

async function withinMs(work: Promise<unknown> | undefined, ms: number): Promise<void> {
  if (work === undefined) return;
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}
