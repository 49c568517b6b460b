/**
 * A window store: values by key and window start, kept for a time of the stream's own clock.
 *
 * Semantics are Kafka Streams'. Observed time is the highest window start ever put, uncommitted puts included. An
 * entry whose start is not above observed time minus retention is expired: it cannot be read, and putting it does
 * nothing. A changelog key is the key's bytes followed by the window start, 8 bytes big endian, and in a store that
 * retains duplicates by a sequence number, 4 bytes big endian.
 */
import type { Serde } from '../serde/serde.ts';
import {
  clampTime,
  delimited,
  prefixEnd,
  TextCodec,
  TIME_BYTES,
  timeAt,
  timeText,
  undelimited,
  type ByteText,
} from './byte-text.ts';
import type { ScanOptions } from './key-value-store.ts';
import type { LayeredBytes, LayerReader } from './layered-bytes.ts';
import { openLayers } from './open-layers.ts';
import { OrderedStore } from './ordered-store.ts';
import {
  CHANGELOG_EXTRA_RETENTION_MS,
  type StateStore,
  type StorageKind,
  type StoreSpec,
} from './state-store.ts';

export interface WindowStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Length of a window, milliseconds of event time, above 0. The store only carries it for its users. */
  readonly windowSizeMs: number;
  /** How far behind observed time a window start may lie, milliseconds of event time; at least `windowSizeMs`. */
  readonly retentionMs: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Raise it when what the serdes write changes: local files of another version are wiped. Default 1. */
  readonly formatVersion?: number;
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

const SEQUENCE_BYTES = 4;

/** Declares a window store. Throws RangeError for a size or retention that makes no sense. */
export function windowStore<K, V>(
  name: string,
  options: WindowStoreOptions<K, V>,
): StoreSpec<WindowStore<K, V>> {
  const {
    key,
    value,
    windowSizeMs,
    retentionMs,
    storage = 'memory',
    formatVersion = 1,
    changelog = 'compact-delete',
  } = options;
  const duplicates = options.retainDuplicates ?? false;
  if (!(windowSizeMs > 0)) {
    throw new RangeError(`store "${name}": windowSizeMs must be above 0, not ${windowSizeMs}`);
  }
  if (!(Number.isSafeInteger(retentionMs) && retentionMs >= windowSizeMs)) {
    throw new RangeError(
      `store "${name}": retentionMs must be a whole number and at least windowSizeMs (${windowSizeMs}), not ${retentionMs}`,
    );
  }
  const tail = TIME_BYTES + (duplicates ? SEQUENCE_BYTES : 0);
  return {
    name,
    changelog,
    ...(changelog === 'none' ? {} : { retentionMs: retentionMs + CHANGELOG_EXTRA_RETENTION_MS }),
    storage,
    serdes: [key, value],
    create: (environment) => {
      const layers = openLayers(
        {
          name,
          type: duplicates ? 'window with duplicates' : 'window',
          formatVersion,
          storage,
          logged: changelog !== 'none',
          timeOf: (text) => text.slice(text.length - tail, text.length - tail + TIME_BYTES),
        },
        environment,
      );
      return new LayeredWindowStore(layers, {
        windowSizeMs,
        retentionMs,
        tail,
        key: new TextCodec(key, `store "${name}", key`),
        value: new TextCodec(value, `store "${name}", value`),
      });
    },
  };
}

interface WindowLayout<K, V> {
  readonly windowSizeMs: number;
  readonly retentionMs: number;
  /** Bytes behind the key: window start and, with duplicates, sequence number. */
  readonly tail: number;
  readonly key: TextCodec<K>;
  readonly value: TextCodec<V>;
}

class WindowReader<K, V> implements ReadOnlyWindowStore<K, V> {
  readonly #reader: LayerReader;
  readonly #layout: WindowLayout<K, V>;

  constructor(reader: LayerReader, layout: WindowLayout<K, V>) {
    this.#reader = reader;
    this.#layout = layout;
  }

  get observedTime(): number {
    return this.#reader.observedTime;
  }

