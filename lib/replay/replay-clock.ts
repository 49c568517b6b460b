/**
 * Event time to monotonic wall time, from one start point.
 *
 * A row is due at start + (its time - the first row's time) / speedup. Sleeps are never summed, so nothing drifts:
 * a row sent late makes no later row late. Pausing and changing the speed move the start point, explicitly.
 */
import { ReplayError } from './replay-error.ts';

export interface ReplayClockOptions {
  /** Event seconds per wall second; 0 is as fast as possible. */
  readonly speedup: number;
  /** Longest stretch of event time, in seconds, between two rows; longer gaps are shortened to it. Default none. */
  readonly gapCapSeconds?: number;
  /** Monotonic milliseconds. Default performance.now. */
  readonly now?: () => number;
}

export class ReplayClock {
  readonly #gapCapMicros: number;
  readonly #now: () => number;
  #speedup: number;
  /** The start point: this many microseconds of replayed time fall on this monotonic millisecond. */
  #originMicros = 0;
  #originMs = NaN;
  /** Replayed time of the latest row asked for: event time since the first row, less what the gap cap cut. */
  #replayed = 0;
  #lastEvent = NaN;
  #pausedAt: number | null = null;

  constructor(options: ReplayClockOptions) {
    this.#speedup = checkedSpeedup(options.speedup);
    const gapCap = options.gapCapSeconds ?? Infinity;
    if (!(gapCap > 0)) throw new ReplayError('OPTION_INVALID', `gapCapSeconds ${gapCap}: it must be above 0`);
    this.#gapCapMicros = gapCap * 1e6;
    this.#now = options.now ?? (() => performance.now());
  }

  get speedup(): number {
    return this.#speedup;
  }
  get paused(): boolean {
    return this.#pausedAt !== null;
  }

  /** Fixes the start point: the first row is due at `atMs` (monotonic), default now. Call once, before `dueAt`. */
  start(firstEventMicros: number, atMs = this.#now()): void {
    this.#lastEvent = firstEventMicros;
    this.#originMs = atMs;
    if (this.#pausedAt !== null) this.#pausedAt = this.#now();
  }

  /**
   * The monotonic millisecond at which a row is due: the start point for every row when the speedup is 0, Infinity
   * while paused. Rows are asked for in order: event times never fall.
   */
  dueAt(eventMicros: number): number {
    const gap = eventMicros - this.#lastEvent;
    if (gap > 0) {
      this.#replayed += gap < this.#gapCapMicros ? gap : this.#gapCapMicros;
      this.#lastEvent = eventMicros;
    }
    if (this.#pausedAt !== null) return Infinity;
    if (this.#speedup === 0) return this.#originMs;
    return this.#originMs + (this.#replayed - this.#originMicros) / (1000 * this.#speedup);
  }

  pause(): void {
    this.#pausedAt ??= this.#now();
  }

  /** Goes on where `pause` stopped: the time in between does not exist for the replay. */
  resume(): void {
    if (this.#pausedAt === null) return;
    this.#originMs += this.#now() - this.#pausedAt;
    this.#pausedAt = null;
  }

  /** Changes the speed from now on; rows already due stay due. */
  setSpeedup(speedup: number): void {
    const next = checkedSpeedup(speedup);
    const now = this.#pausedAt ?? this.#now();
    if (!Number.isNaN(this.#originMs) && now > this.#originMs) {
      this.#originMicros =
        this.#speedup === 0
          ? this.#replayed
          : this.#originMicros + (now - this.#originMs) * 1000 * this.#speedup;
      this.#originMs = now;
    }
    this.#speedup = next;
  }
}

function checkedSpeedup(speedup: number): number {
  if (!Number.isFinite(speedup) || speedup < 0) {
    throw new ReplayError(
      'OPTION_INVALID',
      `speedup ${speedup}: it must be 0 (as fast as possible) or above`,
    );
  }
  return speedup;
}
