/**
 * The three layers under every ordered store: active, sealed and committed (state-store.ts), over byte text.
 *
 * A scan merges the layers in order; a deletion above hides what lies below. It goes over the keys that were there
 * when it began: a key deleted meanwhile is left out, one written meanwhile appears only if it was there, with its
 * new value. A commit during a scan may add keys that it has not reached yet.
 */
import { timeText, type ByteText } from './byte-text.ts';
import {
  withoutValues,
  type CommittedLayer,
  type Entry,
  type LayerState,
  type TimeOf,
} from './committed-layer.ts';
import { OrderedMap, type KeyRange } from './ordered-map.ts';
import type { SourceOffset, StoreEnvironment } from './state-store.ts';

/** A store's view of its layers: all of them, or the committed one alone. */
export interface LayerReader {
  /** Highest time observed by a timed store; -1 before the first. */
  readonly observedTime: number;
  readonly size: number;
  get(key: ByteText): ByteText | undefined;
  /** Keys and values of a range, in key order. */
  scan(range: KeyRange): IterableIterator<[ByteText, ByteText]>;
  /** The same for a range of times ([from, to), ascending), in the order of time, then key. */
  scanByTime(from: ByteText | null, to: ByteText | null): IterableIterator<[ByteText, ByteText]>;
}

interface Change {
  /** null is a deletion. */
  value: ByteText | null;
  /** The consumed record that caused it; null when none did. */
  topic: string | null;
  offset: number;
}

export interface LayeredBytesOptions {
  readonly name: string;
  readonly committed: CommittedLayer;
  readonly environment: Pick<StoreEnvironment, 'source'>;
  readonly timeOf: TimeOf | null;
}

/** A change on its way to the changelog. */
export type SealedChange = (key: ByteText, value: ByteText | null, source: SourceOffset | null) => void;

export class LayeredBytes implements LayerReader {
  readonly name: string;
  readonly committed: LayerReader;
  readonly #base: CommittedLayer;
  readonly #environment: Pick<StoreEnvironment, 'source'>;
  #active: OrderedMap<Change>;
  #sealed: OrderedMap<Change>;
  #activeTime: number;
  #sealedTime: number;
  readonly #timed: boolean;
  #isSealed = false;
  #commits = 0;

  constructor({ name, committed, environment, timeOf }: LayeredBytesOptions) {
    this.name = name;
    this.#base = committed;
    this.#environment = environment;
    this.#timed = timeOf !== null;
    this.#active = new OrderedMap(timeOf);
    this.#sealed = new OrderedMap(timeOf);
    this.#activeTime = this.#sealedTime = committed.observedTime;
    this.committed = committedReader(committed);
  }

  get observedTime(): number {
    return this.#activeTime;
  }

  /** Observed time as of the last seal. */
  get sealedTime(): number {
    return this.#sealedTime;
  }

  get checkpoint(): number | null {
    return this.#base.checkpoint;
  }

  get size(): number {
    return this.#active.size + this.#sealed.size + this.#base.size;
  }

