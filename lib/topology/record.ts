/**
 * The cursor that operators see. One record object per operator is reused for every record, so nothing is
 * allocated per record; a processor that keeps a record beyond its call keeps the fields, not the object.
 */
import type { RecordBatch } from '../kafka/record-batch.ts';
import { Bytes } from '../serde/serde.ts';
import { HeaderBlock } from './headers.ts';

/** A record between two operators. */
export interface StreamRecord<K, V> {
  key: K;
  value: V;
  /** Event time in epoch milliseconds, by the source's timestamp extractor. Not the Kafka timestamp. */
  timestamp: number;
  /** The headers that a sink forwards by default; those of the source record unless an operator replaced them. */
  headers: HeaderBlock;
}

/** The consumed record that is being processed: its coordinates and its bytes, untouched. */
export class SourceRecord {
  topic = '';
  partition = -1;
  offset = -1;
  /** Kafka timestamp, epoch milliseconds of wall time; -1 when the record has none. */
  timestamp = -1;
  /** Length -1 is a null key. */
  readonly key = new Bytes();
  /** Length -1 is a null value. */
  readonly value = new Bytes();
  readonly headers = new HeaderBlock();

  /** Points the cursor at record `i` of a batch. */
  moveTo(batch: RecordBatch, i: number, topic: string): void {
    const data = batch.data;
    this.topic = topic;
    this.partition = batch.partition[i]!;
    this.offset = batch.offset[i]!;
    this.timestamp = batch.timestamp[i]!;
    this.key.buffer = data;
    this.key.start = batch.keyStart[i]!;
    this.key.length = batch.keyLength[i]!;
    this.value.buffer = data;
    this.value.start = batch.valueStart[i]!;
    this.value.length = batch.valueLength[i]!;
    this.headers.buffer = data;
    this.headers.start = batch.headersStart[i]!;
    this.headers.length = batch.headersLength[i]!;
    this.headers.count = batch.headersCount[i]!;
  }
}

/**
 * Gives a consumed record its event time, in epoch milliseconds. Called after the value was deserialised.
 * Throwing applies the source's deserialisation policy.
 */
export type TimestampExtractor<V> = (value: V, source: SourceRecord) => number;

/** The Kafka timestamp as event time. */
export const kafkaTimestamp: TimestampExtractor<unknown> = (_value, source) => source.timestamp;
