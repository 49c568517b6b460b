/**
 * A segment's quarantined records as Parquet, raw bytes included, written row by row: they are few, and each may be as
 * large as a record can be, so they go straight to a file instead of through a table in memory. Integers that a double
 * cannot hold would be rounded by this writer; offsets never are.
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import parquet, { type ParquetField, type ParquetWriter } from 'parquetjs-lite';
import type { SegmentRow } from './segment-parquet.ts';

/** Rows are held until a group is full; a record may be a megabyte. */
const ROW_GROUP_ROWS = 32;

const text: ParquetField = { type: 'UTF8', compression: 'GZIP' };
const int: ParquetField = { type: 'INT32', compression: 'GZIP' };
const long: ParquetField = { type: 'INT64', compression: 'GZIP' };

const FIELDS = {
  receipt_id: text,
  reason_codes: text,
  record_topic: text,
  record_partition: int,
  record_offset: long,
  ingress_topic: text,
  ingress_partition: int,
  ingress_offset: long,
  evidence: text,
  /** The record's value as it came. */
  raw: { type: 'BYTE_ARRAY', optional: true, compression: 'GZIP' },
} satisfies Record<string, ParquetField>;

export class QuarantineFile {
  readonly #folder: string;
  readonly #writer: ParquetWriter;
  #open = true;
  rows = 0;

  private constructor(folder: string, writer: ParquetWriter) {
    this.#folder = folder;
    this.#writer = writer;
  }

  static async create(): Promise<QuarantineFile> {
    const folder = await mkdtemp(join(tmpdir(), 'fp-quarantine-'));
    const sink = createWriteStream(join(folder, 'segment.parquet'));
    const writer = await parquet.ParquetWriter.openStream(new parquet.ParquetSchema(FIELDS), sink, {
      rowGroupSize: ROW_GROUP_ROWS,
    });
    return new QuarantineFile(folder, writer);
  }

  async append(row: SegmentRow): Promise<void> {
    const cells: Record<string, unknown> = {};
    for (const [name, field] of Object.entries<ParquetField>(FIELDS)) {
      const value = row[name as keyof typeof FIELDS];
      if (value !== null)
        cells[name] = field.type === 'INT32' || field.type === 'INT64' ? Number(value) : value;
    }
    await this.#writer.appendRow(cells);
    this.rows += 1;
  }

  /** Writes what is left and gives the file's path; `discard` removes it. */
  async finish(): Promise<string> {
    this.#open = false;
    await this.#writer.close();
    return join(this.#folder, 'segment.parquet');
  }

  /** Frees what the file holds, finished or not. */
  async discard(): Promise<void> {
    if (this.#open) await this.#writer.close();
    this.#open = false;
    await rm(this.#folder, { recursive: true, force: true });
  }
}
