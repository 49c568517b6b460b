/**
 * Packs receipts into Parquet segments in the object store: one file per run, topic, partition and 65,536 offsets,
 * under names that follow from them, so that a rebuild names and cuts alike.
 *
 * A segment is written when its offsets are over, when its run has ended, or when nothing has come for a while; one
 * written early is written again, whole, when more has come. Rows are read back from PostgreSQL, in slices, so memory
 * does not grow with the backlog; how far a segment is archived is kept beside its count, so a restart goes on where
 * it was. Archiving waits while the ledger is busy.
 */
import type { Pool, PoolClient } from 'pg';
import type { Bucket, Logger } from '../../../lib/index.ts';
import { runObjects, SEGMENT_OFFSETS } from '../../rails/index.ts';
import type { LedgerMetrics } from './ledger-metrics.ts';
import { pause } from './pause.ts';
import { SegmentFile, type SegmentRow } from './segment-parquet.ts';

export interface SegmentArchiverOptions {
  readonly pool: Pool;
  readonly bucket: Bucket;
  readonly logger: Logger;
  readonly metrics: LedgerMetrics;
  /** Milliseconds since the ledger last had records. */
  readonly ledgerIdleMs: () => number;
  /** A segment that nothing was added to for this long is written though it is not over. Default 30,000. */
  readonly idleFlushMs?: number;
}

interface Segment {
  /** Empty for records that name no run. */
  readonly run: string;
  readonly topic: string;
  readonly partition: number;
  readonly segment: number;
}

const TURN_MS = 500;
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
    const { bucket, logger, metrics } = this.#options;
    const began = performance.now();
    const { receipts, quarantine, records, over } = await snapshot(client, () =>
      readSegment(client, segment),
    );
    const content = await receipts.close();
    const key = segmentKey('receipts', segment);
    await bucket.put(key, content, { contentType: 'application/vnd.apache.parquet' });
    metrics.segments.inc({ kind: 'receipts' });
    if (quarantine !== undefined) {
      await bucket.put(segmentKey('quarantine', segment), await quarantine.close(), {
        contentType: 'application/vnd.apache.parquet',
      });
      metrics.segments.inc({ kind: 'quarantine' });
    }
    await client.query(
      `update receipt_segments set archived_records = $5
       where platform_run_id = $1 and topic = $2 and partition = $3 and segment = $4 and archived_records < $5`,
      [segment.run, segment.topic, segment.partition, segment.segment, records],
    );
    if (over && quarantine !== undefined) await forgetRaw(client, segment);
    metrics.segmentSeconds.observe((performance.now() - began) / 1000);
    logger.info(
      { key, records, bytes: content.length, quarantined: quarantine?.rows ?? 0 },
      'segment archived',
    );
  }
}

/** Key of a segment in the platform's bucket; the view's `ledger_segment_key` says the same. */
export function segmentKey(folder: 'receipts' | 'quarantine', segment: Segment): string {
  const { run, topic, partition } = segment;
  if (run !== '') return runObjects(run).ig[folder](topic, partition, segment.segment);
  const number = String(segment.segment).padStart(12, '0');
  return `unattributed/ig/${folder}/topic=${topic}/partition=${partition}/segment-${number}.parquet`;
}

/** One consistent view of rows, counts and positions. */
async function snapshot<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('begin transaction isolation level repeatable read, read only');
  try {
    return await work();
  } finally {
    await client.query('commit');
  }
}

interface ReadSegment {
  readonly receipts: SegmentFile;
  /** Undefined when nothing of the segment was quarantined. */
  readonly quarantine: SegmentFile | undefined;
  readonly records: number;
  /** No record can be added to it any more. */
  readonly over: boolean;
}

