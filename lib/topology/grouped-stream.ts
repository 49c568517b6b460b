/** Streams grouped by key, and their aggregates: running ones, windowed ones, and several streams into one. */
import type { Serde } from '../serde/serde.ts';
import { sessionStore } from '../state/session-store.ts';
import type { StateStore, StorageKind, StoreSpec } from '../state/state-store.ts';
import { windowStore } from '../state/window-store.ts';
import { streamAggregate, reduction, type Add, type Aggregation } from './aggregate-operators.ts';
import { TopologyError, type OperatorSpec } from './graph.ts';
import { KStream } from './k-stream.ts';
import { KTable } from './k-table.ts';
import { needed, storeView, tableStore, type StreamPlan, type TablePlan, type TableView } from './plan.ts';
import { repartitioned } from './repartition.ts';
import type { Named } from './stream-options.ts';
import { countSerde } from './count-serde.ts';
import { timestampedSerde } from './timestamped.ts';
import {
  LatePort,
  sessionAggregate,
  slidingWindowAggregate,
  timeWindowAggregate,
} from './window-operators.ts';
import {
  sessionWindowedSerde,
  timeWindowedSerde,
  type SessionWindows,
  type SlidingWindows,
  type TimeWindows,
  type Windowed,
} from './windows.ts';
import { sessionView, windowView } from './window-views.ts';

/** How an aggregate is kept. Its name names the operator, the store, the changelog and a repartition topic. */
export interface Materialized<K> extends Named {
  /** Default: the serde of the grouping. */
  readonly key?: Serde<K>;
  /** Where the store lives. Default `memory`. */
  readonly storage?: StorageKind;
}

export interface RunningMaterialized<K> extends Materialized<K> {
  /** Keeps the history of each key this long, for reads as of a time (KIP-889). */
  readonly historyMs?: number;
}

export interface WindowedMaterialized<K> extends Materialized<K> {
  /** How long windows stay readable, in event time; at least size plus grace, which is the default. */
  readonly retentionMs?: number;
}

/** `add` gets the aggregate, the value and the key, and returns the new aggregate; null deletes it. */
export interface AggregateOptions<K, V, A> {
  /** The aggregate of a key before its first value. Called each time: a new object each time. */
  readonly initial: () => A;
  readonly add: (aggregate: A, value: V, key: K) => A | null;
  readonly value: Serde<A>;
}

export interface SessionAggregateOptions<K, V, A> extends AggregateOptions<K, V, A> {
  /** One aggregate of two sessions that became one. */
  readonly merge: (a: A, b: A, key: K) => A;
}

const COUNT: Aggregation = { initial: () => 0, add: (count) => (count as number) + 1 };

/** What a grouping shares with the aggregates made of it. */
export interface GroupPlan extends StreamPlan {
  readonly name: string | undefined;
}

/** A stream whose records are grouped by key. Values are aggregated in the order of arrival, per key. */
export class KGroupedStream<K, V> {
  /** @internal */
  readonly plan: GroupPlan;
  #through: StreamPlan | null = null;

  /** @internal Use KStream.groupByKey() or groupBy(). */
  constructor(plan: GroupPlan) {
    this.plan = plan;
  }

  /** How many records each key has. Records without key or value do not count. */
  count(options: RunningMaterialized<K> = {}): KTable<K, number> {
    return this.#running('count', COUNT, countSerde, options);
  }

  /** The values of each key combined, two at a time; the first value is the first result. */
  reduce(
    reducer: (aggregate: V, value: V) => V | null,
    options: RunningMaterialized<K> & { readonly value?: Serde<V> } = {},
  ): KTable<K, V> {
    const value = options.value ?? (this.plan.value as Serde<V> | null);
    return this.#running('reduce', reduction(reducer as Reducer), value, options);
  }

  /** The values of each key added to an aggregate of any type. */
  aggregate<A>(options: AggregateOptions<K, V, A> & RunningMaterialized<K>): KTable<K, A> {
    const aggregation = { initial: options.initial, add: options.add as Add };
    return this.#running('aggregate', aggregation, options.value, options);
  }

