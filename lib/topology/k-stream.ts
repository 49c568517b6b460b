/** A stream of records. Every operator leaves it as it is and gives a new one. Terms are Kafka Streams'. */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { GlobalTable } from './global-table.ts';
import { TopologyError, type GlobalSpec, type OperatorSpec } from './graph.ts';
import { KGroupedStream } from './grouped-stream.ts';
import { KTable } from './k-table.ts';
import {
  filterOperator,
  flatMapOperator,
  flatMapValuesOperator,
  mapOperator,
  mapValuesOperator,
  peekOperator,
  processOperator,
  selectKeyOperator,
  splitOperator,
} from './operators.ts';
import type { StoreOptions, StreamPlan, TablePlan } from './plan.ts';
import type { ProcessorSupplier } from './processor.ts';
import type { StreamRecord } from './record.ts';
import { repartitioned } from './repartition.ts';
import { streamStreamJoin, type StreamJoinKind, type StreamJoinOptions } from './stream-stream-join.ts';
import { streamGlobalJoin, streamTableJoin, type TableLookupOptions } from './stream-table-join.ts';
import type { DynamicTopic, Grouped, KeyValue, Named, Produced } from './stream-options.ts';
import { SourceTable } from './table-operators.ts';

type Predicate<K, V> = (value: V, key: K) => boolean;
type Branches<K, V> = Readonly<Record<string, Predicate<K, V>>>;
/** A branch whose predicate is a type guard narrows the branch's value type. */
type BranchStream<K, V, P> = P extends ((value: V, key: K) => value is infer S extends V)
  ? KStream<K, S>
  : KStream<K, V>;
type ErasedMapper<R> = (value: unknown, key: unknown, record: StreamRecord<unknown, unknown>) => R;
type ErasedPredicate = Predicate<unknown, unknown>;
/** A stream, a table or a global table, whatever it holds. */
type Joinable = { readonly plan: StreamPlan | TablePlan } | { readonly spec: GlobalSpec };
type ErasedJoiner = (left: unknown, right: unknown, key: unknown) => unknown;
/** What an operator leaves of the stream's serdes and partitioning. */
type Kept = Partial<Pick<StreamPlan, 'key' | 'value' | 'keyChanged'>>;

export class KStream<K, V> {
  /** @internal */
  readonly plan: StreamPlan;

  /** @internal Use StreamBuilder.stream(). */
  constructor(plan: StreamPlan) {
    this.plan = plan;
  }

  /** Keeps the records for which the predicate holds. */
  filter<S extends V>(predicate: (value: V, key: K) => value is S, named?: Named): KStream<K, S>;
  filter(predicate: Predicate<K, V>, named?: Named): KStream<K, V>;
  filter(predicate: Predicate<K, V>, named?: Named): KStream<K, V> {
    return this.#then('filter', 'KSTREAM-FILTER', named, filterOperator(predicate as ErasedPredicate), {});
  }

