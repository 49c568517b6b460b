/**
 * What the builder knows about a stream or a table while the graph is being written: its node, its serdes, and for
 * a table how its values can be read by key. Tables materialise lazily, as in Kafka Streams: a source table, filter
 * or mapValues keeps a store only once something needs to look into it, so plans change until `build()`.
 */
import type { Serde } from '../serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../state/key-value-store.ts';
import type { StateStore, StorageKind, StoreSpec } from '../state/state-store.ts';
import { versionedStore, type VersionedStore } from '../state/versioned-store.ts';
import { TopologyError, type TaskEnvironment } from './graph.ts';
import type { GraphWriter } from './graph-writer.ts';
import { timestampedSerde, type Timestamped } from './timestamped.ts';

export interface StreamPlan {
  readonly writer: GraphWriter;
  readonly node: string;
  /** null when it is not known any more (the key was mapped, and no serde was given since). */
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown> | null;
  /** Whether the key may have changed since the records were partitioned. */
  readonly keyChanged: boolean;
}

/** Reads a table's value by key, at run time. */
export interface ValueGetter {
  /** The current value; null when there is none. */
  get(key: unknown): Timestamped<unknown> | null;
  /** The value as of a time; only where the table is versioned. */
  getAsOf(key: unknown, timestamp: number): Timestamped<unknown> | null;
}

/** How a table can be looked into: which stores that needs, and the getter. */
export interface TableView {
  stores(): readonly StoreSpec<StateStore>[];
  /** Whether reads as of a time are possible. */
  readonly versioned: boolean;
  open(environment: TaskEnvironment): ValueGetter;
}

export interface TablePlan {
  readonly writer: GraphWriter;
  readonly node: string;
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown> | null;
  /** Whether its changes may be out of order and say so (KIP-914). */
  readonly versioned: boolean;
  /** How long after a window's end (in stream time) its row is final; null when its keys are no windows. */
  readonly closeDelayMs: number | null;
  /** The store that was asked for by name; null when there is none. */
  readonly store: StoreSpec<StateStore> | null;
  /**
   * Asks for old values in its changes. With `force` it materialises what it must; without, it answers false rather
   * than materialise anything.
   */
  sendOldValues(force: boolean): boolean;
  /** A way to look into it; may materialise it. */
  view(): TableView;
}

/** How a table is kept, where one is asked for. */
export interface StoreOptions<K, V> {
  /** Names the store and its changelog; give one, so that later changes of the topology keep it. */
  readonly name?: string;
  readonly key?: Serde<K>;
  readonly value?: Serde<V>;
  /** Where it lives. Default `memory`. */
  readonly storage?: StorageKind;
  /**
   * Keeps the history of each key for this long (milliseconds of event time), so that joins can look up the value
   * that held at a record's time (KIP-889). Default: only the latest value is kept.
   */
  readonly historyMs?: number;
}

/** What became of a put into a table's store. */
export type TablePut = 'latest' | 'out-of-order' | 'expired';

/** A table's store as operators use it: the latest value with its timestamp, versioned or not. */
export interface TableStore extends ValueGetter {
  put(key: unknown, value: unknown, timestamp: number): TablePut;
}

/** Declares the store of a table. */
export function tableStore(
  name: string,
  key: Serde<unknown>,
  value: Serde<unknown>,
  options: Pick<StoreOptions<unknown, unknown>, 'storage' | 'historyMs'>,
): StoreSpec<StateStore> {
  const storage = options.storage === undefined ? {} : { storage: options.storage };
  return options.historyMs === undefined
    ? keyValueStore(name, { key, value: timestampedSerde(value), ...storage })
    : versionedStore(name, { key, value, historyRetentionMs: options.historyMs, ...storage });
}

/** Opens a store that `tableStore` declared. */
export function openTableStore(
  spec: StoreSpec<StateStore>,
  versioned: boolean,
  environment: TaskEnvironment,
): TableStore {
  const store = environment.store(spec.name);
  return versioned
    ? new VersionedTableStore(store as VersionedStore<unknown, unknown>)
    : new LatestTableStore(store as KeyValueStore<unknown, Timestamped<unknown>>);
}

/** The view of a table that has a store. */
export function storeView(spec: StoreSpec<StateStore>, versioned: boolean): TableView {
  return {
    versioned,
    stores: () => [spec],
    open: (environment) => openTableStore(spec, versioned, environment),
  };
}

class LatestTableStore implements TableStore {
  readonly #store: KeyValueStore<unknown, Timestamped<unknown>>;

  constructor(store: KeyValueStore<unknown, Timestamped<unknown>>) {
    this.#store = store;
  }

  get(key: unknown): Timestamped<unknown> | null {
    return this.#store.get(key) ?? null;
  }

  getAsOf(): never {
    throw new TopologyError(
      'this table keeps no history: give its store a historyMs to read it as of a time',
    );
  }

  put(key: unknown, value: unknown, timestamp: number): TablePut {
    if (value === null) this.#store.delete(key);
    else this.#store.put(key, { value, timestamp });
    return 'latest';
  }
}

class VersionedTableStore implements TableStore {
  readonly #store: VersionedStore<unknown, unknown>;

  constructor(store: VersionedStore<unknown, unknown>) {
    this.#store = store;
  }

  get(key: unknown): Timestamped<unknown> | null {
    return this.#version(this.#store.get(key));
  }

  getAsOf(key: unknown, timestamp: number): Timestamped<unknown> | null {
    return this.#version(this.#store.get(key, timestamp));
  }

  put(key: unknown, value: unknown, timestamp: number): TablePut {
    const put = this.#store.put(key, value, timestamp);
    if (!put.accepted) return 'expired';
    return put.validTo === null ? 'latest' : 'out-of-order';
  }

  #version(version: { readonly value: unknown; readonly validFrom: number } | undefined) {
    return version === undefined ? null : { value: version.value, timestamp: version.validFrom };
  }
}

/** A serde that a step needs; says where to give it when it is not known. */
export function needed(
  serde: Serde<unknown> | null | undefined,
  what: string,
  where: string,
): Serde<unknown> {
  if (serde !== null && serde !== undefined) return serde;
  throw new TopologyError(`the ${what} serde is not known at ${where}: give it there`);
}
