/**
 * When the next row may go: the replay clock and the rate cap together, and a way to wait that a command can cut
 * short.
 */
import { Fidelity } from './fidelity.ts';
import { constantRate, RateLimiter, type RateStep } from './rate-plan.ts';
import { ReplayClock, type ReplayClockOptions } from './replay-clock.ts';

export interface PacerOptions extends ReplayClockOptions {
  /** Caps on top of the clock. Default none. */
  readonly ratePlan?: readonly RateStep[];
  /** The wall-clock moment, epoch milliseconds, before which nothing is sent (campaign start). Default none. */
  readonly notBeforeEpochMs?: number;
}

export class Pacer {
  /** How late rows were taken, against their schedule; the caller records. */
  readonly fidelity = new Fidelity();
  readonly #clock: ReplayClock;
  #limiter: RateLimiter | null;
  #startMs: number | null = null;
  readonly #now: () => number;
  readonly #notBeforeEpochMs: number;
  #wake: (() => void) | null = null;

  constructor(options: PacerOptions) {
    this.#clock = new ReplayClock(options);
    this.#limiter = options.ratePlan === undefined ? null : new RateLimiter(options.ratePlan);
    this.#now = options.now ?? (() => performance.now());
    this.#notBeforeEpochMs = options.notBeforeEpochMs ?? -Infinity;
  }

  get speedup(): number {
    return this.#clock.speedup;
  }
  get paused(): boolean {
    return this.#clock.paused;
  }
  /** Monotonic milliseconds, the scale of `dueAt`. */
  now(): number {
    return this.#now();
  }

  /** Fixes the start point: now, or the campaign start when that is later. */
  start(firstEventMicros: number): void {
    const wait = Math.max(0, this.#notBeforeEpochMs - Date.now());
    const startMs = this.#now() + wait;
    this.#startMs = startMs;
    this.#clock.start(firstEventMicros, startMs);
    this.#limiter?.start(startMs);
  }

  /**
   * The monotonic millisecond at which the row may be sent. A row with `dueAt` at or before `nowMs` may go now, and
   * `taken` must follow. Asked again for the same row later, the answer may have moved (pause, throttle).
   */
  dueAt(eventMicros: number, nowMs: number): number {
    const due = this.#clock.dueAt(eventMicros);
    if (this.#limiter === null || due > nowMs) return due;
    const ready = this.#limiter.readyAt(nowMs);
    // A row with its token at hand is due when the clock said so, however late it is.
    return ready <= nowMs ? due : ready;
  }

  taken(): void {
    this.#limiter?.take();
  }

  pause(): void {
    this.#clock.pause();
  }
  resume(): void {
    this.#clock.resume();
    this.wake();
  }
  throttle(speedup: number): void {
    this.#clock.setSpeedup(speedup);
    this.wake();
  }
  /** Caps the rate from now on, in place of the rate plan. Rows held back by it stay behind their schedule. */
  limitRate(eventsPerSecond: number): void {
    this.#limiter = new RateLimiter(constantRate(eventsPerSecond));
    if (this.#startMs !== null) this.#limiter.start(Math.max(this.#startMs, this.#now()));
    this.wake();
  }

  /** Resolves at a monotonic millisecond (Infinity: not by itself), or when `wake`, `resume` or `throttle` is called. */
  async sleepUntil(monotonicMs: number): Promise<void> {
    const delay = monotonicMs - this.#now();
    if (delay <= 0) return;
    await new Promise<void>((resolve) => {
      // A timer counts whole milliseconds: rounded up, it never wakes before its time only to sleep again. It
      // overflows beyond 2^31 ms; waking early there is harmless, the caller asks `dueAt` again.
      const timer = setTimeout(resolve, Math.min(Math.ceil(delay), 60_000));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  wake(): void {
    this.#wake?.();
  }
}
