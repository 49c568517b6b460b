/** Calls that the cluster answers with "not now": made again until they are answered or their time is over. */
import { setTimeout as delay } from 'node:timers/promises';
import { KafkaError } from './kafka-error.ts';

const FIRST_PAUSE_MS = 20;
const LONGEST_PAUSE_MS = 500;

/**
 * Calls with the time that is left, in milliseconds. The usual reasons are a predecessor's transaction that the broker is just
 * aborting (CONCURRENT_TRANSACTIONS) and a partition whose leader has just changed (NOT_LEADER_FOR_PARTITION). Rejects with
 * the last error when the time is over, at once with one that is not retriable.
 */
export async function untilAnswered<T>(timeoutMs: number, call: (leftMs: number) => Promise<T>): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    try {
      return await call(Math.max(1, Math.round(deadline - performance.now())));
    } catch (error) {
      const again = error instanceof KafkaError && error.retriable && !error.fatal;
      if (!again || performance.now() + pause >= deadline) throw error;
      await delay(pause);
    }
  }
}
