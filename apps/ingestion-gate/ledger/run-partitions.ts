/**
 * The receipt tables are partitioned by platform run, so that a finished run is dropped as a whole instead of
 * deleted row by row. Partitions are made when a run is first seen. The table is made first and attached then:
 * attaching takes a lock that neither readers nor writers of other runs notice.
 */
import type { ClientBase } from 'pg';
import { isPlatformRunId } from '../../rails/index.ts';
import { LedgerError } from './ledger-error.ts';

const TABLES = ['admitted_receipts', 'outcome_receipts'] as const;
const DUPLICATE_TABLE = '42P07';

export class RunPartitions {
  readonly #known = new Set<string>();

  /** Forgets which partitions exist: somebody may have dropped a run. */
  forget(): void {
    this.#known.clear();
  }

  /** Makes sure that the tables have partitions for these runs. Runs outside the batch's transaction. */
  async ensure(client: ClientBase, runs: Iterable<string>): Promise<void> {
    for (const run of runs) {
      if (this.#known.has(run)) continue;
      for (const table of TABLES) await createPartition(client, table, run);
      this.#known.add(run);
    }
  }
}

async function createPartition(
  client: ClientBase,
  table: (typeof TABLES)[number],
  run: string,
): Promise<void> {
  if (!isPlatformRunId(run)) throw new RangeError(`'${run}' is not a platform_run_id`);
  const name = partitionTable(table, run);
  const { rows } = await client.query<{ attached: boolean }>(
    `select exists (select from pg_inherits where inhrelid = to_regclass($1)) as attached`,
    [name],
  );
  if (rows[0]?.attached === true) return;
  await client.query('begin');
  try {
    // Instances that meet here wait for each other; the second finds the work done.
    await client.query(`select pg_advisory_xact_lock(hashtextextended($1, 0))`, [name]);
    await client.query(`create table ${name} (like ${table} including defaults)`);
    await client.query(`alter table ${table} attach partition ${name} for values in ('${run}')`);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    if ((error as { code?: string }).code !== DUPLICATE_TABLE) throw error;
  }
}

/** The partition's table name; the run id's pattern leaves nothing to quote but its capital letters. */
export function partitionTable(table: (typeof TABLES)[number], run: string): string {
  return `${table}_${run.toLowerCase()}`;
}

/**
 * Drops everything the database holds of a run; segments on S3 and the bus keep it. Positions stay, so nothing is
 * read again. Throws LedgerError RUN_NOT_ARCHIVED while a segment of the run is not in the object store.
 */
export async function dropRun(client: ClientBase, run: string): Promise<void> {
  if (!isPlatformRunId(run)) throw new RangeError(`'${run}' is not a platform_run_id`);
  await client.query('begin');
  try {
    const { rows } = await client.query<{ waiting: string }>(
      `select count(*) as waiting from receipt_segments where platform_run_id = $1 and archived_records < records`,
      [run],
    );
    if (rows[0]?.waiting !== '0') {
      throw new LedgerError(
        'RUN_NOT_ARCHIVED',
        `${rows[0]?.waiting ?? ''} segments of ${run} are not in the object store yet: \`fp ledger archive\` writes them`,
      );
    }
    for (const table of TABLES) await client.query(`drop table if exists ${partitionTable(table, run)}`);
    await client.query(`delete from receipt_kinds where platform_run_id = $1`, [run]);
    await client.query(`delete from receipt_segments where platform_run_id = $1`, [run]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}
