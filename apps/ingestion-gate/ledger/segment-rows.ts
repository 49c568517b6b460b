/** A segment's receipts as they come back from PostgreSQL, and the segment's place in the object store. */
import type { PoolClient } from 'pg';
import { runObjects, SEGMENT_OFFSETS } from '../../rails/index.ts';
import type { SegmentRow } from './segment-parquet.ts';

export interface Segment {
  /** Empty for records that name no run. */
  readonly run: string;
  readonly topic: string;
  readonly partition: number;
  readonly segment: number;
}

/** Key of a segment in the platform's bucket; the view's `ledger_segment_key` says the same. */
export function segmentKey(folder: 'receipts' | 'quarantine', segment: Segment): string {
  const { run, topic, partition } = segment;
  if (run !== '') return runObjects(run).ig[folder](topic, partition, segment.segment);
  const number = String(segment.segment).padStart(12, '0');
  return `unattributed/ig/${folder}/topic=${topic}/partition=${partition}/segment-${number}.parquet`;
}

/** One consistent view of rows, counts and positions. */
export async function snapshot<T>(client: PoolClient, work: () => Promise<T>): Promise<T> {
  await client.query('begin transaction isolation level repeatable read, read only');
  try {
    return await work();
  } finally {
    await client.query('commit');
  }
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

export async function readSlice(
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
export async function forgetRaw(client: PoolClient, segment: Segment): Promise<void> {
  const first = segment.segment * SEGMENT_OFFSETS;
  await client.query(
    `update outcome_receipts r set raw = null from receipt_kinds k
     where k.kind = r.kind and k.record_topic = $2 and r.record_partition = $3 and r.record_offset >= $4
       and r.record_offset < $5 and r.raw is not null
       and ${segment.run === '' ? `r.platform_run_id is null and $1 = ''` : 'r.platform_run_id = $1'}`,
    [segment.run, segment.topic, segment.partition, first, first + SEGMENT_OFFSETS],
  );
}
