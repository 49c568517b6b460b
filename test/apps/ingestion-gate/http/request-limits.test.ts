import test from 'ava';
import { DoorError } from '../../../../apps/ingestion-gate/http/problem.ts';
import { RequestLimits } from '../../../../apps/ingestion-gate/http/request-limits.ts';

test('CI-74 a minute’s requests may come at once, then one whenever its time has passed', (t) => {
  let now = 0;
  const limits = new RequestLimits({ requestsPerMinute: 6, maxInFlightEvents: 10, now: () => now });
  for (let i = 0; i < 6; i += 1) limits.takeRequest();
  const refused = t.throws(() => limits.takeRequest(), { instanceOf: DoorError });
  t.like(refused, { retryAfter: 10 });
  t.like(refused.problem, { status: 429, code: 'RATE_LIMITED', retryable: true });
  now = 9_999;
  t.throws(() => limits.takeRequest());
  now = 10_001;
  t.notThrows(() => limits.takeRequest());
  t.throws(() => limits.takeRequest());
  now = 10 * 60_000;
  for (let i = 0; i < 6; i += 1) limits.takeRequest();
  t.throws(() => limits.takeRequest(), undefined, 'an idle hour saves no more than a minute’s worth');
});

test('CI-74 events in flight are capped, and 0 requests a minute is no limit', (t) => {
  const limits = new RequestLimits({ requestsPerMinute: 0, maxInFlightEvents: 10 });
  for (let i = 0; i < 1000; i += 1) limits.takeRequest();
  limits.enter(8);
  t.like(
    t.throws(() => limits.enter(3), { instanceOf: DoorError }),
    { retryAfter: 1 },
  );
  limits.enter(2);
  limits.release(10);
  t.is(limits.inFlight, 0);
  limits.enter(11);
  t.is(limits.inFlight, 11, 'a batch above the cap is let in alone');
});
