/**
 * Caps on the rows of a replay, in total and per source.
 *
 * They count rows of the merged order over the whole replay, not since the last restart, so the counts live in the
 * caller's cursor. Lanes that share a replay count the same rows and so stop at the same one.
 */
import { ReplayError } from './replay-error.ts';

export interface ReplayCaps {
  /** Most rows in total. Default unlimited. */
  readonly maxEvents?: number;
  /** Most rows per source. Default unlimited. */
  readonly maxEventsPerSource?: number;
}

export class CapCounter {
  readonly #maxEvents: number;
  readonly #maxPerSource: number;
  readonly #taken: Float64Array;
  #total: number;

  /** `taken` is how many rows each source has given before. */
  constructor(caps: ReplayCaps, taken: readonly number[]) {
    this.#maxEvents = checkedCap('maxEvents', caps.maxEvents);
    this.#maxPerSource = checkedCap('maxEventsPerSource', caps.maxEventsPerSource);
    this.#taken = Float64Array.from(taken);
    this.#total = taken.reduce((sum, count) => sum + count, 0);
  }

  get total(): number {
    return this.#total;
  }
  taken(source: number): number {
    return this.#taken[source]!;
  }

  /** No further row may be taken at all. */
  get reached(): boolean {
    return this.#total >= this.#maxEvents;
  }
  /** No further row of this source may be taken. */
  reachedBy(source: number): boolean {
    return this.#taken[source]! >= this.#maxPerSource;
  }

  take(source: number): void {
    this.#taken[source] = this.#taken[source]! + 1;
    this.#total += 1;
  }
}

function checkedCap(name: string, cap: number | undefined): number {
  if (cap === undefined) return Infinity;
  if (!Number.isSafeInteger(cap) || cap < 1) {
    throw new ReplayError('OPTION_INVALID', `${name} ${cap}: it must be a whole number above 0, or left out`);
  }
  return cap;
}
