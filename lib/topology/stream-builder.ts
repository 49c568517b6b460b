/**
 * The typed surface on which a topology is written: a source gives a stream, operators give further streams, a
 * sink ends one. Terms and semantics are Kafka Streams'.
 */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import {
  Topology,
  TopologyError,
  type DeserializationPolicy,
  type NodeSpec,
  type OperatorSpec,
} from './graph.ts';
import {
  filterOperator,
  flatMapOperator,
  mapOperator,
  peekOperator,
  processOperator,
  splitOperator,
} from './operators.ts';
import type { ProcessorSupplier } from './processor.ts';
import { kafkaTimestamp, type SourceRecord, type StreamRecord, type TimestampExtractor } from './record.ts';
import { sinkReceiver, type HeaderPolicy } from './sink.ts';

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
  /** A stable name, used in describe(), metrics and internal topics. Default: type and number. */
  readonly name?: string;
}

export interface KeyValue<K, V> {
  readonly key: K;
  readonly value: V;
}

type Predicate<K, V> = (value: V, key: K) => boolean;
type Branches<K, V> = Readonly<Record<string, Predicate<K, V>>>;
/** A branch whose predicate is a type guard narrows the branch's value type. */
type BranchStream<K, V, P> = P extends ((value: V, key: K) => value is infer S extends V)
  ? KStream<K, S>
  : KStream<K, V>;

export class StreamBuilder {
  readonly #nodes: NodeSpec[] = [];
  #counter = 0;

  /** A stream of a topic's records, in offset order per partition. A topic can be read by one source only. */
  stream<V>(topic: string, consumed: Omit<Consumed<null, V>, 'key'>): KStream<null, V>;
  stream<K, V>(topic: string, consumed: Consumed<K, V> & { readonly key: Serde<K> }): KStream<K, V>;
  stream<K, V>(topic: string, consumed: Consumed<K, V>): KStream<K, V> {
    if (this.#nodes.some((node) => node.kind === 'source' && node.topic === topic)) {
      throw new TopologyError(`topic "${topic}" is a source already; use the stream that was made of it`);
    }
    const name = consumed.name ?? `source-${topic}`;
    this.#nodes.push({
      kind: 'source',
      name,
      topic,
      key: (consumed.key as Serde<unknown> | undefined) ?? null,
      value: consumed.value,
      timestamp: (consumed.timestamp ?? kafkaTimestamp) as TimestampExtractor<unknown>,
      onDeserializationError: consumed.onDeserializationError ?? { kind: 'fail' },
      offsetReset: consumed.offsetReset ?? 'earliest',
    });
    return new KStream<K, V>(this, name);
  }

  /** The finished graph. Throws TopologyError when it cannot run. */
  build(): Topology {
    return new Topology(this.#nodes);
  }

  /** @internal */
  operator(
    type: string,
    parents: readonly string[],
    named: Named | undefined,
    instantiate: OperatorSpec['instantiate'],
    stores: readonly StoreSpec<StateStore>[] = [],
  ): string {
    const name = this.#nameOf(type, named);
    this.#nodes.push({ kind: 'operator', name, type, parents, stores, instantiate });
    return name;
  }

  /** @internal */
  sink<K, V>(parent: string, target: string | DynamicTopic<K, V>, produced: Produced<K, V>): void {
    const topics = typeof target === 'string' ? [target] : target.topics;
    this.#nodes.push({
      kind: 'sink',
      name: this.#nameOf('sink', produced),
      parents: [parent],
      topics,
      serdes: [...(produced.key === undefined ? [] : [produced.key]), produced.value] as Serde<unknown>[],
      instantiate: (environment) => sinkReceiver(target, produced, environment),
    });
  }

  #nameOf(type: string, named: Named | undefined): string {
    this.#counter += 1;
    return named?.name ?? `${type}-${String(this.#counter).padStart(4, '0')}`;
  }
}

/** A stream of records. Every operator leaves this stream as it is and gives a new one. */
export class KStream<K, V> {
  readonly #builder: StreamBuilder;
  readonly #node: string;

  /** @internal Use StreamBuilder.stream(). */
  constructor(builder: StreamBuilder, node: string) {
    this.#builder = builder;
    this.#node = node;
  }

