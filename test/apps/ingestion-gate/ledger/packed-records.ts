/** Packs records as a consumer's poll would, for tests of what reads a RecordBatch. */
import { RecordBatch } from '../../../../lib/index.ts';

export interface PlainRecord {
  readonly topic?: number;
  readonly partition?: number;
  readonly offset: number;
  readonly timestamp?: number;
  readonly key?: string | null;
  readonly value?: Buffer | null;
  readonly headers?: Readonly<Record<string, string>>;
}

export function packedRecords(records: readonly PlainRecord[]): RecordBatch {
  const batch = new RecordBatch({ maxRecords: Math.max(1, records.length), slabBytes: 1024 });
  const chunks: Buffer[] = [];
  let at = 0;
  const put = (bytes: Buffer): number => {
    chunks.push(bytes);
    at += bytes.length;
    return at - bytes.length;
  };
  records.forEach((record, i) => {
    batch.topic[i] = record.topic ?? 0;
    batch.partition[i] = record.partition ?? 0;
    batch.offset[i] = record.offset;
    batch.timestamp[i] = record.timestamp ?? 0;
    batch.leaderEpoch[i] = -1;
    const key = record.key === undefined || record.key === null ? null : Buffer.from(record.key);
    batch.keyStart[i] = key === null ? at : put(key);
    batch.keyLength[i] = key?.length ?? -1;
    const value = record.value ?? null;
    batch.valueStart[i] = value === null ? at : put(value);
    batch.valueLength[i] = value?.length ?? -1;
    const headers = Object.entries(record.headers ?? {});
    batch.headersStart[i] = at;
    for (const [name, text] of headers) {
      const lengths = Buffer.alloc(8);
      lengths.writeInt32LE(Buffer.byteLength(name), 0);
      lengths.writeInt32LE(Buffer.byteLength(text), 4);
      put(lengths);
      put(Buffer.from(name));
      put(Buffer.from(text));
    }
    batch.headersLength[i] = at - batch.headersStart[i];
    batch.headersCount[i] = headers.length;
  });
  batch.data = Buffer.concat(chunks);
  batch.bytes = at;
  batch.count = records.length;
  return batch;
}
