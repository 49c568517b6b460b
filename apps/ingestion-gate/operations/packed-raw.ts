/** The bytes of a quarantined record out of its Parquet segment in the object store. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBBlobValue, DuckDBInstance } from '@duckdb/node-api';
import type { Bucket } from '../../../lib/index.ts';
import type { LedgerReceipt } from './receipt-lookup.ts';

/** Undefined when the segment is not written yet or has no bytes of this record (it was over the limit). */
export async function rawInSegment(bucket: Bucket, receipt: LedgerReceipt): Promise<Buffer | undefined> {
  const ref = receipt.evidence_refs.find(({ kind }) => kind === 'quarantine_record')?.ref;
  const key = ref?.split('#')[0];
  if (key === undefined || (await bucket.find(key)) === undefined) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'fp-quarantine-'));
  try {
    const file = join(folder, 'segment.parquet');
    await writeFile(file, await bucket.get(key));
    const connection = await (await DuckDBInstance.create()).connect();
    const found = await connection.runAndReadAll(
      `select raw from read_parquet('${file}') where receipt_id = $1`,
      [receipt.receipt_id],
    );
    const raw = found.getRows()[0]?.[0];
    return raw instanceof DuckDBBlobValue ? Buffer.from(raw.bytes) : undefined;
  } finally {
    await rm(folder, { recursive: true });
  }
}
