/**
 * k-way merge of time-sorted sources by (event time, source rank, row order).
 *
 * The order is total and does not depend on when parts arrive: while any source waits for its next part, nothing
 * is given, since its next row might be the earliest. Nothing is allocated per row.
 */
import { ReplayError } from './replay-error.ts';
import type { TimeSource } from './time-source.ts';

/** Every source has ended. */
export const MERGE_END = -1;
/** A source must load before the order is known: await `load`. */
export const MERGE_WAITING = -2;

export class TimeMerge<S extends TimeSource> {
  readonly sources: readonly S[];
  /** Indices of the sources that have a row, a binary heap with the earliest first. */
  readonly #heap: Int32Array;
  #size = 0;
  /** Sources that are `waiting`, by index. */
  readonly #waiting = new Set<number>();
  #current = MERGE_WAITING;

  constructor(sources: readonly S[]) {
    this.sources = sources;
    if (new Set(sources.map((source) => source.rank)).size !== sources.length) {
      throw new ReplayError(
        'OPTION_INVALID',
        'two sources of a merge have the same rank: their order is open',
      );
    }
    this.#heap = new Int32Array(sources.length);
    for (const [index, source] of sources.entries()) this.#admit(index, source);
    this.#settle();
  }

  /** Index of the source whose current row comes next, or MERGE_END, or MERGE_WAITING. */
  peek(): number {
    return this.#current;
  }

  /** Leaves the row that `peek` named. */
  advance(): void {
    const index = this.#heap[0]!;
    const source = this.sources[index]!;
    source.advance();
    if (source.state === 'row') {
      this.#siftDown(index);
      this.#current = this.#heap[0]!;
      return;
    }
    this.#removeTop();
    if (source.state === 'waiting') this.#waiting.add(index);
    this.#settle();
  }

  /** Takes the source that `peek` named out of the merge; the caller closes it. */
  dropCurrent(): void {
    this.#removeTop();
    this.#settle();
  }

  /** Waits until every source has a row or has ended. */
  async load(): Promise<void> {
    const waiting = [...this.#waiting];
    await Promise.all(waiting.map((index) => this.sources[index]!.load()));
    for (const index of waiting) {
      this.#waiting.delete(index);
      this.#admit(index, this.sources[index]!);
    }
    this.#settle();
  }

  #admit(index: number, source: S): void {
    if (source.state === 'waiting') {
      this.#waiting.add(index);
    } else if (source.state === 'row') {
      this.#heap[this.#size] = index;
      this.#siftUp(this.#size);
      this.#size += 1;
    }
  }

  #settle(): void {
    if (this.#waiting.size > 0) this.#current = MERGE_WAITING;
    else this.#current = this.#size === 0 ? MERGE_END : this.#heap[0]!;
  }

  #before(a: number, b: number): boolean {
    const left = this.sources[a]!;
    const right = this.sources[b]!;
    return left.time < right.time || (left.time === right.time && left.rank < right.rank);
  }

  #siftUp(start: number): void {
    const heap = this.#heap;
    const index = heap[start]!;
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(index, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = index;
  }

  /** Puts `index` in at the top and lets it sink to its place. */
  #siftDown(index: number): void {
    const heap = this.#heap;
    const size = this.#size;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && this.#before(heap[child + 1]!, heap[child]!)) child += 1;
      if (!this.#before(heap[child]!, index)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = index;
  }

  #removeTop(): void {
    this.#size -= 1;
    if (this.#size > 0) this.#siftDown(this.#heap[this.#size]!);
  }
}
