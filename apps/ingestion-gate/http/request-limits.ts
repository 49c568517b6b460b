/** How much one front door takes on at once: a token bucket over requests, and a cap on events in flight. */
import { DoorError } from './problem.ts';

export interface RequestLimitOptions {
  /** 0 is no limit. A minute's worth may come at once. */
  readonly requestsPerMinute: number;
  readonly maxInFlightEvents: number;
  /** Milliseconds, never going back. */
  readonly now?: () => number;
}

const MINUTE_MS = 60_000;
const IN_FLIGHT_RETRY_SECONDS = 1;

export class RequestLimits {
  inFlight = 0;
  readonly #options: RequestLimitOptions;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  constructor(options: RequestLimitOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#tokens = options.requestsPerMinute;
    this.#filledAt = this.#now();
  }

  /** Takes one request's token. Throws DoorError RATE_LIMITED with the seconds until the next one. */
  takeRequest(): void {
    const rate = this.#options.requestsPerMinute;
    if (rate === 0) return;
    const now = this.#now();
    this.#tokens = Math.min(rate, this.#tokens + ((now - this.#filledAt) * rate) / MINUTE_MS);
    this.#filledAt = now;
    if (this.#tokens < 1) {
      const seconds = Math.max(1, Math.ceil(((1 - this.#tokens) * MINUTE_MS) / rate / 1000));
      throw new DoorError('RATE_LIMITED', `the limit is ${rate} requests a minute`, { retryAfter: seconds });
    }
    this.#tokens -= 1;
  }

  /** Reserves room for events; `release` gives it back. Throws DoorError TOO_MANY_IN_FLIGHT. */
  enter(events: number): void {
    const most = this.#options.maxInFlightEvents;
    // A batch of its own size is let in when nothing else is, or it could never be.
    if (this.inFlight > 0 && this.inFlight + events > most) {
      throw new DoorError(
        'TOO_MANY_IN_FLIGHT',
        `${this.inFlight} events wait for their outcome; the limit is ${most}`,
        { retryAfter: IN_FLIGHT_RETRY_SECONDS },
      );
    }
    this.inFlight += events;
  }

  release(events: number): void {
    this.inFlight -= events;
  }
}
