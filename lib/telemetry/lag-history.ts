/**
 * What a series of lag readings says: rates, whether a partition keeps up, and when it will have caught up.
 *
 * Judged by the shape of the series and not by a threshold (after Burrow): a group with a million records of lag that
 * falls is healthy; one with ten that has not committed for a while is not.
 */

export interface LagReading {
  /** Milliseconds of a monotonic clock. */
  readonly at: number;
  /** Log end: offset of the next record to come. */
  readonly end: number;
  /** The group's committed offset (exclusive), or null when it has never committed. */
  readonly committed: number | null;
  /** Records still to read, 0 or more; null when there is no commit to count from. */
  readonly lag: number | null;
}

/**
 * `caught-up`: nothing to read. `draining`: lag falls or holds. `falling-behind`: commits go on, yet lag grows.
 * `stalled`: lag, and no progress for a while. `rewound`: the committed offset went back. `no-commit`: never committed.
 */
export type LagStatus = 'caught-up' | 'draining' | 'falling-behind' | 'stalled' | 'rewound' | 'no-commit';

export interface LagTrend {
  readonly status: LagStatus;
  /** Offsets written per second over the window. */
  readonly produceRate: number;
  /** Offsets committed per second over the window; 0 while rewinding. */
  readonly drainRate: number;
  /** Seconds until lag is 0 at the present rates; 0 when caught up, null when it will never be. */
  readonly etaSeconds: number | null;
}

export interface LagHistoryOptions {
  /** How far back rates look, in milliseconds. Default 15,000. */
  readonly windowMs?: number;
  /** Lag without progress for this long is a stall, in milliseconds. Default 10,000. */
  readonly stallMs?: number;
}

/** The readings of one partition of one group. Memory is bounded by the window. */
export class LagHistory {
  readonly #windowMs: number;
  readonly #stallMs: number;
  readonly #readings: LagReading[] = [];
  /** When the committed offset last changed, and when it last went back. */
  #movedAt = -Infinity;
  #rewoundAt = -Infinity;

  constructor(options: LagHistoryOptions = {}) {
    this.#windowMs = options.windowMs ?? 15_000;
    this.#stallMs = options.stallMs ?? 10_000;
  }

  /** Adds a reading; `at` must not be before the last one's. */
  add(reading: LagReading): void {
    const last = this.#readings.at(-1);
    if (last === undefined || last.committed !== reading.committed || reading.lag === 0)
      this.#movedAt = reading.at;
    if (last?.committed != null && reading.committed !== null && reading.committed < last.committed) {
      this.#rewoundAt = reading.at;
    }
    this.#readings.push(reading);
    while (this.#readings.length > 2 && this.#readings[1]!.at <= reading.at - this.#windowMs)
      this.#readings.shift();
  }

  get trend(): LagTrend {
    const first = this.#readings[0];
    const last = this.#readings.at(-1);
    if (first === undefined || last === undefined) {
      return { status: 'no-commit', produceRate: 0, drainRate: 0, etaSeconds: null };
    }
    const seconds = (last.at - first.at) / 1000;
    const rate = (from: number, to: number): number => (seconds > 0 ? Math.max(0, (to - from) / seconds) : 0);
    const produceRate = rate(first.end, last.end);
    if (last.committed === null || last.lag === null) {
      return { status: 'no-commit', produceRate, drainRate: 0, etaSeconds: null };
    }
    const drainRate = first.committed === null ? 0 : rate(first.committed, last.committed);
    const gain = drainRate - produceRate;
    const etaSeconds = last.lag === 0 ? 0 : gain > 0 ? last.lag / gain : null;
    return { status: this.#status(first, last), produceRate, drainRate, etaSeconds };
  }

  #status(first: LagReading, last: LagReading): LagStatus {
    if (last.at - this.#rewoundAt < this.#windowMs) return 'rewound';
    if (last.lag === 0) return 'caught-up';
    if (last.at - this.#movedAt >= this.#stallMs) return 'stalled';
    if (first.lag !== null && last.lag! > first.lag) return 'falling-behind';
    return 'draining';
  }
}
