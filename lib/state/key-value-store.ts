/** A key-value store in memory. Values are kept as bytes, so nothing outside can change what is stored. */
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import type { RecordBatch } from '../kafka/record-batch.ts';
import { Bytes, type Placement, type Serde } from '../serde/serde.ts';
import type { ChangelogSink, StateStore, StoreSpec } from './state-store.ts';

export interface KeyValueStoreOptions<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Default `compact`: one changelog record per changed key and commit. */
  readonly changelog?: 'compact' | 'none';
}

/** Declares a key-value store. */
export function keyValueStore<K, V>(
  name: string,
  options: KeyValueStoreOptions<K, V>,
): StoreSpec<KeyValueStore<K, V>> {
  return {
    name,
    changelog: options.changelog ?? 'compact',
    create: () => new KeyValueStore(name, options),
  };
}

/** Key bytes as a string of one character per byte: what a Map can find. */
type KeyText = string;

export class KeyValueStore<K, V> implements StateStore {
  readonly name: string;
  readonly #keySerde: Serde<K>;
  readonly #valueSerde: Serde<V>;
  /** null is a deletion that a lower layer has not seen yet. */
  #active = new Map<KeyText, Buffer | null>();
  #sealed = new Map<KeyText, Buffer | null>();
  readonly #committed = new Map<KeyText, Buffer>();
  readonly #scratch = new OutgoingBatch(1);
  readonly #placement: Placement = { source: 0, start: 0, length: 0 };
  readonly #cursor = new Bytes();

  constructor(name: string, options: KeyValueStoreOptions<K, V>) {
    this.name = name;
    this.#keySerde = options.key;
    this.#valueSerde = options.value;
  }

  /** The value of a key, uncommitted writes included; undefined when there is none. */
  get(key: K): V | undefined {
    const bytes = this.#read(this.#keyText(key));
    return bytes === undefined ? undefined : this.#decode(this.#valueSerde, bytes);
  }

  put(key: K, value: V): void {
    this.#active.set(this.#keyText(key), this.#encode(this.#valueSerde, value));
  }

  delete(key: K): void {
    this.#active.set(this.#keyText(key), null);
  }

  /** Every key and value, uncommitted writes included, in no particular order. */
  *entries(): IterableIterator<[K, V]> {
    const keys = new Set([...this.#committed.keys(), ...this.#sealed.keys(), ...this.#active.keys()]);
    for (const text of keys) {
      const bytes = this.#read(text);
      if (bytes === undefined) continue;
      yield [
        this.#decode(this.#keySerde, Buffer.from(text, 'latin1')),
        this.#decode(this.#valueSerde, bytes),
      ];
    }
  }

  seal(changelog: ChangelogSink | null): void {
    if (this.#sealed.size > 0) throw new Error(`store "${this.name}" is sealed already`);
    if (changelog !== null) {
      for (const [key, value] of this.#active) changelog.append(Buffer.from(key, 'latin1'), value);
    }
    [this.#sealed, this.#active] = [this.#active, this.#sealed];
  }

  apply(): void {
    for (const [key, value] of this.#sealed) {
      if (value === null) this.#committed.delete(key);
      else this.#committed.set(key, value);
    }
    this.#sealed.clear();
  }

  abort(): void {
    this.#sealed.clear();
    this.#active.clear();
  }

  restore(batch: RecordBatch, i: number): void {
    const start = batch.keyStart[i]!;
    const key = batch.data.toString('latin1', start, start + Math.max(batch.keyLength[i]!, 0));
    const length = batch.valueLength[i]!;
    const at = batch.valueStart[i]!;
    if (length < 0) this.#committed.delete(key);
    else this.#committed.set(key, Buffer.from(batch.data.subarray(at, at + length)));
  }

  close(): void {
    this.abort();
    this.#committed.clear();
  }

  #read(key: KeyText): Buffer | undefined {
    let bytes = this.#active.get(key);
    if (bytes === undefined) bytes = this.#sealed.get(key);
    if (bytes === undefined) bytes = this.#committed.get(key);
    return bytes ?? undefined;
  }

  #keyText(key: K): KeyText {
    return this.#encode(this.#keySerde, key).toString('latin1');
  }

  #encode<T>(serde: Serde<T>, value: T): Buffer {
    const placement = this.#placement;
    this.#scratch.reset();
    serde.serialize(value, this.#scratch, placement);
    const source = this.#scratch.sources[placement.source]!;
    return Buffer.from(source.subarray(placement.start, placement.start + placement.length));
  }

  #decode<T>(serde: Serde<T>, bytes: Buffer): T {
    this.#cursor.buffer = bytes;
    this.#cursor.start = 0;
    this.#cursor.length = bytes.length;
    return serde.deserialize(this.#cursor);
  }
}
