/** Repeats what may succeed later: full jitter on a doubling delay. */
import { setTimeout as delay } from 'node:timers/promises';
import { toObjectStoreError } from './object-store-error.ts';

export interface RetryPolicy {
  /** Attempts in all, 1 or more. */
  readonly maxAttempts: number;
  /** Delay before the second attempt, in milliseconds; it doubles from there. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
}

/** Runs `attempt` (numbered from 1) until it succeeds, fails for good, or the attempts are used up. */
export async function withRetry<T>(
  policy: RetryPolicy,
  what: string,
  attempt: (attemptNumber: number) => Promise<T>,
): Promise<T> {
  for (let n = 1; ; n += 1) {
    try {
      return await attempt(n);
    } catch (error) {
      const failure = toObjectStoreError(what, error);
      if (!failure.retriable || n >= policy.maxAttempts) throw failure;
      const ceiling = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (n - 1));
      await delay(ceiling / 2 + (Math.random() * ceiling) / 2);
    }
  }
}
