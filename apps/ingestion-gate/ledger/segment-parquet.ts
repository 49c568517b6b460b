/** The columns of receipt segments. Ids and times are text, as everywhere outside PostgreSQL. */
import { BIGINT, INTEGER, VARCHAR, type DuckDBValue } from '@duckdb/node-api';
import type { ParquetColumns, ParquetFile } from './parquet-file.ts';

/**
 * `record_*` is where the decision stands: the bus record itself for ADMIT, the outcome otherwise. Lists are JSON.
 */
export const RECEIPT_COLUMNS = {
  receipt_id: VARCHAR,
  platform_run_id: VARCHAR,
  scenario_run_id: VARCHAR,
  event_id: VARCHAR,
  event_type: VARCHAR,
  event_class: VARCHAR,
  decision: VARCHAR,
  reason_codes: VARCHAR,
  record_topic: VARCHAR,
  record_partition: INTEGER,
  record_offset: BIGINT,
  decided_at_utc: VARCHAR,
  partition_key: VARCHAR,
  payload_hash: VARCHAR,
  dedupe_key: VARCHAR,
  partitioning_profile_id: VARCHAR,
  policy_id: VARCHAR,
  policy_revision: VARCHAR,
  ingress_topic: VARCHAR,
  ingress_partition: INTEGER,
  ingress_offset: BIGINT,
  original_ingress_partition: INTEGER,
  original_ingress_offset: BIGINT,
  evidence: VARCHAR,
} satisfies ParquetColumns;

/** A receipt as the archiver's query gives it: numbers as text. */
export type SegmentRow = Readonly<Record<keyof typeof RECEIPT_COLUMNS, string | null>> & {
  readonly raw: Buffer | null;
};

/** Appends a receipt to a file of RECEIPT_COLUMNS. */
export function appendReceipt(file: ParquetFile, row: SegmentRow): void {
  const cells: DuckDBValue[] = [];
  for (const [name, type] of Object.entries(RECEIPT_COLUMNS)) {
    const value = row[name as keyof typeof RECEIPT_COLUMNS];
    if (value === null) cells.push(null);
    else if (type === BIGINT) cells.push(BigInt(value));
    else if (type === INTEGER) cells.push(Number(value));
    else cells.push(value);
  }
  file.append(cells);
}
