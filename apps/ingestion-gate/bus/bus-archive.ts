/**
 * The record archive: what was admitted to the bus, kept in the object store after the topics' retention has passed.
 *
 * A segment is a Parquet file of one run, topic, partition and 65,536 offsets. Each row is a bus record as it stood:
 * coordinates, Kafka timestamp (admission), key, headers in their order, and the value's bytes untouched (Confluent
 * wire format), in offset order.
 */
import {
  BIGINT,
  BLOB,
  DuckDBBlobValue,
  INTEGER,
  LIST,
  listValue,
  STRUCT,
  structValue,
  VARCHAR,
  type DuckDBValue,
} from '@duckdb/node-api';
import { HeaderBlock, type RecordBatch } from '../../../lib/index.ts';
import type { ParquetColumns, ParquetFile, ParquetWriter } from '../ledger/parquet-file.ts';
import type { OffsetRange, PartitionReader } from './partition-reader.ts';

export const BUS_RECORD_COLUMNS = {
  topic: VARCHAR,
  partition: INTEGER,
  offset: BIGINT,
  /** Epoch milliseconds, wall time. */
  timestamp_ms: BIGINT,
  key: BLOB,
  headers: LIST(STRUCT({ name: VARCHAR, value: BLOB })),
  value: BLOB,
} satisfies ParquetColumns;

export interface BusSegment {
  readonly file: ParquetFile;
  /** First offset that the log still holds: records before it can't be archived any more. */
  readonly logStart: number;
}

/** Reads the records at these offsets back from the bus. The caller finishes or discards the file. */
export async function readBusSegment(
  reader: PartitionReader,
  parquet: ParquetWriter,
  range: OffsetRange,
  offsets: ReadonlySet<number>,
): Promise<BusSegment> {
  const file = await parquet.file(BUS_RECORD_COLUMNS);
  const headers = new HeaderBlock();
  try {
    const logStart = await reader.read(range, (batch, i) => {
      const offset = batch.offset[i]!;
      if (!offsets.has(offset)) return;
      moveTo(headers, batch, i);
      file.append([
        range.topic,
        range.partition,
        BigInt(offset),
        BigInt(batch.timestamp[i]!),
        blob(copied(batch.data, batch.keyStart[i]!, batch.keyLength[i]!)),
        listValue(
          [...headers].map(([name, value]) =>
            structValue({ name, value: value === null ? null : blob(Buffer.from(value)) }),
          ),
        ),
        blob(copied(batch.data, batch.valueStart[i]!, batch.valueLength[i]!)),
      ]);
    });
    return { file, logStart };
  } catch (error) {
    await file.discard();
    throw error;
  }
}

export function moveTo(headers: HeaderBlock, batch: RecordBatch, i: number): void {
  headers.buffer = batch.data;
  headers.start = batch.headersStart[i]!;
  headers.length = batch.headersLength[i]!;
  headers.count = batch.headersCount[i]!;
}

/** A copy of a range of a batch, null where its length says so. */
export function copied(data: Buffer, start: number, length: number): Buffer | null {
  return length < 0 ? null : Buffer.from(data.subarray(start, start + length));
}

function blob(bytes: Buffer | null): DuckDBValue {
  return bytes === null ? null : new DuckDBBlobValue(bytes);
}
