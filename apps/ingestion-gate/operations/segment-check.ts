/** Receipts of a run as the object store holds them, against what the ledger says it has packed. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import type { ClientBase } from 'pg';
import type { Bucket } from '../../../lib/index.ts';
import { runObjects } from '../../rails/index.ts';

export interface SegmentCheck {
  readonly segments: number;
  /** Receipts that the segments hold, counted by reading them. */
  readonly receipts: number;
  /** Receipts that wait to be packed; not a fault. */
  readonly pending: number;
  readonly differences: readonly string[];
}

interface SegmentRow {
  readonly topic: string;
  readonly partition: number;
  readonly segment: string;
  readonly records: string;
  readonly archived_records: string;
}

/** Reads every receipt segment of the run, one at a time. */
export async function checkSegments(
  database: ClientBase,
  bucket: Bucket,
  platformRunId: string,
): Promise<SegmentCheck> {
  const { rows } = await database.query<SegmentRow>(
    `select topic, partition, segment, records, archived_records from receipt_segments
     where platform_run_id = $1 order by topic, partition, segment`,
    [platformRunId],
  );
  const { ig } = runObjects(platformRunId);
  const differences: string[] = [];
  const totals = { segments: 0, receipts: 0, pending: 0 };
  const folder = await mkdtemp(join(tmpdir(), 'fp-segments-'));
  const connection = await (await DuckDBInstance.create()).connect();
  try {
    for (const row of rows) {
      const archived = Number(row.archived_records);
      totals.pending += Number(row.records) - archived;
      if (archived === 0) continue;
      const key = ig.receipts(row.topic, row.partition, Number(row.segment));
      if ((await bucket.find(key)) === undefined) {
        differences.push(`${key}: ${archived} receipts were packed, the object is missing`);
        continue;
      }
      const file = join(folder, 'segment.parquet');
      await writeFile(file, await bucket.get(key));
      const { receipts, distinct } = await countReceipts(connection, file);
      totals.segments += 1;
      totals.receipts += receipts;
      if (receipts !== archived)
        differences.push(`${key}: ${archived} receipts were packed, it holds ${receipts}`);
      if (distinct !== receipts) differences.push(`${key}: ${receipts - distinct} receipts are in it twice`);
    }
  } finally {
    connection.closeSync();
    await rm(folder, { recursive: true });
  }
  return { ...totals, differences };
}

async function countReceipts(
  connection: DuckDBConnection,
  file: string,
): Promise<{ readonly receipts: number; readonly distinct: number }> {
  const answer = await connection.runAndReadAll(
    `select count(*), count(distinct receipt_id) from read_parquet('${file}')`,
  );
  const [receipts, distinct] = answer.getRows()[0]!;
  return { receipts: Number(receipts), distinct: Number(distinct) };
}
