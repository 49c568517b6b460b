/** The committed layer of a store, behind one interface: in memory here, on disk in lmdb-layer.ts. */
import type { ByteText } from './byte-text.ts';
import { OrderedMap, type KeyRange } from './ordered-map.ts';

/** How a store reads its keys: those of timed stores hold 8 time bytes, by which they are read and expire. */
export type TimeOf = (key: ByteText) => ByteText;

/** What a write leaves the layer at. */
export interface LayerState {
  /** Changelog offset below which everything is in the layer; null keeps what is known. */
  readonly checkpoint: number | null;
  /** Highest time observed by a timed store; -1 before the first. */
  readonly observedTime: number;
  /** Entries whose time bytes are below this go; null when none do. */
  readonly expireBelow: ByteText | null;
}

export interface CommittedLayer {
  readonly checkpoint: number | null;
  readonly observedTime: number;
  /** Entries held. */
  readonly size: number;
  /** Longest key, in bytes, that the layer takes. */
  readonly maxKeyBytes: number;
  get(key: ByteText): ByteText | undefined;
  /** Entries of a range in key order. What a later write changes ahead of the iterator may or may not be seen. */
  entries(range: KeyRange): Iterator<Entry, undefined>;
  /** Keys by time, each behind its 8 time bytes, as are the bounds. */
  timedKeys(range: KeyRange): Iterator<ByteText, undefined>;
  /** Applies changes (null deletes) and the state in one step that a crash cannot split. */
  write(changes: Iterable<readonly [ByteText, ByteText | null]>, state: LayerState): void;
  /** Applies one change of a restore; it may be held back until `flush`, but every read sees it. */
  restore(key: ByteText, value: ByteText | null, state: Omit<LayerState, 'expireBelow'>): void;
  flush(state: LayerState): void;
  wipe(): void;
  close(): void;
}

/** A key and its value; the value is undefined where reading the key gave none for free. */
export type Entry = readonly [key: ByteText, value: ByteText | undefined];

export class MemoryLayer implements CommittedLayer {
  readonly checkpoint = null;
  readonly maxKeyBytes = Infinity;
  observedTime = -1;
  readonly #entries: OrderedMap<ByteText>;

  constructor(timeOf: TimeOf | null) {
    this.#entries = new OrderedMap(timeOf);
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: ByteText): ByteText | undefined {
    return this.#entries.get(key);
  }

  entries(range: KeyRange): Iterator<Entry, undefined> {
    return withoutValues(this.#entries.keys(range));
  }

  timedKeys(range: KeyRange): Iterator<ByteText, undefined> {
    return this.#entries.timedKeys(range);
  }

  write(changes: Iterable<readonly [ByteText, ByteText | null]>, state: LayerState): void {
    for (const [key, value] of changes) this.#set(key, value);
    this.flush(state);
  }

  restore(key: ByteText, value: ByteText | null, state: { readonly observedTime: number }): void {
    this.#set(key, value);
    this.observedTime = state.observedTime;
  }

  flush({ observedTime, expireBelow }: LayerState): void {
    this.observedTime = observedTime;
    if (expireBelow === null) return;
    const expired = this.#entries.timedKeys({ from: null, to: expireBelow, reverse: false });
    for (let next = expired.next(); next.done !== true; next = expired.next())
      this.#entries.delete(next.value.slice(expireBelow.length));
  }

  wipe(): void {
    this.#entries.clear();
    this.observedTime = -1;
  }

  close(): void {
    this.wipe();
  }

  #set(key: ByteText, value: ByteText | null): void {
    if (value === null) this.#entries.delete(key);
    else this.#entries.set(key, value);
  }
}

/** Keys alone as entries. */
export function withoutValues(keys: Iterator<ByteText, undefined>): Iterator<Entry, undefined> {
  return {
    next() {
      const key = keys.next().value;
      return key === undefined ? { done: true, value: undefined } : { done: false, value: [key, undefined] };
    },
  };
}
