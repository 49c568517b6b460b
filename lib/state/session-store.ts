/**
 * A session store: values by key and session (first and last event time), kept for a time of the stream's own clock.
 *
 * Semantics are Kafka Streams'. Observed time is the highest session end ever put, uncommitted puts included. A
 * session whose end is not above observed time minus retention is expired: it cannot be read, and putting it does
 * nothing. A changelog key is the key's bytes followed by end and start, 8 bytes big endian each.
 */
import type { Serde } from '../serde/serde.ts';
import {
  clampTime,
  delimited,
  MOST_TIME,
  prefixEnd,
  TextCodec,
  TIME_BYTES,
  timeAt,
  timeText,
  undelimited,
  type ByteText,
} from './byte-text.ts';
import type { LayeredBytes, LayerReader } from './layered-bytes.ts';
import { openLayers } from './open-layers.ts';
import { OrderedStore } from './ordered-store.ts';
import {
  CHANGELOG_EXTRA_RETENTION_MS,
  type StateStore,
  type StorageKind,
  type StoreSpec,
} from './state-store.ts';

export interface SessionStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How far behind observed time a session's end may lie, milliseconds of event time, above 0. */
  readonly retentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Raise it when what the serdes write changes: local files of another version are wiped. Default 1. */
  readonly formatVersion?: number;
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

/** Bytes behind the key: end and start. */
const TAIL = 2 * TIME_BYTES;

/** Declares a session store. Throws RangeError for a retention that makes no sense. */
export function sessionStore<K, V>(
  name: string,
  options: SessionStoreOptions<K, V>,
): StoreSpec<SessionStore<K, V>> {
  const {
    key,
    value,
    retentionMs,
    storage = 'memory',
    formatVersion = 1,
    changelog = 'compact-delete',
  } = options;
  if (!(Number.isSafeInteger(retentionMs) && retentionMs > 0)) {
    throw new RangeError(`store "${name}": retentionMs must be a whole number above 0, not ${retentionMs}`);
  }
  return {
    name,
    changelog,
    ...(changelog === 'none' ? {} : { retentionMs: retentionMs + CHANGELOG_EXTRA_RETENTION_MS }),
    storage,
    serdes: [key, value],
    create: (environment) => {
      const layers = openLayers(
        { name, type: 'session', formatVersion, storage, logged: changelog !== 'none', timeOf: endOf },
        environment,
      );
      return new LayeredSessionStore(layers, {
        retentionMs,
        key: new TextCodec(key, `store "${name}", key`),
        value: new TextCodec(value, `store "${name}", value`),
      });
    },
  };
}

interface SessionLayout<K, V> {
  readonly retentionMs: number;
  readonly key: TextCodec<K>;
  readonly value: TextCodec<V>;
}

function endOf(text: ByteText): ByteText {
  return text.slice(text.length - TAIL, text.length - TIME_BYTES);
}

class SessionReader<K, V> implements ReadOnlySessionStore<K, V> {
  readonly #reader: LayerReader;
  readonly #layout: SessionLayout<K, V>;

  constructor(reader: LayerReader, layout: SessionLayout<K, V>) {
    this.#reader = reader;
    this.#layout = layout;
  }

  get observedTime(): number {
    return this.#reader.observedTime;
  }

  get(key: K, start: number, end: number): V | undefined {
    const times = timeText(end) + timeText(start);
    if (end < this.#firstLive()) return undefined;
    const value = this.#reader.get(delimited(this.#layout.key.encode(key)) + times);
    return value === undefined ? undefined : this.#layout.value.decode(value);
  }

  *find(key: K, earliestEnd: number, latestStart: number): Generator<Session<V>, undefined> {
    const prefix = delimited(this.#layout.key.encode(key));
    const from = prefix + timeText(clampTime(Math.max(earliestEnd, this.#firstLive())));
    if (earliestEnd > MOST_TIME) return;
    for (const [text, value] of this.#reader.scan({ from, to: prefixEnd(prefix), reverse: false })) {
      const start = timeAt(text, text.length - TIME_BYTES);
      if (start > latestStart) continue;
      yield { start, end: timeAt(text, text.length - TAIL), value: this.#layout.value.decode(value) };
    }
    return;
  }

  fetch(key: K): IterableIterator<Session<V>> {
    return this.find(key, 0, Infinity);
  }

  *findAll(earliestEnd: number, latestEnd: number): Generator<KeyedSession<K, V>, undefined> {
    const first = Math.max(earliestEnd, this.#firstLive());
    if (latestEnd < first || first > MOST_TIME) return;
    const from = timeText(clampTime(first));
    const to = prefixEnd(timeText(clampTime(Math.floor(latestEnd))));
    for (const [text, value] of this.#reader.scanByTime(from, to)) {
      yield {
        key: this.#layout.key.decode(undelimited(text, TAIL)),
        start: timeAt(text, text.length - TIME_BYTES),
        end: timeAt(text, text.length - TAIL),
        value: this.#layout.value.decode(value),
      };
    }
    return;
  }

  approximateSize(): number {
    return this.#reader.size;
  }

  #firstLive(): number {
    return Math.max(this.#reader.observedTime - this.#layout.retentionMs + 1, 0);
  }
}

class LayeredSessionStore<K, V> extends OrderedStore implements SessionStore<K, V> {
  readonly retentionMs: number;
  readonly #layout: SessionLayout<K, V>;
  readonly #reader: SessionReader<K, V>;
  readonly #committed: SessionReader<K, V>;

  constructor(layers: LayeredBytes, layout: SessionLayout<K, V>) {
    super(layers, layout.retentionMs);
    this.retentionMs = layout.retentionMs;
    this.#layout = layout;
    this.#reader = new SessionReader(layers, layout);
    this.#committed = new SessionReader(layers.committed, layout);
  }

  get observedTime(): number {
    return this.layers.observedTime;
  }

  put(key: K, start: number, end: number, value: V | null): boolean {
    if (start > end) {
      throw new RangeError(`store "${this.name}": a session starts at ${start}, after its end at ${end}`);
    }
    const times = timeText(end) + timeText(start);
    this.layers.observe(end);
    if (end <= this.layers.observedTime - this.retentionMs) return false;
    const { key: keys, value: values } = this.#layout;
    this.layers.set(delimited(keys.encode(key)) + times, value === null ? null : values.encode(value));
    return true;
  }

  remove(key: K, start: number, end: number): void {
    this.put(key, start, end, null);
  }

  get(key: K, start: number, end: number): V | undefined {
    return this.#reader.get(key, start, end);
  }

  find(key: K, earliestEnd: number, latestStart: number): IterableIterator<Session<V>> {
    return this.#reader.find(key, earliestEnd, latestStart);
  }

  fetch(key: K): IterableIterator<Session<V>> {
    return this.#reader.fetch(key);
  }

  findAll(earliestEnd: number, latestEnd: number): IterableIterator<KeyedSession<K, V>> {
    return this.#reader.findAll(earliestEnd, latestEnd);
  }

  approximateSize(): number {
    return this.#reader.approximateSize();
  }

  committed(): ReadOnlySessionStore<K, V> {
    return this.#committed;
  }

  protected override changelogKey(key: ByteText): ByteText {
    return undelimited(key, TAIL) + key.slice(key.length - TAIL);
  }

  protected override storeKey(changelogKey: ByteText): ByteText | null {
    const end = changelogKey.length - TAIL;
    if (end < 0) return null;
    this.layers.observe(timeAt(changelogKey, end));
    return delimited(changelogKey.slice(0, end)) + changelogKey.slice(end);
  }
}