  observe(time: number): void {
    if (time > this.#activeTime) this.#activeTime = time;
  }

  get(key: ByteText): ByteText | undefined {
    const change = this.#active.get(key) ?? this.#sealed.get(key);
    return change === undefined ? this.#base.get(key) : (change.value ?? undefined);
  }

  set(key: ByteText, value: ByteText | null): void {
    const source = this.#environment.source();
    const change = this.#active.get(key);
    if (change !== undefined) {
      change.value = value;
      change.topic = source?.topic ?? null;
      change.offset = source?.offset ?? -1;
      return;
    }
    if (key.length > this.#base.maxKeyBytes) {
      throw new RangeError(
        `store "${this.name}": a key of ${key.length} bytes is longer than the ${this.#base.maxKeyBytes} bytes that ` +
          "storage: 'disk' takes; shorten the key or keep the store in memory",
      );
    }
    this.#active.set(key, { value, topic: source?.topic ?? null, offset: source?.offset ?? -1 });
  }

  scan(range: KeyRange): IterableIterator<[ByteText, ByteText]> {
    const layers = [this.#base.entries(range)];
    if (this.#sealed.size > 0) layers.unshift(withoutValues(this.#sealed.keys(range)));
    if (this.#active.size > 0) layers.unshift(withoutValues(this.#active.keys(range)));
    return this.#resolve(layers.length === 1 ? layers[0]! : merged(layers, range.reverse), 0);
  }

  scanByTime(from: ByteText | null, to: ByteText | null): IterableIterator<[ByteText, ByteText]> {
    const range = { from, to, reverse: false };
    const layers = [withoutValues(this.#base.timedKeys(range))];
    if (this.#sealed.size > 0) layers.unshift(withoutValues(this.#sealed.timedKeys(range)));
    if (this.#active.size > 0) layers.unshift(withoutValues(this.#active.timedKeys(range)));
    return this.#resolve(layers.length === 1 ? layers[0]! : merged(layers, false), TIME_PREFIX);
  }

  /** Freezes the active layer and hands its changes on, in the order in which their keys were first changed. */
  seal(emit: SealedChange | null): void {
    if (this.#isSealed) throw new Error(`store "${this.name}" is sealed already`);
    for (const [key, { value, topic, offset }] of this.#active.entries()) {
      // What was made and deleted within one commit was never there for anybody else; but a time is observed.
      if (value === null && !this.#timed && this.#base.get(key) === undefined) continue;
      emit?.(key, value, topic === null ? null : { topic, offset });
    }
    [this.#sealed, this.#active] = [this.#active, this.#sealed];
    this.#sealedTime = this.#activeTime;
    this.#isSealed = true;
  }

  apply(checkpoint: number | null, expireBelow: ByteText | null): void {
    this.#base.write(values(this.#sealed), { checkpoint, observedTime: this.#sealedTime, expireBelow });
    this.#sealed.clear();
    this.#isSealed = false;
    this.#commits += 1;
  }

  abort(): void {
    this.#active.clear();
    this.#sealed.clear();
    this.#activeTime = this.#sealedTime = this.#base.observedTime;
    this.#isSealed = false;
  }

  /** Sets an entry of the committed layer from the changelog record at `offset`. */
  restore(key: ByteText, value: ByteText | null, offset: number): void {
    this.#sealedTime = this.#activeTime;
    this.#base.restore(key, value, { checkpoint: offset + 1, observedTime: this.#activeTime });
  }

  flush(state: Omit<LayerState, 'observedTime'>): void {
    this.#sealedTime = this.#activeTime;
    this.#base.flush({ ...state, observedTime: this.#activeTime });
  }

  wipe(): void {
    this.#base.wipe();
    this.abort();
  }

  close(): void {
    this.abort();
    this.#base.close();
  }

  *#resolve(keys: Iterator<Entry, undefined>, prefix: number): Generator<[ByteText, ByteText], undefined> {
    const commits = this.#commits;
    for (let next = keys.next(); next.done !== true; next = keys.next()) {
      const [found, below] = next.value;
      const key = prefix === 0 ? found : found.slice(prefix);
      // A value that came with its key may be older than a commit in between.
      const value =
        commits === this.#commits && below !== undefined ? this.#above(key, below) : this.get(key);
      if (value !== null && value !== undefined) yield [key, value];
    }
    return;
  }

  /** The value of a key as the uncommitted layers have it, or else what lies below. */
  #above(key: ByteText, below: ByteText): ByteText | null {
    const change = this.#active.get(key) ?? this.#sealed.get(key);
    return change === undefined ? below : change.value;
  }
}

const TIME_PREFIX = timeText(0).length;

function* values(layer: OrderedMap<Change>): Generator<[ByteText, ByteText | null], undefined> {
  for (const [key, change] of layer.entries()) yield [key, change.value];
  return;
}

/** Merges sorted iterators; of equal keys the first iterator's comes, once. */
function* merged(
  layers: readonly Iterator<Entry, undefined>[],
  reverse: boolean,
): Generator<Entry, undefined> {
  const heads = layers.map((layer) => layer.next().value);
  for (;;) {
    let first: Entry | undefined;
    for (const head of heads) {
      if (head === undefined) continue;
      if (first === undefined || (reverse ? head[0] > first[0] : head[0] < first[0])) first = head;
    }
    if (first === undefined) return;
    for (let i = 0; i < heads.length; i++) {
      if (heads[i]?.[0] === first[0]) heads[i] = layers[i]!.next().value;
    }
    yield first;
  }
}

function committedReader(layer: CommittedLayer): LayerReader {
  return {
    get observedTime() {
      return layer.observedTime;
    },
    get size() {
      return layer.size;
    },
    get: (key) => layer.get(key),
    *scan(range) {
      const entries = layer.entries(range);
      for (let next = entries.next(); next.done !== true; next = entries.next()) {
        const [key, known] = next.value;
        const value = known ?? layer.get(key);
        if (value !== undefined) yield [key, value];
      }
    },
    *scanByTime(from, to) {
      const keys = layer.timedKeys({ from, to, reverse: false });
      for (let next = keys.next(); next.done !== true; next = keys.next()) {
        const key = next.value.slice(TIME_PREFIX);
        const value = layer.get(key);
        if (value !== undefined) yield [key, value];
      }
    },
  };
}