  /** Aggregates by key and window. Records for windows that have closed are late: see WindowedKTable.late. */
  windowedBy(windows: SessionWindows): SessionWindowedKStream<K, V>;
  windowedBy(windows: TimeWindows | SlidingWindows): TimeWindowedKStream<K, V>;
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
  ): SessionWindowedKStream<K, V> | TimeWindowedKStream<K, V> {
    const group = new WindowedGroup<K, V>(this, windows);
    return windows.kind === 'session' ? new SessionWindowedKStream(group) : new TimeWindowedKStream(group);
  }

  /** Starts an aggregate of several grouped streams with equal keys. */
  cogroup<A>(add: (aggregate: A, value: V, key: K) => A | null): CogroupedKStream<K, A> {
    return new CogroupedKStream<K, A>([]).cogroup(this, add);
  }

  /**
   * The node that an aggregate of this name reads: behind a repartition topic when the key has changed. One topic
   * serves all aggregates of a grouping.
   * @internal
   */
  source(storeName: string): StreamPlan {
    if (!this.plan.keyChanged) return this.plan;
    this.#through ??= repartitioned(this.plan, {
      name: `${this.plan.name ?? storeName}-repartition`,
      dropNullKeys: true,
      where: `the aggregate "${storeName}"`,
    });
    return this.#through;
  }

  #running<A>(
    type: string,
    aggregation: Aggregation,
    value: Serde<A> | null,
    options: RunningMaterialized<K>,
  ): KTable<K, A> {
    const { writer } = this.plan;
    const prefix = type === 'reduce' ? 'KSTREAM-REDUCE' : 'KSTREAM-AGGREGATE';
    const store = writer.durableName(options.name, `${prefix}-STATE-STORE`, `the store of ${type}()`);
    const key = needed(options.key ?? this.plan.key, 'key', `groupByKey() before ${type}() "${store}"`);
    const spec = tableStore(store, key, needed(value, 'value', `${type}() "${store}"`), options);
    const versioned = options.historyMs !== undefined;
    return new KTable<K, A>(
      new AggregateTable({
        type,
        prefix,
        name: options.name,
        sources: [this.source(store)],
        key,
        value,
        spec,
        versioned,
        view: () => storeView(spec, versioned),
        operator: (_i, sendsOld) => streamAggregate(spec, versioned, aggregation, sendsOld),
      }),
    );
  }
}

type Reducer = (aggregate: unknown, value: unknown) => unknown;

interface AggregateTableDraft {
  readonly type: string;
  readonly prefix: string;
  readonly name: string | undefined;
  /** One operator reads each of them; all share the store. */
  readonly sources: readonly StreamPlan[];
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown> | null;
  readonly spec: StoreSpec<StateStore>;
  readonly versioned: boolean;
  readonly closeDelayMs?: number;
  view(): TableView;
  operator(source: number, sendsOld: () => boolean): OperatorSpec['instantiate'];
}

/** A table that is an aggregate: it always has a store. */
export class AggregateTable implements TablePlan {
  readonly writer: TablePlan['writer'];
  readonly node: string;
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown> | null;
  readonly versioned: boolean;
  readonly closeDelayMs: number | null;
  readonly store: StoreSpec<StateStore>;
  /** The operators that aggregate, one per source. */
  readonly aggregators: readonly string[];
  readonly #draft: AggregateTableDraft;
  #old = false;

