import test from 'ava';
import fc from 'fast-check';

import { CapCounter } from '../../../lib/replay/caps.ts';
import { Fidelity } from '../../../lib/replay/fidelity.ts';
import { Pacer } from '../../../lib/replay/pacer.ts';
import { constantRate, RateLimiter, type RateStep } from '../../../lib/replay/rate-plan.ts';
import { ReplayClock } from '../../../lib/replay/replay-clock.ts';

function handClock(): { ms: number; now: () => number } {
  const clock = { ms: 1000, now: () => clock.ms };
  return clock;
}

test('a row is due at start + event time / speedup, however late the rows before it were', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(10_000_000), { minLength: 1, maxLength: 50 }),
      fc.double({ min: 0.01, max: 10_000, noNaN: true }),
      fc.array(fc.nat(5000), { maxLength: 50 }),
      (gaps, speedup, delays) => {
        const wall = handClock();
        const clock = new ReplayClock({ speedup, now: wall.now });
        clock.start(1_000_000);
        let event = 1_000_000;
        for (const [index, gap] of gaps.entries()) {
          event += gap;
          const due = clock.dueAt(event);
          t.true(Math.abs(due - (1000 + (event - 1_000_000) / 1000 / speedup)) < 1e-6 * due);
          wall.ms += delays[index] ?? 0;
        }
      },
    ),
  );
});

test('CI-48 speedup changes when a row is due and nothing else: due times scale, order stays', (t) => {
  const events = [0, 5, 5, 1_000_000, 86_400_000_000];
  const due = (speedup: number): number[] => {
    const clock = new ReplayClock({ speedup, now: () => 0 });
    clock.start(0);
    return events.map((event) => clock.dueAt(event));
  };
  t.deepEqual(
    due(600).map((ms) => ms * 600),
    due(1),
  );
  t.deepEqual(due(0), [0, 0, 0, 0, 0]);
});

test('gaps longer than the cap are shortened to it, shorter ones are kept', (t) => {
  const clock = new ReplayClock({ speedup: 1, gapCapSeconds: 2, now: () => 0 });
  clock.start(0);
  t.deepEqual(
    [0, 1_000_000, 3_600_000_000, 3_600_500_000].map((event) => clock.dueAt(event)),
    [0, 1000, 3000, 3500],
  );
});

test('CI-55 pause holds every row, resume goes on as if no time had passed, throttle bends time from now on', (t) => {
  const wall = handClock();
  const clock = new ReplayClock({ speedup: 1, now: wall.now });
  clock.start(0);
  t.is(clock.dueAt(500_000), 1500);
  wall.ms = 1200;
  clock.pause();
  t.is(clock.dueAt(500_000), Infinity);
  wall.ms = 9200;
  clock.resume();
  t.is(clock.dueAt(500_000), 9500);
  wall.ms = 9300;
  clock.setSpeedup(10);
  // 300 ms of the replay have passed; the 200 ms left take 20.
  t.is(clock.dueAt(500_000), 9320);
  clock.setSpeedup(0);
  t.true(clock.dueAt(700_000) <= wall.ms);
  wall.ms = 9400;
  clock.setSpeedup(1);
  t.is(clock.dueAt(800_000), 9500);
});

test('CI-49 nothing is due before the campaign start', (t) => {
  const wall = handClock();
  const pacer = new Pacer({ speedup: 0, now: wall.now, notBeforeEpochMs: Date.now() + 3_600_000 });
  pacer.start(0);
  const due = pacer.dueAt(0, wall.ms);
  t.true(due > wall.ms + 3_590_000 && due <= wall.ms + 3_600_000);
});

test('a sleep ends when the replay is resumed, throttled or woken', async (t) => {
  const pacer = new Pacer({ speedup: 1 });
  for (const action of [() => pacer.resume(), () => pacer.throttle(2), () => pacer.wake()]) {
    const slept = pacer.sleepUntil(Infinity);
    action();
    await slept;
  }
  t.pass();
});

