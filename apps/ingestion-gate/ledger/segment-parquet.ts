/**
 * One segment's rows as a Parquet file. Ids and times are UTF8, because the writer cannot read its own timestamps
 * back and rounds large integers. The same rows give the same bytes.
 */
import { Writable } from 'node:stream';
import parquet, { type ParquetField, type ParquetWriter } from 'parquetjs-lite';

/** Small enough that encoding a group holds up the event loop for tens of milliseconds only. */
const ROW_GROUP_ROWS = 4096;

const text: ParquetField = { type: 'UTF8', compression: 'GZIP' };
const textOrNull: ParquetField = { ...text, optional: true };
const int: ParquetField = { type: 'INT32', compression: 'GZIP' };
const long: ParquetField = { type: 'INT64', compression: 'GZIP' };

/**
 * `record_*` is where the decision stands: the bus record itself for ADMIT, the outcome otherwise. Lists are JSON.
 */
const RECEIPT_FIELDS = {
  receipt_id: text,
  platform_run_id: textOrNull,
  scenario_run_id: textOrNull,
  event_id: textOrNull,
  event_type: textOrNull,
  event_class: textOrNull,
  decision: text,
  reason_codes: text,
  record_topic: text,
  record_partition: int,
  record_offset: long,
  decided_at_utc: text,
  partition_key: textOrNull,
  payload_hash: textOrNull,
  dedupe_key: textOrNull,
  partitioning_profile_id: textOrNull,
  policy_id: textOrNull,
  policy_revision: textOrNull,
  ingress_topic: text,
  ingress_partition: int,
  ingress_offset: long,
  original_ingress_partition: { ...int, optional: true },
  original_ingress_offset: { ...long, optional: true },
  evidence: text,
} satisfies Record<string, ParquetField>;

const QUARANTINE_FIELDS = {
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

type ReceiptColumn = keyof typeof RECEIPT_FIELDS;
export type SegmentRow = Readonly<Record<ReceiptColumn, string | null>> & { readonly raw: Buffer | null };

export class SegmentFile {
  readonly #fields: Readonly<Record<string, ParquetField>>;
  readonly #writer: ParquetWriter;
  readonly #chunks: Buffer[];
  rows = 0;

  private constructor(
    fields: Readonly<Record<string, ParquetField>>,
    writer: ParquetWriter,
    chunks: Buffer[],
  ) {
    this.#fields = fields;
    this.#writer = writer;
    this.#chunks = chunks;
  }

  static receipts(): Promise<SegmentFile> {
    return SegmentFile.#open(RECEIPT_FIELDS);
  }

  static quarantine(): Promise<SegmentFile> {
    return SegmentFile.#open(QUARANTINE_FIELDS);
  }

  static async #open(fields: Readonly<Record<string, ParquetField>>): Promise<SegmentFile> {
    const chunks: Buffer[] = [];
    const sink = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    const writer = await parquet.ParquetWriter.openStream(new parquet.ParquetSchema(fields), sink, {
      rowGroupSize: ROW_GROUP_ROWS,
    });
    return new SegmentFile(fields, writer, chunks);
  }

  async append(row: SegmentRow): Promise<void> {
    const cells: Record<string, unknown> = {};
    for (const [name, field] of Object.entries(this.#fields)) {
      const value = row[name as ReceiptColumn | 'raw'];
      if (value === null) continue;
      cells[name] = field.type === 'INT32' || field.type === 'INT64' ? Number(value) : value;
    }
    await this.#writer.appendRow(cells);
    this.rows += 1;
  }

  /** The whole file. */
  async close(): Promise<Buffer> {
    await this.#writer.close();
    return Buffer.concat(this.#chunks);
  }
}