  constructor(draft: AggregateTableDraft) {
    const { sources, name, type, prefix, spec } = draft;
    const [first] = sources;
    if (first === undefined) throw new TopologyError('an aggregate needs at least one stream');
    this.#draft = draft;
    this.writer = first.writer;
    this.key = draft.key;
    this.value = draft.value;
    this.versioned = draft.versioned;
    this.closeDelayMs = draft.closeDelayMs ?? null;
    this.store = spec;
    this.aggregators = sources.map((source, i) =>
      this.writer.operator({
        type,
        prefix,
        name: name === undefined || sources.length === 1 ? name : `${name}-cogroup-agg-${i}`,
        parents: [source.node],
        stores: () => [spec],
        instantiate: draft.operator(i, () => this.#old),
      }),
    );
    this.node =
      sources.length === 1
        ? this.aggregators[0]!
        : this.writer.operator({
            type: 'merge',
            prefix: 'COGROUPKSTREAM-MERGE',
            name: name === undefined ? undefined : `${name}-cogroup-merge`,
            parents: this.aggregators,
            instantiate: (next) => next,
          });
  }

  sendOldValues(): boolean {
    this.#old = true;
    return true;
  }

  view(): TableView {
    return this.#draft.view();
  }
}

/** A table of windows, with the records that came too late for it. */
export class WindowedKTable<K, A, V> extends KTable<Windowed<K>, A> {
  readonly #late: () => StreamPlan;
  #lateStream: KStream<K, V> | null = null;

  /** @internal */
  constructor(plan: TablePlan, late: () => StreamPlan) {
    super(plan);
    this.#late = late;
  }

  /**
   * The records that came after at least one of their windows had closed (stream time had passed its end by more
   * than the grace), as they were: each once, however many of its windows it missed. They are counted as well.
   */
  get late(): KStream<K, V> {
    this.#lateStream ??= new KStream<K, V>(this.#late());
    return this.#lateStream;
  }
}

/** Aggregates of one or several groupings by one kind of windows. */
class WindowedGroup<K, V> {
  readonly groups: readonly KGroupedStream<K, never>[];
  readonly windows: TimeWindows | SlidingWindows | SessionWindows;

  constructor(
    group: KGroupedStream<K, V> | readonly KGroupedStream<K, never>[],
    windows: TimeWindows | SlidingWindows | SessionWindows,
  ) {
    this.groups = group instanceof KGroupedStream ? [group as unknown as KGroupedStream<K, never>] : group;
    this.windows = windows;
  }

  get valueSerde(): Serde<unknown> | null {
    return this.groups[0]!.plan.value;
  }

  table<A>(
    type: string,
    aggregations: readonly Aggregation[],
    merge: ((a: unknown, b: unknown, key: unknown) => unknown) | null,
    valueSerde: Serde<unknown> | null,
    options: WindowedMaterialized<K>,
  ): WindowedKTable<K, A, V> {
    const { windows } = this;
    const { writer } = this.groups[0]!.plan;
    const prefix = type === 'reduce' ? 'KSTREAM-REDUCE' : 'KSTREAM-AGGREGATE';
    const name = writer.durableName(options.name, `${prefix}-STATE-STORE`, `the store of ${type}()`);
    const key = needed(options.key ?? this.groups[0]!.plan.key, 'key', `groupByKey() before "${name}"`);
    const value = needed(valueSerde, 'value', `${type}() "${name}"`);
    const storage = options.storage === undefined ? {} : { storage: options.storage };
    const retentionMs = retentionOf(windows, options.retentionMs, name);
    const spec: StoreSpec<StateStore> =
      windows.kind === 'session'
        ? sessionStore(name, { key, value, retentionMs, ...storage })
        : windowStore(name, {
            key,
            value: timestampedSerde(value),
            windowSizeMs: Math.max(1, sizeOf(windows)),
            retentionMs,
            ...storage,
          });
    const table = new AggregateTable({
      type,
      prefix,
      name: options.name,
      sources: this.groups.map((group) => group.source(name)),
      key: windows.kind === 'session' ? sessionWindowedSerde(key) : timeWindowedSerde(key, sizeOf(windows)),
      value,
      spec,
      versioned: false,
      closeDelayMs: windows.graceMs + (windows.kind === 'session' ? windows.gapMs : 0),
      view: () => (windows.kind === 'session' ? sessionView(spec) : windowView(spec)),
      operator: (i, sendsOld) =>
        windows.kind === 'session'
          ? sessionAggregate(spec, windows, aggregations[i]!, merge!, sendsOld)
          : windows.kind === 'sliding'
            ? slidingWindowAggregate(spec, windows, aggregations[i]!, sendsOld)
            : timeWindowAggregate(spec, windows, aggregations[i]!, sendsOld),
    });
    return new WindowedKTable<K, A, V>(table, () => {
      const source = this.groups[0]!.source(name);
      const single = this.groups.length === 1;
      const node = writer.operator({
        type: 'late',
        prefix: 'KSTREAM-LATE',
        name: `${name}-late`,
        parents: table.aggregators,
        instantiate: (next) => new LatePort(next),
      });
      return { writer, node, key: source.key, value: single ? source.value : null, keyChanged: false };
    });
  }
}

/** A grouped stream in tumbling, hopping or sliding windows. */
export class TimeWindowedKStream<K, V> {
  readonly #group: WindowedGroup<K, V>;

