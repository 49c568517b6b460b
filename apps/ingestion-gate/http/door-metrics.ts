/** The front door's metrics. */
import type { Metrics } from '../../../lib/index.ts';
import type { PushAnswer } from './push-service.ts';

export interface DoorMetrics {
  answered(answer: PushAnswer, seconds: number): void;
}

export function doorMetrics(metrics: Metrics, inFlight: () => number): DoorMetrics {
  const events = metrics.counter(
    'front_door_events_total',
    'Pushed events by what was answered: a decision, or the code of a refusal',
    ['answer'],
  );
  const latency = metrics.histogram(
    'front_door_outcome_seconds',
    'Seconds from a request to the committed outcome of its event',
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  );
  metrics.gauge('front_door_in_flight_events', 'Events whose outcome is waited for', [], (gauge) =>
    gauge.set(inFlight()),
  );
  return {
    answered({ body }, seconds) {
      const decided = 'decision' in body && typeof body['decision'] === 'string';
      events.inc({ answer: decided ? body['decision'] : String((body as { code?: string }).code) });
      if (decided) latency.observe(seconds);
    },
  };
}
