/** Receipts out of the ledger by any of their names: the look-up of the front door and of `fp gate receipts`. */
import type { ClientBase, Pool } from 'pg';
import { epochMillisToMicros, type Decision } from '../../rails/index.ts';

/** At least one of the first four; `platform_run_id` narrows them. */
export interface ReceiptQuery {
  readonly receipt_id?: string;
  readonly event_id?: string;
  /** 64 hex digits. */
  readonly dedupe_key?: string;
  /** Where the record entered. */
  readonly ingress?: { readonly topic: string; readonly partition: number; readonly offset: number };
  readonly platform_run_id?: string;
}

export interface LedgerReceipt {
  readonly receipt_id: string;
  readonly decision: Decision;
  readonly reason_codes: readonly string[];
  readonly event_id: string | null;
  readonly event_type: string | null;
  readonly event_class: string | null;
  readonly platform_run_id: string | null;
  readonly scenario_run_id: string | null;
  readonly payload_hash: string | null;
  readonly dedupe_key: string | null;
  readonly partition_key: string | null;
  readonly partitioning_profile_id: string | null;
  readonly policy_rev: { readonly policy_id: string; readonly revision: string } | null;
  readonly ingress: { readonly topic: string; readonly partition: number; readonly offset: number };
  /** The admitted record on the bus; of a DUPLICATE, that of its original. Null for QUARANTINE. */
  readonly eb_ref: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: string;
    readonly offset_kind: string;
    readonly published_at_utc: string;
  } | null;
  readonly admitted_at_utc: string | null;
  readonly decided_at_utc: string;
  readonly receipt_ref: string;
  readonly evidence_refs: readonly { readonly kind: string; readonly ref: string }[];
  /** The quarantined record that this one was sent again for. */
  readonly supersedes: Reingestion | null;
  /** What came of sending this quarantined record again, the latest first. */
  readonly superseded_by: readonly Reingestion[];
}

export interface Reingestion {
  /** Of the receipt at the other end; null while the gate has not decided. */
  readonly receipt_id: string | null;
  readonly requested_by: string;
  readonly reason: string;
  readonly requested_at_utc: string;
}

interface ReceiptRow extends Omit<
  LedgerReceipt,
  'policy_rev' | 'ingress' | 'eb_ref' | 'admitted_at_utc' | 'decided_at_utc' | 'supersedes' | 'superseded_by'
> {
  readonly policy_id: string | null;
  readonly policy_revision: string | null;
  readonly ingress_topic: string;
  readonly ingress_partition: number;
  readonly ingress_offset: string;
  readonly eb_topic: string | null;
  readonly eb_partition: number | null;
  readonly eb_offset: string | null;
  readonly eb_offset_kind: string | null;
  readonly eb_published_at_utc: Date | null;
  readonly admitted_at_utc: Date | null;
  readonly decided_at_utc: Date;
}

const MOST = 100;

/**
 * The matching receipts, in the order of their decisions, at most 100. Throws RangeError when the query names
 * nothing to look for.
 */