  /** @internal Use KGroupedStream.windowedBy(). */
  constructor(group: WindowedGroup<K, V>) {
    this.#group = group;
  }

  count(options: WindowedMaterialized<K> = {}): WindowedKTable<K, number, V> {
    return this.#group.table('count', [COUNT], null, countSerde, options);
  }

  reduce(
    reducer: (aggregate: V, value: V) => V | null,
    options: WindowedMaterialized<K> & { readonly value?: Serde<V> } = {},
  ): WindowedKTable<K, V, V> {
    const value = options.value ?? this.#group.valueSerde;
    return this.#group.table('reduce', [reduction(reducer as Reducer)], null, value, options);
  }

  aggregate<A>(options: AggregateOptions<K, V, A> & WindowedMaterialized<K>): WindowedKTable<K, A, V> {
    const aggregation = { initial: options.initial, add: options.add as Add };
    return this.#group.table('aggregate', [aggregation], null, options.value, options);
  }
}

/** A grouped stream in session windows. */
export class SessionWindowedKStream<K, V> {
  readonly #group: WindowedGroup<K, V>;

  /** @internal Use KGroupedStream.windowedBy(). */
  constructor(group: WindowedGroup<K, V>) {
    this.#group = group;
  }

  count(options: WindowedMaterialized<K> = {}): WindowedKTable<K, number, V> {
    const merge = (a: unknown, b: unknown): number => (a as number) + (b as number);
    return this.#group.table('count', [COUNT], merge, countSerde, options);
  }

  reduce(
    reducer: (aggregate: V, value: V) => V | null,
    options: WindowedMaterialized<K> & { readonly value?: Serde<V> } = {},
  ): WindowedKTable<K, V, V> {
    const value = options.value ?? this.#group.valueSerde;
    const reduce = reducer as Reducer;
    return this.#group.table('reduce', [reduction(reduce)], reduce, value, options);
  }

  aggregate<A>(options: SessionAggregateOptions<K, V, A> & WindowedMaterialized<K>): WindowedKTable<K, A, V> {
    const aggregation = { initial: options.initial, add: options.add as Add };
    const merge = options.merge as (a: unknown, b: unknown, key: unknown) => unknown;
    return this.#group.table('aggregate', [aggregation], merge, options.value, options);
  }
}

interface CogroupMember {
  readonly group: KGroupedStream<unknown, unknown>;
  readonly add: Add;
}

/** Several grouped streams with equal keys, each added to one aggregate in its own way (KIP-150). */
export class CogroupedKStream<K, A> {
  readonly #members: readonly CogroupMember[];

  /** @internal Use KGroupedStream.cogroup(). */
  constructor(members: readonly CogroupMember[]) {
    this.#members = members;
  }

