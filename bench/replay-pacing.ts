/**
 * How close a paced replay keeps to its schedule: 5,000 events/s of event time at speedup 1.
 *
 *   node --import=tsx bench/replay-pacing.ts [seconds, default 60]
 *
 * Prints the distance between each event's scheduled and actual hand-over, and the duration against the schedule's.
 */
import { pino } from 'pino';

import { WorldStreamer } from '../apps/world-streamer-producer/world-streamer.ts';
import { WorldStreamerFixture } from '../test/integration/world-streamer-fixture.ts';

const seconds = Number(process.argv[2] ?? 60);
const fixture = new WorldStreamerFixture();
/** The fixture's world has a flow of five events each millisecond. */
await fixture.open(seconds * 1000);
try {
  const lines: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => lines.push(line) });
  const context = fixture.context({ policy: { speedup: 1, max_events: null, max_events_per_output: null } });
  const streamer = new WorldStreamer(context, logger, () => {
    streamer.stop();
  });
  await fixture.ready('pacing');
  await streamer.run();
  const ended = lines
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .find(({ msg }) => msg === 'stream ended');
  const result = { scheduled_seconds: seconds, seconds: ended?.['seconds'], fidelity: ended?.['fidelity'] };
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await fixture.close();
}
