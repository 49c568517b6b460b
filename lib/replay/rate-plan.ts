/**
 * Rate caps: a token bucket whose rate follows a plan of steps.
 *
 * Each step begins at an offset from the start of the replay and lasts until the next one; before the first step
 * nothing is sent. Entering a step empties the bucket to the step's initial tokens.
 */
import { ReplayError } from './replay-error.ts';

export interface RateStep {
  /** Seconds after the start of the replay. */
  readonly start_offset_seconds: number;
  /** Events per second; 0 holds the replay until the next step. */
  readonly target_eps: number;
  /** Size of the bucket, in seconds of the target rate. Default 0.25. */
  readonly burst_seconds?: number;
  /** Tokens at the beginning of the step, at most the bucket's size. Default a full bucket. */
  readonly initial_tokens?: number;
}

const DEFAULT_BURST_SECONDS = 0.25;

/** One rate from the start to the end. */
export function constantRate(eventsPerSecond: number, burstSeconds = DEFAULT_BURST_SECONDS): RateStep[] {
  return [{ start_offset_seconds: 0, target_eps: eventsPerSecond, burst_seconds: burstSeconds }];
}

export class RateLimiter {
  readonly #steps: readonly Required<RateStep>[];
  #step = -1;
  #startMs = NaN;
  #tokens = 0;
  #filledAtMs = 0;

  /** Throws ReplayError (OPTION_INVALID) for steps that are not in order or not numbers that make sense. */
  constructor(plan: readonly RateStep[]) {
    this.#steps = plan.map((step, index) => checkedStep(step, index, plan));
    if (plan.length === 0) throw new ReplayError('OPTION_INVALID', 'a rate plan needs at least one step');
  }

  start(atMs: number): void {
    this.#startMs = atMs;
  }

  /** When the next token is there: at or before `nowMs` if there is one, Infinity when the plan holds for ever. */
  readyAt(nowMs: number): number {
    this.#enterSteps(nowMs);
    const first = this.#steps[this.#step + 1];
    const nextStepMs = first === undefined ? Infinity : this.#startMs + first.start_offset_seconds * 1000;
    const step = this.#steps[this.#step];
    if (step === undefined) return nextStepMs;
    this.#fill(step, nowMs);
    if (this.#tokens >= 1) return nowMs;
    return Math.min(nextStepMs, nowMs + ((1 - this.#tokens) * 1000) / step.target_eps);
  }

  /** Takes the token that `readyAt` promised. */
  take(): void {
    this.#tokens -= 1;
  }

  #enterSteps(nowMs: number): void {
    for (;;) {
      const next = this.#steps[this.#step + 1];
      if (next === undefined) return;
      const beginsMs = this.#startMs + next.start_offset_seconds * 1000;
      if (nowMs < beginsMs) return;
      this.#step += 1;
      this.#tokens = Math.min(next.initial_tokens, bucketSize(next));
      this.#filledAtMs = beginsMs;
    }
  }

  #fill(step: Required<RateStep>, nowMs: number): void {
    const grown = this.#tokens + ((nowMs - this.#filledAtMs) * step.target_eps) / 1000;
    this.#tokens = Math.min(bucketSize(step), grown);
    this.#filledAtMs = nowMs;
  }
}

/** A bucket below one token would never give one. */
function bucketSize(step: Required<RateStep>): number {
  return step.target_eps === 0 ? 0 : Math.max(1, step.target_eps * step.burst_seconds);
}

function checkedStep(step: RateStep, index: number, plan: readonly RateStep[]): Required<RateStep> {
  const burst = step.burst_seconds ?? DEFAULT_BURST_SECONDS;
  const initial = step.initial_tokens ?? step.target_eps * burst;
  for (const [name, value] of Object.entries({ ...step, burst_seconds: burst, initial_tokens: initial })) {
    if (!Number.isFinite(value) || value < 0) {
      throw new ReplayError('OPTION_INVALID', `step ${index} of the rate plan: ${name} is ${value}`);
    }
  }
  if (index > 0 && step.start_offset_seconds <= plan[index - 1]!.start_offset_seconds) {
    throw new ReplayError(
      'OPTION_INVALID',
      `step ${index} of the rate plan begins at ${step.start_offset_seconds} s, not after the step before it`,
    );
  }
  return {
    start_offset_seconds: step.start_offset_seconds,
    target_eps: step.target_eps,
    burst_seconds: burst,
    initial_tokens: initial,
  };
}
