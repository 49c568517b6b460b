/**
 * A key-value store: the latest value of each key, readable in the order of key bytes.
 *
 * Keys and values are kept as bytes, so nothing outside can change what is stored, and each read gives a new value.
 */
import type { Serde } from '../serde/serde.ts';
import { prefixEnd, TextCodec, type ByteText } from './byte-text.ts';
import type { LayerReader } from './layered-bytes.ts';
import { openLayers } from './open-layers.ts';
import { OrderedStore } from './ordered-store.ts';
import type { StateStore, StorageKind, StoreSpec } from './state-store.ts';

export interface KeyValueStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Raise it when what the serdes write changes: local files of another version are wiped. Default 1. */
  readonly formatVersion?: number;
  /** Default `compact`: one changelog record per changed key and commit. */
  readonly changelog?: 'compact' | 'none';
}

export interface StoreEntry<K, V> {
  readonly key: K;
  readonly value: V;
}

export interface ScanOptions {
  /** Descending order. Default false. */
  readonly reverse?: boolean;
}

/**
 * Scans go over the keys that are there when their first entry is read: one deleted meanwhile is left out, one added
 * meanwhile does not appear, and a value put meanwhile is the one given. So a loop may put and delete as it goes. A
 * commit that is applied during a scan (one that was kept beyond its record) may add keys ahead of it.
 */
export interface ReadOnlyKeyValueStore<K, V> {
  /** The value of a key; undefined when there is none. */
  get(key: K): V | undefined;
  /** Every entry, in the order of key bytes. */
  all(options?: ScanOptions): IterableIterator<StoreEntry<K, V>>;
  /** Entries whose key bytes lie in [from, to], both inclusive; null is unbounded. In the order of key bytes. */
  range(from: K | null, to: K | null, options?: ScanOptions): IterableIterator<StoreEntry<K, V>>;
  /** Entries whose key bytes begin with `prefix` (text counts as UTF-8), in the order of key bytes. */
  prefixScan(prefix: Uint8Array | string, options?: ScanOptions): IterableIterator<StoreEntry<K, V>>;
  /** Entries held; those that overwrite or delete in uncommitted layers may be counted twice. */
  approximateSize(): number;
}

export interface KeyValueStore<K, V> extends StateStore, ReadOnlyKeyValueStore<K, V> {
  put(key: K, value: V): void;
  /** Deletes a key; one that is not there is no error. */
  delete(key: K): void;
  /** The committed layer alone: what an interactive query may see. */
  committed(): ReadOnlyKeyValueStore<K, V>;
}

/** Declares a key-value store. */
export function keyValueStore<K, V>(
  name: string,
  options: KeyValueStoreOptions<K, V>,
): StoreSpec<KeyValueStore<K, V>> {
  const { key, value, storage = 'memory', formatVersion = 1, changelog = 'compact' } = options;
  return {
    name,
    changelog,
    storage,
    serdes: [key, value],
    create: (environment) =>
      new LayeredKeyValueStore(
        openLayers(
          { name, type: 'key-value', formatVersion, storage, logged: changelog !== 'none', timeOf: null },
          environment,
        ),
        new TextCodec(key, `store "${name}", key`),
        new TextCodec(value, `store "${name}", value`),
      ),
  };
}

class KeyValueReader<K, V> implements ReadOnlyKeyValueStore<K, V> {
  readonly #reader: LayerReader;
  readonly #key: TextCodec<K>;
  readonly #value: TextCodec<V>;

  constructor(reader: LayerReader, key: TextCodec<K>, value: TextCodec<V>) {
    this.#reader = reader;
    this.#key = key;
    this.#value = value;
  }

  get(key: K): V | undefined {
    const text = this.#reader.get(this.#key.encode(key));
    return text === undefined ? undefined : this.#value.decode(text);
  }

  all(options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    return this.#scan(null, null, options);
  }

  range(from: K | null, to: K | null, options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    return this.#scan(
      from === null ? null : this.#key.encode(from),
      to === null ? null : this.#key.encode(to) + '\u0000',
      options,
    );
  }

  prefixScan(prefix: Uint8Array | string, options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    const text = Buffer.from(prefix as string).toString('latin1');
    return this.#scan(text, prefixEnd(text), options);
  }

  approximateSize(): number {
    return this.#reader.size;
  }

  *#scan(
    from: ByteText | null,
    to: ByteText | null,
    { reverse = false }: ScanOptions = {},
  ): Generator<StoreEntry<K, V>, undefined> {
    for (const [key, value] of this.#reader.scan({ from, to, reverse })) {
      yield { key: this.#key.decode(key), value: this.#value.decode(value) };
    }
    return;
  }
}

class LayeredKeyValueStore<K, V> extends OrderedStore implements KeyValueStore<K, V> {
  readonly #key: TextCodec<K>;
  readonly #value: TextCodec<V>;
  readonly #reader: KeyValueReader<K, V>;
  readonly #committed: KeyValueReader<K, V>;

  constructor(layers: ReturnType<typeof openLayers>, key: TextCodec<K>, value: TextCodec<V>) {
    super(layers, null);
    this.#key = key;
    this.#value = value;
    this.#reader = new KeyValueReader(layers, key, value);
    this.#committed = new KeyValueReader(layers.committed, key, value);
  }

  get(key: K): V | undefined {
    return this.#reader.get(key);
  }

  all(options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    return this.#reader.all(options);
  }

  range(from: K | null, to: K | null, options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    return this.#reader.range(from, to, options);
  }

  prefixScan(prefix: Uint8Array | string, options?: ScanOptions): IterableIterator<StoreEntry<K, V>> {
    return this.#reader.prefixScan(prefix, options);
  }

  approximateSize(): number {
    return this.#reader.approximateSize();
  }

  put(key: K, value: V): void {
    this.layers.set(this.#key.encode(key), this.#value.encode(value));
  }

  delete(key: K): void {
    this.layers.set(this.#key.encode(key), null);
  }

  committed(): ReadOnlyKeyValueStore<K, V> {
    return this.#committed;
  }

  protected override changelogKey(key: ByteText): ByteText {
    return key;
  }

  protected override storeKey(changelogKey: ByteText): ByteText {
    return changelogKey;
  }
}