async function readSegment(client: PoolClient, segment: Segment): Promise<ReadSegment> {
  const { rows } = await client.query<{ records: string; over: boolean }>(
    `select s.records, p.next >= (s.segment + 1) * $5 as over
     from receipt_segments s join ledger_positions p on p.topic = s.topic and p.partition = s.partition
     where s.platform_run_id = $1 and s.topic = $2 and s.partition = $3 and s.segment = $4`,
    [segment.run, segment.topic, segment.partition, segment.segment, SEGMENT_OFFSETS],
  );
  const records = Number(rows[0]?.records ?? 0);
  const receipts = await SegmentFile.receipts();
  let quarantine: SegmentFile | undefined;
  const first = segment.segment * SEGMENT_OFFSETS;
  for (let from = first; from < first + SEGMENT_OFFSETS; from += SLICE_OFFSETS) {
    for (const row of await readSlice(client, segment, from, from + SLICE_OFFSETS)) {
      await receipts.append(row);
      if (row.decision !== 'QUARANTINE') continue;
      quarantine ??= await SegmentFile.quarantine();
      await quarantine.append(row);
    }
    // Let the ledger take its turn.
    await new Promise((resolve) => setImmediate(resolve));
    if (receipts.rows === records) break;
  }
  if (receipts.rows !== records) {
    throw new Error(
      `segment ${segmentKey('receipts', segment)} counts ${records} records, ${receipts.rows} were found: not archived`,
    );
  }
  return { receipts, quarantine, records, over: rows[0]?.over === true };
}

const COMMON = `
  ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset) as receipt_id,
  r.platform_run_id, k.scenario_run_id, coalesce(r.event_text, encode(r.event_digest, 'hex')) as event_id,
  k.event_type, k.event_class, k.decision, to_json(k.reason_codes)::text as reason_codes, k.record_topic,
  r.record_partition::text as record_partition, r.record_offset::text as record_offset,
  r.record_offset as record_order,
  to_char(r.decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as decided_at_utc,
  encode(r.partition_key, 'hex') as partition_key, encode(r.payload_hash, 'hex') as payload_hash,
  ledger_dedupe_key(r.platform_run_id, k.event_class, coalesce(r.event_text, encode(r.event_digest, 'hex'))) as dedupe_key,
  k.partitioning_profile_id, k.policy_id, k.policy_revision, k.ingress_topic,
  r.ingress_partition::text as ingress_partition, r.ingress_offset::text as ingress_offset`;

const OF_SEGMENT = `
  join receipt_kinds k on k.kind = r.kind
  where k.record_topic = $2 and r.record_partition = $3 and r.record_offset >= $4 and r.record_offset < $5`;

const SLICE_OF_RUN = `
  select ${COMMON}, null as original_ingress_partition, null as original_ingress_offset, '[]' as evidence,
    null::bytea as raw
  from admitted_receipts r ${OF_SEGMENT} and r.platform_run_id = $1
  union all
  select ${COMMON}, r.original_partition::text, r.original_offset::text, coalesce(r.evidence, '[]')::text, r.raw
  from outcome_receipts r ${OF_SEGMENT} and r.platform_run_id = $1
  order by record_order`;

const SLICE_WITHOUT_RUN = `
  select ${COMMON}, r.original_partition::text as original_ingress_partition,
    r.original_offset::text as original_ingress_offset, coalesce(r.evidence, '[]')::text as evidence, r.raw
  from outcome_receipts r ${OF_SEGMENT} and r.platform_run_id is null and $1 = ''
  order by r.record_offset`;

async function readSlice(
  client: PoolClient,
  segment: Segment,
  from: number,
  to: number,
): Promise<SegmentRow[]> {
  const { rows } = await client.query<SegmentRow>(segment.run === '' ? SLICE_WITHOUT_RUN : SLICE_OF_RUN, [
    segment.run,
    segment.topic,
    segment.partition,
    from,
    to,
  ]);
  return rows;
}

/** The packed segment has the bytes now. */
async function forgetRaw(client: PoolClient, segment: Segment): Promise<void> {
  const first = segment.segment * SEGMENT_OFFSETS;
  await client.query(
    `update outcome_receipts r set raw = null from receipt_kinds k
     where k.kind = r.kind and k.record_topic = $2 and r.record_partition = $3 and r.record_offset >= $4
       and r.record_offset < $5 and r.raw is not null
       and ${segment.run === '' ? `r.platform_run_id is null and $1 = ''` : 'r.platform_run_id = $1'}`,
    [segment.run, segment.topic, segment.partition, first, first + SEGMENT_OFFSETS],
  );
}
