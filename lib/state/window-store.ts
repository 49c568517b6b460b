/**
 * A window store: values by key and window start, kept for a time of the stream's own clock.
 *
 * Semantics are Kafka Streams'. Observed time is the highest window start ever put, uncommitted puts included. An
 * entry whose start is not above observed time minus retention is expired: it cannot be read, and putting it does
 * nothing. A changelog key is the key's bytes followed by the window start, 8 bytes big endian.
 */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StorageKind } from './state-store.ts';
import type { ScanOptions } from './key-value-store.ts';

export interface WindowStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Length of a window, milliseconds of event time, above 0. The store only carries it for its users. */
  readonly windowSizeMs: number;
  /** How far behind observed time a window start may lie, milliseconds of event time; at least `windowSizeMs`. */
  readonly retentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Default `compact-delete`. */
  readonly changelog?: 'compact-delete' | 'none';
  /**
   * Keeps every value put for a key and window start, in the order of the puts, instead of the last one: what a
   * join's buffer needs. Entries can then not be deleted (putting null does nothing), only expire. Default false.
   */
  readonly retainDuplicates?: boolean;
}

export interface WindowEntry<V> {
  /** Epoch milliseconds of event time. */
  readonly windowStart: number;
  readonly value: V;
}

export interface KeyedWindow<K, V> extends WindowEntry<V> {
  readonly key: K;
}

/** Window starts are epoch milliseconds, 0 … 2^53 - 1; bounds are inclusive and may lie outside. */
export interface ReadOnlyWindowStore<K, V> {
  /** The value of a key's window; undefined when there is none. With duplicates, the first one. */
  get(key: K, windowStart: number): V | undefined;
  /** A key's windows that start in [fromStart, toStart], by start, ascending. */
  fetch(key: K, fromStart: number, toStart: number, options?: ScanOptions): IterableIterator<WindowEntry<V>>;
  /** All windows that start in [fromStart, toStart], by start, then by key bytes (shorter keys first). */
  fetchAll(fromStart: number, toStart: number): IterableIterator<KeyedWindow<K, V>>;
  /** Every window, in the order of `fetchAll`. */
  all(): IterableIterator<KeyedWindow<K, V>>;
  /** Highest window start ever put; -1 before the first put. */
  readonly observedTime: number;
  /** Entries held; those that overwrite or delete in uncommitted layers may be counted twice. */
  approximateSize(): number;
}

export interface WindowStore<K, V> extends StateStore, ReadOnlyWindowStore<K, V> {
  readonly windowSizeMs: number;
  readonly retentionMs: number;
  /** Sets the value of a key's window; null deletes it. Returns false when the window is expired: nothing is put. */
  put(key: K, value: V | null, windowStart: number): boolean;
  /** The committed layer alone: what an interactive query may see. */
  committed(): ReadOnlyWindowStore<K, V>;
}