/** Sends as fast as the limiter allows and returns the milliseconds after start at which each event went. */
function simulate(plan: readonly RateStep[], untilMs: number): number[] {
  const limiter = new RateLimiter(plan);
  limiter.start(0);
  const sent: number[] = [];
  let now = 0;
  while (now < untilMs) {
    const ready = limiter.readyAt(now);
    if (ready <= now) {
      limiter.take();
      sent.push(now);
    } else {
      now = Math.min(ready + 1e-6, untilMs);
    }
  }
  return sent;
}

test('CI-49 a rate plan holds each step to its rate, its burst and its initial tokens', (t) => {
  const sent = simulate(
    [
      { start_offset_seconds: 1, target_eps: 100, burst_seconds: 0.5, initial_tokens: 50 },
      { start_offset_seconds: 3, target_eps: 0 },
      { start_offset_seconds: 4, target_eps: 1000, burst_seconds: 0.01, initial_tokens: 0 },
    ],
    5000,
  );
  const between = (from: number, to: number): number => sent.filter((ms) => ms >= from && ms < to).length;
  t.is(between(0, 1000), 0);
  t.is(between(1000, 1000.1), 50);
  t.true(Math.abs(between(1000, 3000) - 250) <= 1);
  t.is(between(3000, 4000), 0);
  t.true(Math.abs(between(4000, 5000) - 1000) <= 2);
});

test('any constant rate is never exceeded beyond its burst, over any window', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (eps, burst) => {
        const sent = simulate(constantRate(eps, burst), 2000);
        const bucket = Math.max(1, eps * burst);
        for (let from = 0; from < sent.length; from += 7) {
          for (let to = from; to < sent.length; to += 11) {
            const allowed = bucket + ((sent[to]! - sent[from]!) * eps) / 1000 + 1e-3;
            if (to - from + 1 > allowed + 1) return false;
          }
        }
        return sent.length >= Math.floor(eps * 1.9);
      },
    ),
    { numRuns: 30 },
  );
  t.pass();
});

test('rate plans out of order, empty or with impossible numbers are refused', (t) => {
  const refused = { message: /OPTION_INVALID/ };
  t.throws(() => new RateLimiter([]), refused);
  t.throws(() => new RateLimiter([{ start_offset_seconds: 0, target_eps: -1 }]), refused);
  t.throws(
    () =>
      new RateLimiter([
        { start_offset_seconds: 1, target_eps: 1 },
        { start_offset_seconds: 1, target_eps: 2 },
      ]),
    refused,
  );
  t.throws(() => new ReplayClock({ speedup: -1 }), refused);
  t.throws(() => new ReplayClock({ speedup: Infinity }), refused);
  t.throws(() => new CapCounter({ maxEvents: 0 }, []), refused);
});

test('CI-50 caps hold in total and per source and go on from earlier counts', (t) => {
  const caps = new CapCounter({ maxEvents: 10, maxEventsPerSource: 6 }, [5, 1]);
  t.false(caps.reached);
  caps.take(0);
  t.true(caps.reachedBy(0));
  t.false(caps.reachedBy(1));
  caps.take(1);
  caps.take(1);
  t.false(caps.reached);
  caps.take(1);
  t.true(caps.reached);
  t.is(caps.total, 10);
});

test('fidelity quantiles are never below the truth and at most 3.2 % above it', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(10_000_000), { minLength: 1, maxLength: 200 }),
      fc.constantFrom(0.5, 0.99, 1),
      (late, q) => {
        const fidelity = new Fidelity();
        for (const micros of late) fidelity.record(micros / 1000);
        const sorted = [...late].sort((a, b) => a - b);
        const truth = sorted[Math.ceil(sorted.length * q) - 1]!;
        const measured = fidelity.quantile(q) * 1000;
        t.true(measured >= truth - 1e-6, `${measured} < ${truth}`);
        t.true(measured <= truth * 1.032 + 1.001, `${measured} > ${truth}`);
      },
    ),
  );
  t.deepEqual(new Fidelity().summary(), { count: 0, p50_ms: 0, p99_ms: 0, max_ms: 0 });
});
