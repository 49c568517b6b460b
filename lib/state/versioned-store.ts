/**
 * A versioned store: what was the value of a key as of a time? (KIP-889)
 *
 * A put says from which event time on its value holds; it holds until the key's next version. Puts may come out of
 * order. Observed time is the highest timestamp ever put. A put older than observed time minus history retention
 * does nothing; a read as of such a time finds only a latest version that old. The latest value of a key never
 * expires. A changelog record is one version: the key's bytes and the timestamp, 8 bytes big endian; its value is
 * the byte 1 and the value's bytes, or the byte 0 for a deletion. Versions that leave the history get a tombstone.
 */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StorageKind } from './state-store.ts';

export interface VersionedStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How far back versions can be read and put, milliseconds of event time, 0 or more. */
  readonly historyRetentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Default `compact`. */
  readonly changelog?: 'compact' | 'none';
}

export interface Version<V> {
  readonly value: V;
  /** Event time from which the value holds, epoch milliseconds. */
  readonly validFrom: number;
  /** Event time of the key's next version, up to which the value holds (exclusive); null for the latest version. */
  readonly validTo: number | null;
}

/** What became of a put. */
export type VersionedPut =
  /** It is older than the history and was dropped. */
  | { readonly accepted: false }
  /** It holds until `validTo` (exclusive); null when it is the latest version. */
  | { readonly accepted: true; readonly validTo: number | null };

/** Timestamps are epoch milliseconds, 0 … 2^53 - 1. */
export interface ReadOnlyVersionedStore<K, V> {
  /** The latest version, or the one that held at `asOfTimestamp`; undefined when there is none or it was deleted. */
  get(key: K, asOfTimestamp?: number): Version<V> | undefined;
  /** Highest timestamp ever put; -1 before the first put. */
  readonly observedTime: number;
  /** Versions held, deletions included; those changed in uncommitted layers may be counted twice. */
  approximateSize(): number;
}

export interface VersionedStore<K, V> extends StateStore, ReadOnlyVersionedStore<K, V> {
  readonly historyRetentionMs: number;
  /** Puts a version, in place of one with the same timestamp; null says that the key has no value from then on. */
  put(key: K, value: V | null, timestamp: number): VersionedPut;
  /** The committed layer alone: what an interactive query may see. */
  committed(): ReadOnlyVersionedStore<K, V>;
}