export async function findReceipts(
  database: Pool | ClientBase,
  query: ReceiptQuery,
): Promise<LedgerReceipt[]> {
  const conditions: string[] = [];
  const values: unknown[] = [];
  const where = (condition: (place: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  if (query.receipt_id !== undefined) {
    where((at) => `receipt_hash = ledger_hash(${at}) and receipt_id = ${at}`, query.receipt_id);
  }
  if (query.dedupe_key !== undefined) {
    where((at) => `dedupe_hash = ledger_hash(${at}) and dedupe_key = ${at}`, query.dedupe_key);
  }
  if (query.event_id !== undefined) where((at) => `event_id = ${at}`, query.event_id);
  if (query.ingress !== undefined) {
    const { topic, partition, offset } = query.ingress;
    where((at) => `ingress_topic = ${at}`, topic);
    where((at) => `ingress_partition = ${at}`, partition);
    where((at) => `ingress_offset = ${at}`, offset);
  }
  if (conditions.length === 0)
    throw new RangeError('name a receipt_id, an event_id, a dedupe_key or ingress coordinates');
  if (query.platform_run_id !== undefined) where((at) => `platform_run_id = ${at}`, query.platform_run_id);
  return receiptsWhere(database, conditions.join(' and '), values, MOST);
}

/** Receipts by a condition over the `receipts` view, in the order of their decisions. */
export async function receiptsWhere(
  database: Pool | ClientBase,
  condition: string,
  values: readonly unknown[],
  most: number,
): Promise<LedgerReceipt[]> {
  const { rows } = await database.query<ReceiptRow>(
    `select * from receipts where ${condition}
     order by decided_at_utc, ingress_partition, ingress_offset limit ${Math.trunc(most)}`,
    [...values],
  );
  const receipts = rows.map(receiptOf);
  return withReingestions(database, receipts);
}

function receiptOf(row: ReceiptRow): LedgerReceipt {
  return {
    receipt_id: row.receipt_id,
    decision: row.decision,
    reason_codes: row.reason_codes,
    event_id: row.event_id,
    event_type: row.event_type,
    event_class: row.event_class,
    platform_run_id: row.platform_run_id,
    scenario_run_id: row.scenario_run_id,
    payload_hash: row.payload_hash,
    dedupe_key: row.dedupe_key,
    partition_key: row.partition_key,
    partitioning_profile_id: row.partitioning_profile_id,
    policy_rev:
      row.policy_id === null || row.policy_revision === null
        ? null
        : { policy_id: row.policy_id, revision: row.policy_revision },
    ingress: {
      topic: row.ingress_topic,
      partition: row.ingress_partition,
      offset: Number(row.ingress_offset),
    },
    eb_ref:
      row.eb_topic === null
        ? null
        : {
            topic: row.eb_topic,
            partition: row.eb_partition!,
            offset: row.eb_offset!,
            offset_kind: row.eb_offset_kind!,
            published_at_utc: micros(row.eb_published_at_utc!),
          },
    admitted_at_utc: row.admitted_at_utc === null ? null : micros(row.admitted_at_utc),
    decided_at_utc: micros(row.decided_at_utc),
    receipt_ref: row.receipt_ref,
    evidence_refs: row.evidence_refs,
    supersedes: null,
    superseded_by: [],
  };
}

interface ReingestionRow {
  readonly ingress_topic: string;
  readonly ingress_partition: number;
  readonly ingress_offset: string;
  readonly original_receipt_id: string;
  readonly requested_by: string;
  readonly reason: string;
  readonly requested_at: Date;
  readonly new_receipt_id: string | null;
}

/** Links re-ingested records both ways. */
async function withReingestions(
  database: Pool | ClientBase,
  receipts: readonly LedgerReceipt[],
): Promise<LedgerReceipt[]> {
  if (receipts.length === 0) return [];
  const { rows } = await database.query<ReingestionRow>(
    `select again.*, (select n.receipt_id from receipts n where n.ingress_topic = again.ingress_topic
       and n.ingress_partition = again.ingress_partition and n.ingress_offset = again.ingress_offset) as new_receipt_id
     from reingested_records again
     where again.original_receipt_id = any ($1)
        or (again.ingress_topic, again.ingress_partition, again.ingress_offset) in
           (select * from unnest($2::text[], $3::int[], $4::bigint[]))
     order by again.requested_at desc`,
    [
      receipts.map((one) => one.receipt_id),
      receipts.map((one) => one.ingress.topic),
      receipts.map((one) => one.ingress.partition),
      receipts.map((one) => one.ingress.offset),
    ],
  );
  if (rows.length === 0) return [...receipts];
  return receipts.map((receipt) => {
    const from = rows.find(
      (row) =>
        row.ingress_topic === receipt.ingress.topic &&
        row.ingress_partition === receipt.ingress.partition &&
        Number(row.ingress_offset) === receipt.ingress.offset,
    );
    return {
      ...receipt,
      supersedes: from === undefined ? null : reingestionOf(from, from.original_receipt_id),
      superseded_by: rows
        .filter((row) => row.original_receipt_id === receipt.receipt_id)
        .map((row) => reingestionOf(row, row.new_receipt_id)),
    };
  });
}

function reingestionOf(row: ReingestionRow, receiptId: string | null): Reingestion {
  return {
    receipt_id: receiptId,
    requested_by: row.requested_by,
    reason: row.reason,
    requested_at_utc: micros(row.requested_at),
  };
}

function micros(time: Date): string {
  return epochMillisToMicros(time.getTime());
}
