/** The ledger's metrics. */
import type { Counter, Histogram, Metrics } from '../../../lib/index.ts';

export interface LedgerMetrics {
  readonly rows: Counter;
  readonly batchSeconds: Histogram;
  readonly retries: Counter;
  readonly fenced: Counter;
  readonly missed: Counter;
  readonly unreadable: Counter<'topic'>;
  readonly segments: Counter<'kind'>;
  readonly segmentSeconds: Histogram;
  readonly archiveMissed: Counter;
}

export function ledgerMetrics(metrics: Metrics): LedgerMetrics {
  return {
    rows: metrics.counter('receipt_ledger_receipts_total', 'Receipts written to PostgreSQL'),
    batchSeconds: metrics.histogram(
      'receipt_ledger_batch_seconds',
      'Seconds to write one batch, waiting for PostgreSQL included',
      [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
    ),
    retries: metrics.counter(
      'receipt_ledger_batch_retries_total',
      'Batches that PostgreSQL did not take at once',
    ),
    fenced: metrics.counter(
      'receipt_ledger_fenced_partitions_total',
      'Partitions dropped from a batch because another owner had written them',
    ),
    missed: metrics.counter(
      'receipt_ledger_missed_offsets_total',
      'Offsets deleted by retention before the ledger read them',
    ),
    unreadable: metrics.counter(
      'receipt_ledger_unreadable_records_total',
      'Records that the ledger could not read',
      ['topic'],
    ),
    segments: metrics.counter(
      'receipt_ledger_segments_total',
      'Parquet segments written to the object store',
      ['kind'],
    ),
    segmentSeconds: metrics.histogram(
      'receipt_ledger_segment_seconds',
      'Seconds to archive one segment: its receipts, quarantined bytes and bus records',
      [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    ),
    archiveMissed: metrics.counter(
      'receipt_ledger_archive_missed_records_total',
      'Admitted records that retention deleted from the bus before they were archived',
    ),
  };
}
