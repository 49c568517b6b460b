/**
 * A map from byte text that can also be read in order. Only what is read in order pays for it: the ordered indexes
 * are made by the first scan that needs them and are kept up to date from then on.
 */
import sortedBTree from 'sorted-btree';
import type { ByteText } from './byte-text.ts';

/** A range of keys: `from` inclusive, `to` exclusive; null is unbounded. */
export interface KeyRange {
  readonly from: ByteText | null;
  readonly to: ByteText | null;
  /** Descending order. */
  readonly reverse: boolean;
}

// The package is CommonJS: its default export is a property of what an import gives.
const BTree = sortedBTree.default;
type Index = InstanceType<typeof BTree<ByteText, undefined>>;

export class OrderedMap<V> {
  readonly #entries = new Map<ByteText, V>();
  readonly #timeOf: ((key: ByteText) => ByteText) | null;
  #byKey: Index | null = null;
  #byTime: Index | null = null;

  /** `timeOf` gives the 8 time bytes of a key, for maps that are also read by time. */
  constructor(timeOf: ((key: ByteText) => ByteText) | null) {
    this.#timeOf = timeOf;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: ByteText): V | undefined {
    return this.#entries.get(key);
  }

  set(key: ByteText, value: V): void {
    const before = this.#entries.size;
    this.#entries.set(key, value);
    if (this.#entries.size === before) return;
    this.#byKey?.set(key, undefined);
    this.#byTime?.set(this.#timeOf!(key) + key, undefined);
  }

  delete(key: ByteText): void {
    if (!this.#entries.delete(key)) return;
    this.#byKey?.delete(key);
    this.#byTime?.delete(this.#timeOf!(key) + key);
  }

  clear(): void {
    this.#entries.clear();
    this.#byKey = null;
    this.#byTime = null;
  }

  /** In order of insertion. */
  entries(): IterableIterator<[ByteText, V]> {
    return this.#entries.entries();
  }

  /** The keys of a range that are there now, whatever is set or deleted while they are read. */
  keys(range: KeyRange): Iterator<ByteText, undefined> {
    if (this.#entries.size === 0) return NOTHING;
    this.#byKey ??= indexOf([...this.#entries.keys()]);
    return walk(this.#byKey, range);
  }

  /** The same by time: each key comes behind its 8 time bytes, as do the bounds of the range. */
  timedKeys(range: KeyRange): Iterator<ByteText, undefined> {
    if (this.#entries.size === 0) return NOTHING;
    this.#byTime ??= indexOf([...this.#entries.keys()].map((key) => this.#timeOf!(key) + key));
    return walk(this.#byTime, range);
  }
}

const NOTHING: Iterator<ByteText, undefined> = { next: () => ({ done: true, value: undefined }) };

function compare(a: ByteText, b: ByteText): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function indexOf(keys: ByteText[]): Index {
  const index: Index = new BTree<ByteText, undefined>(undefined, compare);
  for (const key of keys.sort(compare)) index.set(key, undefined);
  return index;
}

function walk(index: Index, range: KeyRange): Iterator<ByteText, undefined> {
  return range.reverse ? descending(index, range) : ascending(index, range);
}

function* ascending(index: Index, { from, to }: KeyRange): Generator<ByteText, undefined> {
  // A clone is lazy: it costs a node's copy only where the index changes while this is read.
  for (const key of index.clone().keys(from ?? undefined)) {
    if (to !== null && key >= to) return;
    yield key;
  }
  return;
}

function* descending(index: Index, { from, to }: KeyRange): Generator<ByteText, undefined> {
  for (const [key] of index.clone().entriesReversed(to ?? undefined, undefined, true)) {
    if (from !== null && key < from) return;
    yield key;
  }
  return;
}
