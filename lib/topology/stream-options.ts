/** The options that sources, sinks and operators take. */
import type { Serde } from '../serde/serde.ts';
import type { DeserializationPolicy } from './graph.ts';
import type { SourceRecord, StreamRecord, TimestampExtractor } from './record.ts';
import type { HeaderPolicy } from './sink.ts';

/** How a source topic is read. */
export interface Consumed<K, V> {
  /** Without it the key is not read and is null; the bytes stay reachable through the source record. */
  readonly key?: Serde<K>;
  readonly value: Serde<V>;
  /** Event time of a record; default the Kafka timestamp. */
  readonly timestamp?: TimestampExtractor<V>;
  /** Default: fail. */
  readonly onDeserializationError?: DeserializationPolicy;
  /** Where a partition without a committed offset begins; default earliest, so that nothing is skipped unsaid. */
  readonly offsetReset?: 'earliest' | 'latest';
  readonly name?: string;
}

/** How a stream is written. */
export interface Produced<K, V> {
  /** Without it records are written with a null key (and then to a random partition, unless `partition` says). */
  readonly key?: Serde<K>;
  readonly value: Serde<V>;
  /** Default: the record's headers are forwarded. */
  readonly headers?: HeaderPolicy<K, V>;
  /** The Kafka timestamp written: the record's event time (default), or the wall clock at the moment of writing. */
  readonly timestamp?: 'event-time' | 'wall-clock';
  /** An explicit partition; default murmur2 of the key bytes. */
  readonly partition?: (record: StreamRecord<K, V>, source: SourceRecord) => number;
  readonly name?: string;
}

/** A sink whose topic depends on the record. The possible topics are declared, so that they can be planned. */
export interface DynamicTopic<K, V> {
  readonly topics: readonly string[];
  choose(record: StreamRecord<K, V>, source: SourceRecord): string;
}

export interface Named {
  /**
   * A stable name, used in describe(), metrics, stores and internal topics. Default: Kafka Streams' prefix for the
   * operator and a number.
   */
  readonly name?: string;
}

export interface KeyValue<K, V> {
  readonly key: K;
  readonly value: V;
}

/** How a stream is grouped. The serdes are needed where the key changed, and by the aggregate's store. */
export interface Grouped<K, V> extends Named {
  /** Default: the stream's key serde, as far as the key has not been mapped. */
  readonly key?: Serde<K>;
  /** Default: the stream's value serde, as far as the value has not been mapped. */
  readonly value?: Serde<V>;
}