  /** Adds a stream; this cogroup stays as it is. */
  cogroup<V>(
    group: KGroupedStream<K, V>,
    add: (aggregate: A, value: V, key: K) => A | null,
  ): CogroupedKStream<K, A> {
    const member = { group: group as unknown as KGroupedStream<unknown, unknown>, add: add as Add };
    return new CogroupedKStream<K, A>([...this.#members, member]);
  }

  aggregate(
    options: { readonly initial: () => A; readonly value: Serde<A> } & RunningMaterialized<K>,
  ): KTable<K, A> {
    const first = this.#members[0]!.group.plan;
    const prefix = 'COGROUPKSTREAM-AGGREGATE';
    const name = first.writer.durableName(options.name, `${prefix}-STATE-STORE`, 'the store of a cogroup');
    const key = needed(options.key ?? first.key, 'key', `the first grouping of cogroup "${name}"`);
    const spec = tableStore(name, key, options.value, options);
    const versioned = options.historyMs !== undefined;
    const table = new AggregateTable({
      type: 'cogroup',
      prefix,
      name: options.name,
      sources: this.#sources(name),
      key,
      value: options.value,
      spec,
      versioned,
      view: () => storeView(spec, versioned),
      operator: (i, sendsOld) =>
        streamAggregate(spec, versioned, { initial: options.initial, add: this.#members[i]!.add }, sendsOld),
    });
    return new KTable<K, A>(table);
  }

  /** Aggregates by key and window. */
  windowedBy(windows: TimeWindows | SlidingWindows): WindowedCogroup<K, A>;
  windowedBy(windows: SessionWindows): SessionWindowedCogroup<K, A>;
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
  ): WindowedCogroup<K, A> | SessionWindowedCogroup<K, A> {
    const groups = this.#members.map((member) => member.group as unknown as KGroupedStream<K, never>);
    const group = new WindowedGroup<K, unknown>(groups, windows);
    const adds = this.#members.map((member) => member.add);
    return {
      aggregate: (
        options: { readonly initial: () => A; readonly value: Serde<A> } & WindowedMaterialized<K> &
          Partial<Pick<SessionAggregateOptions<K, never, A>, 'merge'>>,
      ) => {
        const aggregations = adds.map((add) => ({ initial: options.initial, add }));
        const merge = (options.merge ?? null) as ((a: unknown, b: unknown, key: unknown) => unknown) | null;
        return group.table<A>('aggregate', aggregations, merge, options.value, options);
      },
    };
  }

  #sources(name: string): StreamPlan[] {
    return this.#members.map((member, i) =>
      member.group.source(this.#members.length === 1 || i === 0 ? name : `${name}-${i}`),
    );
  }
}

export interface WindowedCogroup<K, A> {
  aggregate(
    options: { readonly initial: () => A; readonly value: Serde<A> } & WindowedMaterialized<K>,
  ): WindowedKTable<K, A, unknown>;
}

export interface SessionWindowedCogroup<K, A> {
  aggregate(
    options: {
      readonly initial: () => A;
      readonly value: Serde<A>;
      readonly merge: (a: A, b: A, key: K) => A;
    } & WindowedMaterialized<K>,
  ): WindowedKTable<K, A, unknown>;
}

function sizeOf(windows: TimeWindows | SlidingWindows | SessionWindows): number {
  return windows.kind === 'time' ? windows.sizeMs : windows.kind === 'sliding' ? windows.differenceMs : 0;
}

/** Kafka Streams' defaults: what the operator itself reads must be there. */
function retentionOf(
  windows: TimeWindows | SlidingWindows | SessionWindows,
  wanted: number | undefined,
  name: string,
): number {
  const { graceMs } = windows;
  const least =
    windows.kind === 'time'
      ? windows.sizeMs + graceMs
      : windows.kind === 'sliding'
        ? 2 * windows.differenceMs + graceMs
        : windows.gapMs + graceMs;
  if (wanted === undefined) return Math.max(1, least);
  if (wanted >= least) return wanted;
  throw new TopologyError(
    `store "${name}" is to keep windows for ${wanted} ms, but its windows and their grace need ${least} ms`,
  );
}
