/** Packing a logged record into a RecordBatch, as a poll would deliver it. */
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { RecordBatch } from '../kafka/record-batch.ts';
import type { LoggedRecord } from './topic-log.ts';

/** A batch holding exactly one record, at index 0. */
export function packedBatch(record: LoggedRecord, topic: string): RecordBatch {
  const out = new OutgoingBatch(1);
  out.add({ topic, key: record.key, value: record.value, headers: record.headers });
  const batch = new RecordBatch({ maxRecords: 1, slabBytes: out.bytes + 1 });
  batch.count = 1;
  batch.partition[0] = record.partition;
  batch.offset[0] = record.offset;
  batch.timestamp[0] = record.timestamp;
  batch.leaderEpoch[0] = -1;
  let at = 0;
  const put = (source: number, start: number, length: number): number => {
    const placed = at;
    if (length > 0) at += out.sources[source]!.copy(batch.data, at, start, start + length);
    return placed;
  };
  batch.keyStart[0] = put(out.keySource[0]!, out.keyStart[0]!, out.keyLength[0]!);
  batch.keyLength[0] = out.keyLength[0]!;
  batch.valueStart[0] = put(out.valueSource[0]!, out.valueStart[0]!, out.valueLength[0]!);
  batch.valueLength[0] = out.valueLength[0]!;
  batch.headersStart[0] = put(out.headersSource[0]!, out.headersStart[0]!, out.headersLength[0]!);
  batch.headersLength[0] = out.headersLength[0]!;
  batch.headersCount[0] = out.headersCount[0]!;
  batch.bytes = at;
  return batch;
}
