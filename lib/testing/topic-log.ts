/** A topic in memory: what the TestDriver has instead of a broker. */
import { partitionOf } from '../kafka/murmur2.ts';
import { PARTITION_BY_KEY, type OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { HeaderBlock } from '../topology/headers.ts';

export interface LoggedRecord {
  readonly partition: number;
  readonly offset: number;
  /** Kafka timestamp, epoch milliseconds. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [name: string, value: Buffer | null])[];
}

export class TopicLog {
  readonly name: string;
  readonly partitions: LoggedRecord[][];
  /** Round robin for records without a key. */
  #nextPartition = 0;

  constructor(name: string, partitions: number) {
    this.name = name;
    this.partitions = Array.from({ length: partitions }, () => []);
  }

  append(record: Omit<LoggedRecord, 'offset'>): LoggedRecord {
    const log = this.partitions[record.partition];
    if (log === undefined) {
      throw new RangeError(
        `topic "${this.name}" has ${this.partitions.length} partitions, no partition ${record.partition}`,
      );
    }
    const logged = { ...record, offset: log.length };
    log.push(logged);
    return logged;
  }

  /** The partition a producer would choose. */
  choose(key: Buffer | null, wanted: number = PARTITION_BY_KEY): number {
    if (wanted !== PARTITION_BY_KEY) return wanted;
    if (key !== null) return partitionOf(key, 0, key.length, this.partitions.length);
    return this.#nextPartition++ % this.partitions.length;
  }
}

/** Copies record `i` out of an outgoing batch; its partition is still the producer's to choose when -1. */
export function recordOf(batch: OutgoingBatch, i: number, now: number): Omit<LoggedRecord, 'offset'> {
  const copy = (source: number, start: number, length: number): Buffer | null =>
    length < 0 ? null : Buffer.from(batch.sources[source]!.subarray(start, start + length));
  const headers = new HeaderBlock();
  headers.count = batch.headersCount[i]!;
  if (headers.count > 0) {
    headers.buffer = copy(batch.headersSource[i]!, batch.headersStart[i]!, batch.headersLength[i]!)!;
    headers.length = headers.buffer.length;
  }
  const timestamp = batch.timestamp[i]!;
  return {
    partition: batch.partition[i]!,
    timestamp: timestamp > 0 ? timestamp : now,
    key: copy(batch.keySource[i]!, batch.keyStart[i]!, batch.keyLength[i]!),
    value: copy(batch.valueSource[i]!, batch.valueStart[i]!, batch.valueLength[i]!),
    headers: [...headers],
  };
}