  /** A new key and value for each record. The key counts as changed: see repartition(). */
  map<K2, V2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => KeyValue<K2, V2>,
    named?: Named,
  ): KStream<K2, V2> {
    const map = mapOperator(mapper as ErasedMapper<KeyValue<unknown, unknown>>);
    return this.#then('map', 'KSTREAM-MAP', named, map, REKEYED);
  }

  /** A new value for each record; the key, and so the partition, stays. */
  mapValues<V2>(mapper: (value: V, key: K, record: StreamRecord<K, V>) => V2, named?: Named): KStream<K, V2> {
    const map = mapValuesOperator(mapper as ErasedMapper<unknown>);
    return this.#then('mapValues', 'KSTREAM-MAPVALUES', named, map, NEW_VALUE);
  }

  /** A new key for each record. Stateful operators behind it repartition the stream. */
  selectKey<K2>(mapper: (value: V, key: K, record: StreamRecord<K, V>) => K2, named?: Named): KStream<K2, V> {
    const select = selectKeyOperator(mapper as ErasedMapper<unknown>);
    return this.#then('selectKey', 'KSTREAM-KEY-SELECT', named, select, NEW_KEY);
  }

  /** Any number of records for each record, in the order of the iterable. The key counts as changed. */
  flatMap<K2, V2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => Iterable<KeyValue<K2, V2>>,
    named?: Named,
  ): KStream<K2, V2> {
    const map = flatMapOperator(mapper as ErasedMapper<Iterable<KeyValue<unknown, unknown>>>);
    return this.#then('flatMap', 'KSTREAM-FLATMAP', named, map, REKEYED);
  }

  /** Any number of values for each record, in the order of the iterable; the key stays. */
  flatMapValues<V2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => Iterable<V2>,
    named?: Named,
  ): KStream<K, V2> {
    const map = flatMapValuesOperator(mapper as ErasedMapper<Iterable<unknown>>);
    return this.#then('flatMapValues', 'KSTREAM-FLATMAPVALUES', named, map, NEW_VALUE);
  }

  /** Looks at each record and passes it on unchanged. */
  peek(action: (value: V, key: K, record: StreamRecord<K, V>) => void, named?: Named): KStream<K, V> {
    return this.#then('peek', 'KSTREAM-PEEK', named, peekOperator(action as ErasedMapper<void>), {});
  }

  /**
   * Splits by the first predicate that holds, in the order written. A record that none takes goes nowhere, so let
   * the last branch be `() => true` unless that is meant. A predicate that is a type guard narrows its branch.
   */
  split<const P extends Branches<K, V>>(
    branches: P,
    named?: Named,
  ): { [N in keyof P]: BranchStream<K, V, P[N]> } {
    const { writer, node } = this.plan;
    const router = writer.operator({
      type: 'split',
      prefix: 'KSTREAM-BRANCH',
      name: named?.name,
      parents: [node],
      instantiate: splitOperator(Object.values(branches) as ErasedPredicate[]),
    });
    const streams = Object.keys(branches).map((name) => {
      const branch = writer.operator({
        type: 'branch',
        prefix: 'KSTREAM-BRANCHCHILD',
        name: `${router}-${name}`,
        parents: [router],
        instantiate: (next) => next,
      });
      return [name, new KStream<K, V>({ ...this.plan, node: branch })];
    });
    return Object.fromEntries(streams) as { [N in keyof P]: BranchStream<K, V, P[N]> };
  }

  /** One stream of the records of this and another; order is kept within each input partition only. */
  merge(other: KStream<K, V>, named?: Named): KStream<K, V> {
    const { writer, node, key, value, keyChanged } = this.plan;
    const merged = writer.operator({
      type: 'merge',
      prefix: 'KSTREAM-MERGE',
      name: named?.name,
      parents: [node, other.plan.node],
      instantiate: (next) => next,
    });
    return new KStream<K, V>({
      writer,
      node: merged,
      key: key ?? other.plan.key,
      value: value ?? other.plan.value,
      keyChanged: keyChanged || other.plan.keyChanged,
    });
  }

  /** A custom operator, with stores. One processor per task. The key counts as changed. */
  process<K2, V2>(
    supplier: ProcessorSupplier<K, V, K2, V2>,
    options: Named & { readonly stores?: readonly StoreSpec<StateStore>[] } = {},
  ): KStream<K2, V2> {
    const stores = options.stores ?? [];
    const host = processOperator(supplier, stores);
    return this.#then('process', 'KSTREAM-PROCESSOR', options, host, REKEYED, stores);
  }

  /** As process(), for a processor that forwards records with the key it was given: the partition stays right. */
  processValues<V2>(
    supplier: ProcessorSupplier<K, V, K, V2>,
    options: Named & { readonly stores?: readonly StoreSpec<StateStore>[] } = {},
  ): KStream<K, V2> {
    const stores = options.stores ?? [];
    const host = processOperator(supplier, stores, true);
    return this.#then('processValues', 'KSTREAM-PROCESSVALUES', options, host, NEW_VALUE, stores);
  }

  /**
   * Sends the stream through a topic of the application, partitioned by its key. Operators that need it do this by
   * themselves where the key may have changed; ask for it to set the partition count, or to share the topic.
   */
  repartition(
    options: Grouped<K, V> & {
      /** Partitions of the topic. Default: as many as the topics it is joined with, or those it comes from. */
      readonly partitions?: number;
    } = {},
  ): KStream<K, V> {
    const { writer } = this.plan;
    const name = writer.durableName(options.name, 'KSTREAM-REPARTITION', 'the topic of repartition()');
    const stream = repartitioned(this.#with(options), {
      name: `${name}-repartition`,
      dropNullKeys: false,
      where: `repartition() "${name}"`,
      partitions: options.partitions,
    });
    return new KStream<K, V>(stream);
  }

  /** Groups by the key as it is; repartitions when it was changed before. */
  groupByKey(grouped: Grouped<K, V> = {}): KGroupedStream<K, V> {
    return new KGroupedStream<K, V>({ ...this.#with(grouped), name: grouped.name });
  }

  /** Groups by a new key: repartitions, then groups. Records whose new key is null are left out. */
  groupBy<K2>(
    mapper: (value: V, key: K, record: StreamRecord<K, V>) => K2,
    grouped: Named & { readonly key: Serde<K2>; readonly value?: Serde<V> },
  ): KGroupedStream<K2, V> {
    const named = grouped.name === undefined ? undefined : { name: `${grouped.name}-select` };
    return this.selectKey(mapper, named).groupByKey(grouped);
  }

  /** The stream as a table: the last value of each key; null deletes. Repartitions when the key was changed. */
  toTable(
    options: Grouped<K, NonNullable<V>> & { readonly store?: StoreOptions<K, NonNullable<V>> } = {},
  ): KTable<K, NonNullable<V>> {
    const stream = this.#with(options);
    const { writer } = stream;
    const name = options.name ?? writer.nextName('KSTREAM-TOTABLE');
    const source = stream.keyChanged
      ? repartitioned(stream, {
          name: `${writer.durableName(options.name, 'KSTREAM-TOTABLE', 'the topic of toTable()')}-repartition`,
          dropNullKeys: true,
          where: `toTable() "${name}"`,
        })
      : stream;
    return new KTable<K, NonNullable<V>>(
      new SourceTable({
        writer,
        parent: source.node,
        type: 'toTable',
        prefix: 'KSTREAM-TOTABLE',
        name,
        key: (options.store?.key as Serde<unknown> | undefined) ?? source.key,
        value: (options.store?.value as Serde<unknown> | undefined) ?? source.value,
        store: options.store as StoreOptions<never, never> | undefined,
        storeName: options.store?.name ?? options.name,
        storePrefix: 'KSTREAM-TOTABLE-STATE-STORE',
      }),
    );
  }

  /**
   * Joins with a stream (records of equal keys within a window of event time), with a table (its current value of
   * the record's key; as of the record's time where the table is versioned), or with a global table (by any key).
   * Records without a partner give nothing; those without a key or a value are left out.
   */
  join<V2, R>(
    other: KStream<K, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    options: StreamJoinOptions<K, V, V2>,
  ): KStream<K, R>;
  join<V2, R>(
    table: KTable<K, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    options?: TableLookupOptions<K, V>,
  ): KStream<K, R>;
  join<K2, V2, R>(
    table: GlobalTable<K2, V2>,
    joiner: (left: V, right: V2, key: K) => R,
    options: Named & { readonly by: (value: V, key: K) => K2 | null },
  ): KStream<K, R>;
  join(other: Joinable, joiner: (left: V, right: never, key: K) => unknown, options: object = {}): unknown {
    return this.#join('inner', other, joiner as ErasedJoiner, options);
  }

  /** As join(), with a result for every record of this stream: `right` is null where it has no partner. */
  leftJoin<V2, R>(
    other: KStream<K, V2>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options: StreamJoinOptions<K, V, V2>,
  ): KStream<K, R>;
  leftJoin<V2, R>(
    table: KTable<K, V2>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options?: TableLookupOptions<K, V>,
  ): KStream<K, R>;
  leftJoin<K2, V2, R>(
    table: GlobalTable<K2, V2>,
    joiner: (left: V, right: V2 | null, key: K) => R,
    options: Named & { readonly by: (value: V, key: K) => K2 | null },
  ): KStream<K, R>;
  leftJoin(
    other: Joinable,
    joiner: (left: V, right: never, key: K) => unknown,
    options: object = {},
  ): unknown {
    return this.#join('left', other, joiner as ErasedJoiner, options);
  }

  /** Joins two streams with a result for every record of either: emitted alone once its window has closed. */
  outerJoin<V2, R>(
    other: KStream<K, V2>,
    joiner: (left: V | null, right: V2 | null, key: K) => R,
    options: StreamJoinOptions<K, V, V2>,
  ): KStream<K, R> {
    return new KStream<K, R>(
      streamStreamJoin('outer', this.plan, other.plan, joiner as ErasedJoiner, options),
    );
  }

  /** Writes the stream to a topic, or to one of several chosen by record. */
  to(topic: string | DynamicTopic<K, V>, produced: Produced<K, V>): void {
    this.plan.writer.sink(this.plan.node, topic, produced);
  }

  #join(
    kind: Exclude<StreamJoinKind, 'outer'>,
    other: Joinable,
    joiner: ErasedJoiner,
    options: object,
  ): KStream<K, unknown> {
    const plan =
      other instanceof KStream
        ? streamStreamJoin(kind, this.plan, other.plan, joiner, options as never)
        : other instanceof KTable
          ? streamTableJoin(kind, this.plan, other.plan, joiner, options)
          : other instanceof GlobalTable
            ? streamGlobalJoin(kind, this.plan, other.spec, joiner, options as never)
            : unjoinable(kind);
    return new KStream<K, unknown>(plan);
  }

  #with(serdes: { readonly key?: Serde<K>; readonly value?: Serde<V> }): StreamPlan {
    return { ...this.plan, key: serdes.key ?? this.plan.key, value: serdes.value ?? this.plan.value };
  }

  #then<K2, V2>(
    type: string,
    prefix: string,
    named: Named | undefined,
    instantiate: OperatorSpec['instantiate'],
    kept: Kept,
    stores: readonly StoreSpec<StateStore>[] = [],
  ): KStream<K2, V2> {
    const node = this.plan.writer.operator({
      type,
      prefix,
      name: named?.name,
      parents: [this.plan.node],
      stores: () => stores,
      instantiate,
    });
    return new KStream<K2, V2>({ ...this.plan, ...kept, node });
  }
}

const NEW_VALUE: Kept = { value: null };
const NEW_KEY: Kept = { key: null, keyChanged: true };
const REKEYED: Kept = { key: null, value: null, keyChanged: true };

function unjoinable(kind: string): never {
  throw new TopologyError(`${kind} join: the other side must be a KStream, a KTable or a GlobalTable`);
}
