/** Waiting for something to become true on real servers: looked at again and again until a deadline, never slept for. */
import { setTimeout as delay } from 'node:timers/promises';

export interface Patience {
  /** Milliseconds until waiting fails. Default 60,000. */
  readonly deadlineMs?: number;
  /** Milliseconds between two looks. Default 100. */
  readonly everyMs?: number;
  /** Looked at each time; what it throws ends the waiting: something that was needed is gone. */
  readonly check?: () => void;
}

/**
 * Resolves with the first answer of `probe` that is neither false nor null nor undefined. Rejects after the deadline,
 * naming what did not happen and what `describe` says about how far it got.
 */
export async function eventually<T>(
  what: string,
  probe: () => T | false | null | undefined | Promise<T | false | null | undefined>,
  patience: Patience = {},
  describe: () => string = () => '',
): Promise<T> {
  const { deadlineMs = 60_000, everyMs = 100, check } = patience;
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    check?.();
    const answer = await probe();
    if (answer !== false && answer !== null && answer !== undefined) return answer;
    if (performance.now() > deadline) {
      const state = describe();
      throw new Error(`not within ${deadlineMs} ms: ${what}${state === '' ? '' : ` (${state})`}`);
    }
    await delay(everyMs);
  }
}