  get(key: K, windowStart: number): V | undefined {
    const start = timeText(windowStart);
    if (windowStart < this.#firstLive()) return undefined;
    const { tail, key: keys, value: values } = this.#layout;
    const text = delimited(keys.encode(key)) + start;
    const value = this.#reader.get(tail === TIME_BYTES ? text : text + sequenceText(0));
    return value === undefined ? undefined : values.decode(value);
  }

  *fetch(
    key: K,
    fromStart: number,
    toStart: number,
    { reverse = false }: ScanOptions = {},
  ): Generator<WindowEntry<V>, undefined> {
    const first = Math.max(fromStart, this.#firstLive());
    if (toStart < first) return;
    const { tail, key: keys, value: values } = this.#layout;
    const prefix = delimited(keys.encode(key));
    const from = prefix + timeText(clampTime(first));
    const to = prefixEnd(prefix + timeText(clampTime(Math.floor(toStart))));
    for (const [text, value] of this.#reader.scan({ from, to, reverse })) {
      yield { windowStart: timeAt(text, text.length - tail), value: values.decode(value) };
    }
    return;
  }

  *fetchAll(fromStart: number, toStart: number): Generator<KeyedWindow<K, V>, undefined> {
    const first = Math.max(fromStart, this.#firstLive());
    if (toStart < first) return;
    const { tail, key: keys, value: values } = this.#layout;
    const from = timeText(clampTime(first));
    const to = prefixEnd(timeText(clampTime(Math.floor(toStart))));
    for (const [text, value] of this.#reader.scanByTime(from, to)) {
      yield {
        key: keys.decode(undelimited(text, tail)),
        windowStart: timeAt(text, text.length - tail),
        value: values.decode(value),
      };
    }
    return;
  }

  all(): IterableIterator<KeyedWindow<K, V>> {
    return this.fetchAll(0, Infinity);
  }

  approximateSize(): number {
    return this.#reader.size;
  }

  #firstLive(): number {
    return Math.max(this.#reader.observedTime - this.#layout.retentionMs + 1, 0);
  }
}

class LayeredWindowStore<K, V> extends OrderedStore implements WindowStore<K, V> {
  readonly windowSizeMs: number;
  readonly retentionMs: number;
  readonly #layout: WindowLayout<K, V>;
  readonly #reader: WindowReader<K, V>;
  readonly #committed: WindowReader<K, V>;

  constructor(layers: LayeredBytes, layout: WindowLayout<K, V>) {
    super(layers, layout.retentionMs);
    this.windowSizeMs = layout.windowSizeMs;
    this.retentionMs = layout.retentionMs;
    this.#layout = layout;
    this.#reader = new WindowReader(layers, layout);
    this.#committed = new WindowReader(layers.committed, layout);
  }

  get observedTime(): number {
    return this.layers.observedTime;
  }

  put(key: K, value: V | null, windowStart: number): boolean {
    const { tail, key: keys, value: values } = this.#layout;
    const start = timeText(windowStart);
    const ignored = value === null && tail > TIME_BYTES;
    // What leaves no entry must not move time either: a restore would not know of it.
    if (!ignored) this.layers.observe(windowStart);
    if (windowStart <= this.layers.observedTime - this.retentionMs) return false;
    if (ignored) return true;
    const text = delimited(keys.encode(key)) + start;
    this.layers.set(
      tail > TIME_BYTES ? text + this.#nextSequence(text) : text,
      value === null ? null : values.encode(value),
    );
    return true;
  }

  get(key: K, windowStart: number): V | undefined {
    return this.#reader.get(key, windowStart);
  }

  fetch(key: K, fromStart: number, toStart: number, options?: ScanOptions): IterableIterator<WindowEntry<V>> {
    return this.#reader.fetch(key, fromStart, toStart, options);
  }

  fetchAll(fromStart: number, toStart: number): IterableIterator<KeyedWindow<K, V>> {
    return this.#reader.fetchAll(fromStart, toStart);
  }

  all(): IterableIterator<KeyedWindow<K, V>> {
    return this.#reader.all();
  }

  approximateSize(): number {
    return this.#reader.approximateSize();
  }

  committed(): ReadOnlyWindowStore<K, V> {
    return this.#committed;
  }

  protected override changelogKey(key: ByteText): ByteText {
    const { tail } = this.#layout;
    return undelimited(key, tail) + key.slice(key.length - tail);
  }

  protected override storeKey(changelogKey: ByteText): ByteText | null {
    const end = changelogKey.length - this.#layout.tail;
    if (end < 0) return null;
    this.layers.observe(timeAt(changelogKey, end));
    return delimited(changelogKey.slice(0, end)) + changelogKey.slice(end);
  }

  /** The sequence number behind the last of a key and window start. */
  #nextSequence(text: ByteText): ByteText {
    for (const [last] of this.layers.scan({ from: text, to: prefixEnd(text), reverse: true })) {
      return sequenceText(sequenceAt(last, last.length - SEQUENCE_BYTES) + 1);
    }
    return sequenceText(0);
  }
}

function sequenceText(number: number): ByteText {
  return timeText(number).slice(TIME_BYTES - SEQUENCE_BYTES);
}

function sequenceAt(text: ByteText, at: number): number {
  let number = 0;
  for (let i = at; i < at + SEQUENCE_BYTES; i++) number = number * 256 + text.charCodeAt(i);
  return number;
}
