/**
 * A session store: values by key and session (first and last event time), kept for a time of the stream's own clock.
 *
 * Semantics are Kafka Streams'. Observed time is the highest session end ever put, uncommitted puts included. A
 * session whose end is not above observed time minus retention is expired: it cannot be read, and putting it does
 * nothing. A changelog key is the key's bytes followed by end and start, 8 bytes big endian each.
 */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StorageKind } from './state-store.ts';

export interface SessionStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How far behind observed time a session's end may lie, milliseconds of event time, above 0. */
  readonly retentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Default `compact-delete`. */
  readonly changelog?: 'compact-delete' | 'none';
}

export interface Session<V> {
  /** Event time of the first record, epoch milliseconds. */
  readonly start: number;
  /** Event time of the last record, epoch milliseconds. */
  readonly end: number;
  readonly value: V;
}

export interface KeyedSession<K, V> extends Session<V> {
  readonly key: K;
}

/** Times are epoch milliseconds, 0 … 2^53 - 1; bounds are inclusive and may lie outside. */
export interface ReadOnlySessionStore<K, V> {
  /** The value of exactly this session; undefined when there is none. */
  get(key: K, start: number, end: number): V | undefined;
  /** A key's sessions that end at or after `earliestEnd` and start at or before `latestStart`, by end, then start. */
  find(key: K, earliestEnd: number, latestStart: number): IterableIterator<Session<V>>;
  /** A key's sessions, by end, then start. */
  fetch(key: K): IterableIterator<Session<V>>;
  /** All sessions that end in [earliestEnd, latestEnd], by end, then key bytes (shorter keys first), then start. */
  findAll(earliestEnd: number, latestEnd: number): IterableIterator<KeyedSession<K, V>>;
  /** Highest session end ever put; -1 before the first put. */
  readonly observedTime: number;
  /** Entries held; those that overwrite or delete in uncommitted layers may be counted twice. */
  approximateSize(): number;
}

export interface SessionStore<K, V> extends StateStore, ReadOnlySessionStore<K, V> {
  readonly retentionMs: number;
  /** Sets the value of a session; null deletes it. Returns false when the session is expired: nothing is put. */
  put(key: K, start: number, end: number, value: V | null): boolean;
  /** Deletes a session; one that is not there is no error. */
  remove(key: K, start: number, end: number): void;
  /** The committed layer alone: what an interactive query may see. */
  committed(): ReadOnlySessionStore<K, V>;
}
