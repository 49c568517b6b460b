/**
 * Packs receipts, quarantined bytes and the admitted bus records themselves into Parquet segments in the object
 * store: one file per run, topic, partition and 65,536 offsets, under names that follow from them, so that a rebuild
 * names and cuts alike.
 *
 * A segment is written when its offsets are over, when its run has ended, or when nothing has come for a while; one
 * written early is written again, whole, when more has come. Rows are read back from PostgreSQL, in slices, so memory
 * does not grow with the backlog; how far a segment is archived is kept beside its count, so a restart goes on where
 * it was. Archiving waits while the ledger is busy. Bus records are read back from the bus.
 */
import type { Pool, PoolClient } from 'pg';
import type { Bucket, Logger } from '../../../lib/index.ts';
import { runObjects, SEGMENT_OFFSETS } from '../../rails/index.ts';
import { readBusSegment } from '../bus/bus-archive.ts';
import type { PartitionReader } from '../bus/partition-reader.ts';
import type { ParquetFile, ParquetWriter } from './parquet-file.ts';
import { pause } from './pause.ts';
import { QuarantineFile } from './quarantine-file.ts';
import { appendReceipt, RECEIPT_COLUMNS } from './segment-parquet.ts';
import { forgetRaw, readSlice, segmentKey, snapshot, type Segment } from './segment-rows.ts';

export type SegmentKind = 'receipts' | 'quarantine' | 'eb';

/** Hears of what is written, for metrics. */
export interface ArchiveObserver {
  wrote(kind: SegmentKind): void;
  /** Seconds that all files of a segment took. */
  took(seconds: number): void;
  /** Admitted records that retention deleted from the bus before they were archived. */
  missed(records: number): void;
}

export interface SegmentArchiverOptions {
  readonly pool: Pool;
  readonly bucket: Bucket;
  readonly bus: PartitionReader;
  readonly parquet: ParquetWriter;
  readonly logger: Logger;
  readonly observer: ArchiveObserver;
  /** Milliseconds since the ledger last had records. */
  readonly ledgerIdleMs: () => number;
  /** A segment that nothing was added to for this long is written though it is not over. Default 30,000. */
  readonly idleFlushMs?: number;
}

interface ReadSegment {
  readonly receipts: ParquetFile;
  /** Undefined when nothing of the segment was quarantined. */
  readonly quarantine: QuarantineFile | undefined;
  /** Of the bus records that its receipts admit, in order. */
  readonly offsets: ReadonlySet<number>;
  readonly records: number;
  /** No record can be added to it any more. */
  readonly over: boolean;
}

const TURN_MS = 500;
const RETRY_MS = 5_000;
/** The ledger counts as busy until it has had nothing to do for this long. */
const BUSY_MS = 1_000;
/** A segment that is due goes first even so once it has waited this long. */
const MOST_DEFERRED_MS = 60_000;
/** Offsets read from PostgreSQL at once. */
const SLICE_OFFSETS = 4096;
/** Runs that have ended and may still have segments to write; the idle flush catches what is forgotten. */
const MOST_ENDED = 1_000;

export class SegmentArchiver {
  readonly #options: SegmentArchiverOptions;
  readonly #ended = new Set<string>();

  constructor(options: SegmentArchiverOptions) {
    this.#options = options;
  }

