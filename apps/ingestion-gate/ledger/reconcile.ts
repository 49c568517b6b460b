/**
 * What the ledger holds of a run, counted: by decision and event type, and by partition of the bus. The demo's
 * report, the lag console and `fp gate verify` all stand on this.
 */
import type { ClientBase, Pool } from 'pg';
import type { Decision } from './receipt-kinds.ts';

export interface TypeReconciliation {
  /** Null for records whose type could not be read. */
  readonly eventType: string | null;
  readonly eventClass: string | null;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
}

export interface BusPartition {
  readonly topic: string;
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly records: number;
}

export interface RunReconciliation {
  readonly platformRunId: string;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
  readonly receipts: number;
  readonly types: readonly TypeReconciliation[];
  /** Quarantined records by reason code; a record with several reasons counts under each. */
  readonly reasons: Readonly<Record<string, number>>;
  /** Where the run's admitted records stand. Offsets between them belong to other runs and to transaction markers. */
  readonly bus: readonly BusPartition[];
  /** Records on the ledger's topics, of whatever run, that it could not read. */
  readonly unreadable: number;
}

interface TallyRow {
  readonly event_type: string | null;
  readonly event_class: string | null;
  readonly decision: Decision;
  readonly reason_codes: readonly string[];
  readonly record_topic: string;
  readonly partition: number;
  readonly records: string;
  readonly first_offset: string;
  readonly last_offset: string;
}

const FROM_TALLIES = `
  select k.event_type, k.event_class, k.decision, k.reason_codes, k.record_topic, t.partition, t.records,
    t.first_offset, t.last_offset
  from receipt_kinds k join receipt_tallies t on t.kind = k.kind
  where k.platform_run_id = $1`;

const rowsOf = (table: string): string => `
  select k.event_type, k.event_class, k.decision, k.reason_codes, k.record_topic, r.record_partition as partition,
    count(*) as records, min(r.record_offset) as first_offset, max(r.record_offset) as last_offset
  from ${table} r join receipt_kinds k on k.kind = r.kind
  where r.platform_run_id = $1
  group by k.kind, r.record_partition`;

const FROM_ROWS = `${rowsOf('admitted_receipts')} union all ${rowsOf('outcome_receipts')}`;

export interface ReconcileOptions {
  /**
   * `rows` counts the receipts themselves: the proof, a second or so per million. `tallies` (the default) reads the
   * counts that were kept in the same transactions as the rows: milliseconds.
   */
  readonly from?: 'rows' | 'tallies';
}

/** A run that the ledger has not seen has all counts 0. */
export async function reconcile(
  database: Pool | ClientBase,
  platformRunId: string,
  options: ReconcileOptions = {},
): Promise<RunReconciliation> {
  const query = options.from === 'rows' ? FROM_ROWS : FROM_TALLIES;
  const { rows } = await database.query<TallyRow>(query, [platformRunId]);
  const { rows: faults } = await database.query<{ unreadable: string }>(
    'select count(*) as unreadable from unreadable_records',
  );
  const types = new Map<string, { -readonly [K in keyof TypeReconciliation]: TypeReconciliation[K] }>();
  const bus = new Map<string, { -readonly [K in keyof BusPartition]: BusPartition[K] }>();
  const reasons: Record<string, number> = {};
  const totals = { admitted: 0, duplicate: 0, quarantined: 0 };
  for (const row of rows) {
    const records = Number(row.records);
    const column = COLUMN_OF[row.decision];
    totals[column] += records;
    const typeKey = JSON.stringify([row.event_type, row.event_class]);
    const type = types.get(typeKey) ?? {
      eventType: row.event_type,
      eventClass: row.event_class,
      admitted: 0,
      duplicate: 0,
      quarantined: 0,
    };
    type[column] += records;
    types.set(typeKey, type);
    if (row.decision === 'QUARANTINE') {
      for (const reason of row.reason_codes) reasons[reason] = (reasons[reason] ?? 0) + records;
    }
    if (row.decision === 'ADMIT') {
      const [first, last] = [Number(row.first_offset), Number(row.last_offset)];
      const key = `${row.record_topic}/${String(row.partition)}`;
      const place = bus.get(key);
      bus.set(key, {
        topic: row.record_topic,
        partition: row.partition,
        firstOffset: Math.min(first, place?.firstOffset ?? first),
        lastOffset: Math.max(last, place?.lastOffset ?? last),
        records: records + (place?.records ?? 0),
      });
    }
  }
  return {
    platformRunId,
    ...totals,
    receipts: totals.admitted + totals.duplicate + totals.quarantined,
    types: [...types.values()].sort((a, b) => ((a.eventType ?? '') < (b.eventType ?? '') ? -1 : 1)),
    reasons,
    bus: [...bus.values()].sort((a, b) =>
      a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
    ),
    unreadable: Number(faults[0]?.unreadable ?? 0),
  };
}

const COLUMN_OF = { ADMIT: 'admitted', DUPLICATE: 'duplicate', QUARANTINE: 'quarantined' } as const;

/** Runs the ledger has receipts of, the latest first (their ids begin with their time). */
export async function runsInLedger(database: Pool | ClientBase, most = 20): Promise<string[]> {
  const { rows } = await database.query<{ platform_run_id: string }>(
    `select distinct platform_run_id from receipt_kinds where platform_run_id is not null
     order by platform_run_id desc limit $1`,
    [most],
  );
  return rows.map((row) => row.platform_run_id);
}
