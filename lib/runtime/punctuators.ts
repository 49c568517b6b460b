/** The scheduled callbacks of one task, on stream time and on wall clock. */
import type { Punctuation, PunctuationType } from '../topology/processor.ts';
import type { Clock } from './clock.ts';

interface Scheduled {
  readonly intervalMs: number;
  readonly callback: (time: number) => void;
  /** Time at which it fires next; NaN until stream time is known. */
  due: number;
}

export class Punctuators {
  readonly #streamTime: () => number;
  readonly #clock: Clock;
  readonly #onStreamTime: Scheduled[] = [];
  readonly #onWallClock: Scheduled[] = [];

  constructor(streamTime: () => number, clock: Clock) {
    this.#streamTime = streamTime;
    this.#clock = clock;
  }

  schedule(intervalMs: number, type: PunctuationType, callback: (time: number) => void): Punctuation {
    if (!(intervalMs > 0))
      throw new RangeError(`a punctuation interval must be positive, not ${intervalMs} ms`);
    const list = type === 'stream-time' ? this.#onStreamTime : this.#onWallClock;
    const due = type === 'wall-clock' ? this.#clock.now() + intervalMs : Number.NaN;
    const scheduled: Scheduled = { intervalMs, callback, due };
    list.push(scheduled);
    return { cancel: () => void list.splice(list.indexOf(scheduled), list.includes(scheduled) ? 1 : 0) };
  }

  /** Fires what is due, stream time first; each at most once however far time has jumped. */
  run(): boolean {
    let ran = false;
    const streamTime = this.#streamTime();
    if (streamTime >= 0) ran = fire(this.#onStreamTime, streamTime);
    if (this.#onWallClock.length > 0) ran = fire(this.#onWallClock, this.#clock.now()) || ran;
    return ran;
  }

  nextWallClock(): number {
    let next = Infinity;
    for (const scheduled of this.#onWallClock) next = Math.min(next, scheduled.due);
    return next;
  }
}

function fire(list: readonly Scheduled[], time: number): boolean {
  let ran = false;
  for (const scheduled of [...list]) {
    // Aligned to multiples of the interval, so that two tasks with the same input fire at the same stream times.
    if (Number.isNaN(scheduled.due)) scheduled.due = nextMultiple(time, scheduled.intervalMs);
    if (time < scheduled.due) continue;
    scheduled.due = nextMultiple(time, scheduled.intervalMs);
    scheduled.callback(time);
    ran = true;
  }
  return ran;
}

function nextMultiple(time: number, interval: number): number {
  return (Math.floor(time / interval) + 1) * interval;
}
