/**
 * A table: the latest value of each key of a changelog. Operators leave it as it is and give new tables, which change
 * as it changes.
 */
import { nullable, type Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { Change } from './change.ts';
import { foreignKeyJoin, type ForeignKeyJoinOptions } from './foreign-key-join.ts';
import { TopologyError } from './graph.ts';
import { KGroupedTable } from './grouped-table.ts';
import { KStream } from './k-stream.ts';
import { emptyRecord } from './operators.ts';
import type { StoreOptions, TablePlan } from './plan.ts';
import type { KeyValue, Named } from './stream-options.ts';
import { suppressed, type SuppressOptions } from './suppress.ts';
import { tableJoin, type TableJoinKind } from './table-join.ts';
import { DerivedTable } from './table-operators.ts';

/** A derived table keeps no store of its own unless one is given. */
export interface StoredAs<K, V> extends Named {
  /** Keeps the result, to be queried, and to be looked up without computing it again. */
  readonly store?: StoreOptions<K, V>;
}

export class KTable<K, V> {
  /** @internal */
  readonly plan: TablePlan;

  /** @internal Use StreamBuilder.table(), KStream.toTable() or an aggregate. */
  constructor(plan: TablePlan) {
    this.plan = plan;
  }

  /** The table's own store, for queries. Throws TopologyError for a table that was not given one. */
  get store(): StoreSpec<StateStore> {
    if (this.plan.store !== null) return this.plan.store;
    throw new TopologyError(
      `table ${this.plan.node} has no store of its own; give its operator { store: { name } }`,
    );
  }

  /** Keeps the keys whose value satisfies the predicate; for the others the new table has no value. */
  filter<S extends V>(predicate: (value: V, key: K) => value is S, options?: StoredAs<K, S>): KTable<K, S>;
  filter(predicate: (value: V, key: K) => boolean, options?: StoredAs<K, V>): KTable<K, V>;
  filter(predicate: (value: V, key: K) => boolean, options: StoredAs<K, V> = {}): KTable<K, V> {
    return new KTable<K, V>(
      new DerivedTable({
        parent: this.plan,
        type: 'filter',
        prefix: 'KTABLE-FILTER',
        name: options.name,
        value: options.store?.value ?? this.plan.value,
        store: options.store as StoreOptions<never, never> | undefined,
        compute: (key, value) => (predicate(value as V, key as K) ? value : null),
      }),
    );
  }

  /** A new value for each key; null is no value. The mapper must depend on its arguments alone. */
  mapValues<V2>(
    mapper: (value: V, key: K) => V2 | null,
    options: StoredAs<K, NonNullable<V2>> = {},
  ): KTable<K, NonNullable<V2>> {
    return new KTable<K, NonNullable<V2>>(
      new DerivedTable({
        parent: this.plan,
        type: 'mapValues',
        prefix: 'KTABLE-MAPVALUES',
        name: options.name,
        value: options.store?.value ?? null,
        store: options.store as StoreOptions<never, never> | undefined,
        compute: (key, value) => mapper(value as V, key as K),
      }),
    );
  }

  /** Every change as a record: the new value, or null where the key has none any more. */
  toStream(named?: Named): KStream<K, V | null> {
    const { writer, node: parent, key, value } = this.plan;
    const node = writer.operator({
      type: 'toStream',
      prefix: 'KTABLE-TOSTREAM',
      name: named?.name,
      parents: [parent],
      instantiate: (next) => {
        const out = emptyRecord();
        return {
          receive(record) {
            out.key = record.key;
            out.value = (record.value as Change).newValue;
            out.timestamp = record.timestamp;
            out.headers = record.headers;
            next.receive(out);
          },
        };
      },
    });
    return new KStream<K, V | null>({
      writer,
      node,
      key,
      value: value === null ? null : nullable(value),
      keyChanged: false,
    });
  }

  /** Regroups by another key; aggregates of it subtract what a change replaces and add what it brings. */
  groupBy<K2, V2>(
    mapper: (value: V, key: K) => KeyValue<K2, V2>,
    grouped: Named & { readonly key: Serde<K2>; readonly value: Serde<V2> },
  ): KGroupedTable<K2, V2> {
    return new KGroupedTable<K2, V2>(
      this.plan,
      mapper as (value: unknown, key: unknown) => KeyValue<unknown, unknown>,
      grouped,
    );
  }

  /**
   * Holds changes back: until their window has closed, or until their key has been quiet, in stream time. The order
   * of what is let go is by time, then by key bytes. See SuppressOptions.
   */
  suppress(options: SuppressOptions<K, V>): KTable<K, V> {
    return new KTable<K, V>(suppressed(this.plan, options));
  }

  /** Joins with a table of equal keys: a value where both have one. */
  join<V2, R>(
    other: KTable<K, V2>,
    joiner: (left: V, right: V2) => R | null,
    options?: StoredAs<K, NonNullable<R>>,
  ): KTable<K, NonNullable<R>> {
    return this.#join('inner', other, joiner as Joiner, options);
  }

  /** A value wherever this table has one; `right` is null where the other has none. */
  leftJoin<V2, R>(
    other: KTable<K, V2>,
    joiner: (left: V, right: V2 | null) => R | null,
    options?: StoredAs<K, NonNullable<R>>,
  ): KTable<K, NonNullable<R>> {
    return this.#join('left', other, joiner as Joiner, options);
  }

  /** A value wherever one of the tables has one. */
  outerJoin<V2, R>(
    other: KTable<K, V2>,
    joiner: (left: V | null, right: V2 | null) => R | null,
    options?: StoredAs<K, NonNullable<R>>,
  ): KTable<K, NonNullable<R>> {
    return this.#join('outer', other, joiner as Joiner, options);
  }

  /**
   * Joins each row with the row of another table that its foreign key names (KIP-213): a change of either side
   * changes the result. Rows without a foreign key have no result.
   */
  joinForeignKey<K2, V2, R>(
    other: KTable<K2, V2>,
    options: ForeignKeyJoinOptions<K, V, K2, V2, R>,
  ): KTable<K, NonNullable<R>> {
    return new KTable<K, NonNullable<R>>(foreignKeyJoin(this.plan, other.plan, options as never, false));
  }

  /** As joinForeignKey, with a result for every row: `right` is null where there is no such other row. */
  leftJoinForeignKey<K2, V2, R>(
    other: KTable<K2, V2>,
    options: ForeignKeyJoinOptions<K, V, K2, V2 | null, R>,
  ): KTable<K, NonNullable<R>> {
    return new KTable<K, NonNullable<R>>(foreignKeyJoin(this.plan, other.plan, options as never, true));
  }

  #join<V2, R>(
    kind: TableJoinKind,
    other: KTable<K, V2>,
    joiner: Joiner,
    options: StoredAs<K, R> = {},
  ): KTable<K, R> {
    return new KTable<K, R>(
      tableJoin({
        kind,
        left: this.plan,
        right: other.plan,
        joiner,
        name: options.name,
        store: options.store as StoreOptions<never, never> | undefined,
      }),
    );
  }
}

type Joiner = (left: unknown, right: unknown) => unknown;