  /** Keeps the records for which the predicate holds. */
  filter<S extends V>(predicate: (value: V, key: K) => value is S, named?: Named): KStream<K, S>;
  filter(predicate: Predicate<K, V>, named?: Named): KStream<K, V>;
  filter(predicate: Predicate<K, V>, named?: Named): KStream<K, V> {
    return this.#then('filter', named, filterOperator(predicate as Predicate<unknown, unknown>));
  }

  /** A new key and value for each record. */
  map<K2, V2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => KeyValue<K2, V2>,
    named?: Named,
  ): KStream<K2, V2> {
    return this.#then('map', named, mapOperator(mapper as Mapper<KeyValue<unknown, unknown>>));
  }

  /** A new value for each record; the key, and so the partition, stays. */
  mapValues<V2>(mapper: (value: V, key: K, record: StreamRecord<K, V>) => V2, named?: Named): KStream<K, V2> {
    const map = mapper as Mapper<unknown>;
    return this.#then(
      'mapValues',
      named,
      mapOperator((value, key, record) => ({ key, value: map(value, key, record) })),
    );
  }

  /** A new key for each record. */
  selectKey<K2>(mapper: (value: V, key: K, record: StreamRecord<K, V>) => K2, named?: Named): KStream<K2, V> {
    const select = mapper as Mapper<unknown>;
    return this.#then(
      'selectKey',
      named,
      mapOperator((value, key, record) => ({ key: select(value, key, record), value })),
    );
  }

  /** Any number of records for each record, in the order of the iterable. */
  flatMap<K2, V2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => Iterable<KeyValue<K2, V2>>,
    named?: Named,
  ): KStream<K2, V2> {
    return this.#then(
      'flatMap',
      named,
      flatMapOperator(mapper as Mapper<Iterable<KeyValue<unknown, unknown>>>),
    );
  }

  /** Looks at each record and passes it on unchanged. */
  peek(action: (value: V, key: K, record: StreamRecord<K, V>) => void, named?: Named): KStream<K, V> {
    return this.#then('peek', named, peekOperator(action as Mapper<void>));
  }

  /**
   * Splits by the first predicate that holds, in the order written. A record that none takes goes nowhere, so let
   * the last branch be `() => true` unless that is meant. A predicate that is a type guard narrows its branch.
   */
  split<const P extends Branches<K, V>>(
    branches: P,
    named?: Named,
  ): { [N in keyof P]: BranchStream<K, V, P[N]> } {
    const names = Object.keys(branches);
    const router = this.#builder.operator(
      'split',
      [this.#node],
      named,
      splitOperator(Object.values(branches) as Predicate<unknown, unknown>[]),
    );
    const streams = names.map((name) => {
      const branch = this.#builder.operator(
        'branch',
        [router],
        { name: `${router}-${name}` },
        (next) => next,
      );
      return [name, new KStream<K, V>(this.#builder, branch)];
    });
    return Object.fromEntries(streams) as { [N in keyof P]: BranchStream<K, V, P[N]> };
  }

  /** One stream of the records of this and another; order is kept within each input partition only. */
  merge(other: KStream<K, V>, named?: Named): KStream<K, V> {
    const node = this.#builder.operator('merge', [this.#node, other.#node], named, (next) => next);
    return new KStream(this.#builder, node);
  }

  /** A custom operator, with stores. One processor per task. */
  process<K2, V2>(
    supplier: ProcessorSupplier<K, V, K2, V2>,
    options: Named & { readonly stores?: readonly StoreSpec<StateStore>[] } = {},
  ): KStream<K2, V2> {
    const stores = options.stores ?? [];
    const instantiate = processOperator(supplier, stores);
    return new KStream(
      this.#builder,
      this.#builder.operator('process', [this.#node], options, instantiate, stores),
    );
  }

  /** Writes the stream to a topic, or to one of several chosen by record. */
  to(topic: string | DynamicTopic<K, V>, produced: Produced<K, V>): void {
    this.#builder.sink(this.#node, topic, produced);
  }

  #then<K2, V2>(
    type: string,
    named: Named | undefined,
    instantiate: OperatorSpec['instantiate'],
  ): KStream<K2, V2> {
    return new KStream<K2, V2>(this.#builder, this.#builder.operator(type, [this.#node], named, instantiate));
  }
}

type Mapper<R> = (value: unknown, key: unknown, record: StreamRecord<unknown, unknown>) => R;
