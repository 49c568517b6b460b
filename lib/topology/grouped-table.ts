/** Tables regrouped by another key, and their aggregates with subtraction. */
import type { Serde } from '../serde/serde.ts';
import { regroupOperator, tableAggregate, type Add, type Aggregation } from './aggregate-operators.ts';
import { changeSerde } from './change.ts';
import { countSerde } from './count-serde.ts';
import { Encoder } from './encoder.ts';
import { AggregateTable, type RunningMaterialized } from './grouped-stream.ts';
import { KTable } from './k-table.ts';
import { storeView, tableStore, type TablePlan } from './plan.ts';
import type { KeyValue, Named } from './stream-options.ts';

/** `add` and `subtract` must undo each other; both get the aggregate, the value and the key. */
export interface TableAggregateOptions<K, V, A> {
  readonly initial: () => A;
  readonly add: (aggregate: A, value: V, key: K) => A | null;
  readonly subtract: (aggregate: A, value: V, key: K) => A | null;
  readonly value: Serde<A>;
}

type Mapper = (value: unknown, key: unknown) => KeyValue<unknown, unknown>;

export class KGroupedTable<K, V> {
  readonly #parent: TablePlan;
  readonly #mapper: Mapper;
  readonly #grouped: Named & { readonly key: Serde<unknown>; readonly value: Serde<unknown> };
  #source: string | null = null;

  /** @internal Use KTable.groupBy(). */
  constructor(
    parent: TablePlan,
    mapper: Mapper,
    grouped: Named & { readonly key: Serde<unknown>; readonly value: Serde<unknown> },
  ) {
    this.#parent = parent;
    this.#mapper = mapper;
    this.#grouped = grouped;
    parent.sendOldValues(true);
  }

  /** How many rows have each key. */
  count(options: RunningMaterialized<K> = {}): KTable<K, number> {
    return this.#table(
      'count',
      {
        initial: () => 0,
        add: (count) => (count as number) + 1,
        subtract: (count) => (count as number) - 1,
      },
      countSerde,
      options,
    );
  }

  /** The rows of each key combined; `subtract` takes out what a change replaces. */
  reduce(
    reducers: {
      readonly add: (aggregate: V, value: V) => V | null;
      readonly subtract: (aggregate: V, value: V) => V | null;
    } & RunningMaterialized<K>,
  ): KTable<K, V> {
    const add = reducers.add as (aggregate: unknown, value: unknown) => unknown;
    return this.#table(
      'reduce',
      {
        initial: null,
        add: (aggregate, value) => (aggregate === null ? value : add(aggregate, value)),
        subtract: reducers.subtract as Add,
      },
      this.#grouped.value as Serde<V>,
      reducers,
    );
  }

  aggregate<A>(options: TableAggregateOptions<K, V, A> & RunningMaterialized<K>): KTable<K, A> {
    return this.#table(
      'aggregate',
      { initial: options.initial, add: options.add as Add, subtract: options.subtract as Add },
      options.value,
      options,
    );
  }

  #table<A>(
    type: string,
    aggregation: Aggregation & { readonly subtract: Add },
    value: Serde<A>,
    options: RunningMaterialized<K>,
  ): KTable<K, A> {
    const { writer } = this.#parent;
    const prefix = type === 'reduce' ? 'KTABLE-REDUCE' : 'KTABLE-AGGREGATE';
    const name = writer.durableName(options.name, `${prefix}-STATE-STORE`, `the store of ${type}()`);
    const key = (options.key as Serde<unknown> | undefined) ?? this.#grouped.key;
    const spec = tableStore(name, key, value, options);
    const versioned = options.historyMs !== undefined;
    const node = this.#repartitioned(name);
    return new KTable<K, A>(
      new AggregateTable({
        type,
        prefix,
        name: options.name,
        sources: [{ writer, node, key, value: this.#grouped.value, keyChanged: false }],
        key,
        value,
        spec,
        versioned,
        view: () => storeView(spec, versioned),
        operator: (_i, sendsOld) => tableAggregate(spec, versioned, aggregation, sendsOld),
      }),
    );
  }

  /** Both pairs of a change go through one internal topic, made for the first aggregate and shared by the others. */
  #repartitioned(storeName: string): string {
    if (this.#source !== null) return this.#source;
    const { writer } = this.#parent;
    const { key, value, name } = this.#grouped;
    const left = new Encoder(key);
    const right = new Encoder(key);
    const regroup = writer.operator({
      type: 'groupBy',
      prefix: 'KTABLE-SELECT',
      name,
      parents: [this.#parent.node],
      instantiate: regroupOperator(
        this.#mapper,
        (a, b) => left.encode(a).equals(right.encode(b)),
        this.#parent.versioned,
      ),
    });
    this.#source = writer.repartition(regroup, {
      name: `${name ?? storeName}-repartition`,
      key,
      value: changeSerde(value),
    });
    return this.#source;
  }
}