  /** The run's stream has ended: its segments are due as soon as no more is coming. */
  runEnded(platformRunId: string): void {
    if (this.#ended.size >= MOST_ENDED) this.#ended.clear();
    this.#ended.add(platformRunId);
  }

  /** Works until `signal` aborts. Errors are logged and the segment is tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const { logger } = this.#options;
    while (!signal.aborted) {
      let worked = false;
      try {
        worked = await this.archiveNext(this.#options.ledgerIdleMs() < BUSY_MS ? MOST_DEFERRED_MS : 0);
      } catch (error) {
        logger.warn({ reason: String(error) }, 'a segment could not be archived: trying again');
        await pause(RETRY_MS, signal);
      }
      if (!worked) await pause(TURN_MS, signal);
    }
  }

  /**
   * Archives one segment that is due and has been so for `deferredMs`. False when there is none. Instances share the
   * work: each takes a segment that no other holds.
   */
  async archiveNext(deferredMs = 0): Promise<boolean> {
    const client = await this.#options.pool.connect();
    let broken = true;
    try {
      const worked = await this.#archiveOneOf(client, await this.#due(client, deferredMs));
      broken = false;
      return worked;
    } finally {
      client.release(broken);
    }
  }

  async #due(client: PoolClient, deferredMs: number): Promise<Segment[]> {
    const { idleFlushMs = 30_000 } = this.#options;
    const { rows } = await client.query<{ run: string; topic: string; partition: number; segment: string }>(
      `select s.platform_run_id as run, s.topic, s.partition, s.segment
       from receipt_segments s join ledger_positions p on p.topic = s.topic and p.partition = s.partition
       where s.archived_records < s.records
         and s.touched_at <= now() - $4 * interval '1 millisecond'
         and (p.next >= (s.segment + 1) * $1
           or s.touched_at < now() - $2 * interval '1 millisecond'
           or (s.platform_run_id = any($3) and s.touched_at < now() - interval '1 second'))
       order by s.touched_at limit 16`,
      [SEGMENT_OFFSETS, idleFlushMs, [...this.#ended], deferredMs],
    );
    return rows.map((row) => ({ ...row, segment: Number(row.segment) }));
  }

  async #archiveOneOf(client: PoolClient, segments: readonly Segment[]): Promise<boolean> {
    for (const segment of segments) {
      const name = `receipt_segment ${segment.run} ${segment.topic} ${segment.partition} ${segment.segment}`;
      const { rows } = await client.query<{ locked: boolean }>(
        'select pg_try_advisory_lock(hashtextextended($1, 0)) as locked',
        [name],
      );
      if (rows[0]?.locked !== true) continue;
      try {
        await this.#archive(client, segment);
      } finally {
        await client.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name]);
      }
      return true;
    }
    return false;
  }

  async #archive(client: PoolClient, segment: Segment): Promise<void> {
    const { bucket, logger, observer } = this.#options;
    const began = performance.now();
    const { receipts, quarantine, offsets, records, over } = await snapshot(client, () =>
      this.#readSegment(client, segment),
    );
    try {
      const key = segmentKey('receipts', segment);
      const { bytes } = await bucket.putFile(key, await receipts.finish(), PARQUET);
      observer.wrote('receipts');
      if (quarantine !== undefined) {
        await bucket.putFile(segmentKey('quarantine', segment), await quarantine.finish(), PARQUET);
        observer.wrote('quarantine');
      }
      if (offsets.size > 0) await this.#archiveBus(segment, offsets);
      await client.query(
        `update receipt_segments set archived_records = $5
         where platform_run_id = $1 and topic = $2 and partition = $3 and segment = $4 and archived_records < $5`,
        [segment.run, segment.topic, segment.partition, segment.segment, records],
      );
      if (over && quarantine !== undefined) await forgetRaw(client, segment);
      observer.took((performance.now() - began) / 1000);
      logger.info({ key, records, bytes, quarantined: quarantine?.rows ?? 0 }, 'segment archived');
    } finally {
      await receipts.discard();
      await quarantine?.discard();
    }
  }

  /** The records that the segment's receipts admit, as they stand on the bus. */
  async #archiveBus(segment: Segment, offsets: ReadonlySet<number>): Promise<void> {
    const { bucket, bus, parquet, logger, observer } = this.#options;
    const { topic, partition } = segment;
    const key = runObjects(segment.run).eb(topic, partition, segment.segment);
    // In the order of their insertion, which is that of the offsets.
    const all = [...offsets];
    const [first, last] = [all[0]!, all[all.length - 1]!];
    const { file, logStart } = await readBusSegment(bus, parquet, { topic, partition, first, last }, offsets);
    try {
      const missing = offsets.size - file.rows;
      if (missing > 0) {
        if (logStart <= first)
          throw new Error(`${missing} records of ${key} are not on the bus: not archived`);
        observer.missed(missing);
        logger.error(
          { key, missing, logStart },
          'records were deleted by retention before they were archived: an archive that exists is kept',
        );
        if (file.rows === 0 || (await bucket.find(key)) !== undefined) return;
      }
      await bucket.putFile(key, await file.finish(), PARQUET);
      observer.wrote('eb');
    } finally {
      await file.discard();
    }
  }

  async #readSegment(client: PoolClient, segment: Segment): Promise<ReadSegment> {
    const { parquet } = this.#options;
    const { rows } = await client.query<{ records: string; over: boolean }>(
      `select s.records, p.next >= (s.segment + 1) * $5 as over
       from receipt_segments s join ledger_positions p on p.topic = s.topic and p.partition = s.partition
       where s.platform_run_id = $1 and s.topic = $2 and s.partition = $3 and s.segment = $4`,
      [segment.run, segment.topic, segment.partition, segment.segment, SEGMENT_OFFSETS],
    );
    const records = Number(rows[0]?.records ?? 0);
    const receipts = await parquet.file(RECEIPT_COLUMNS);
    const offsets = new Set<number>();
    let quarantine: QuarantineFile | undefined;
    try {
      const first = segment.segment * SEGMENT_OFFSETS;
      for (let from = first; from < first + SEGMENT_OFFSETS; from += SLICE_OFFSETS) {
        for (const row of await readSlice(client, segment, from, from + SLICE_OFFSETS)) {
          appendReceipt(receipts, row);
          if (row.decision === 'ADMIT') offsets.add(Number(row.record_offset));
          if (row.decision !== 'QUARANTINE') continue;
          quarantine ??= await QuarantineFile.create();
          await quarantine.append(row);
        }
        if (receipts.rows === records) break;
      }
      if (receipts.rows !== records) {
        throw new Error(
          `segment ${segmentKey('receipts', segment)} counts ${records} records, ${receipts.rows} were found: not archived`,
        );
      }
    } catch (error) {
      await receipts.discard();
      await quarantine?.discard();
      throw error;
    }
    return { receipts, quarantine, offsets, records, over: rows[0]?.over === true };
  }
}

const PARQUET = { contentType: 'application/vnd.apache.parquet' };
