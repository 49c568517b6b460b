/** A streamer in a process of its own, to be killed: `world-streamer-child.ts <fixture name>` serves until a run has ended. */
import { pino } from 'pino';

import { WorldStreamer } from '../../apps/world-streamer-producer/world-streamer.ts';
import { WorldStreamerFixture } from './world-streamer-fixture.ts';

const name = process.argv[2];
if (name === undefined) throw new Error('give the name of an open fixture');
const fixture = new WorldStreamerFixture(name);
const streamer = new WorldStreamer(
  fixture.context({
    pacing: { ratePlan: [{ start_offset_seconds: 0, target_eps: 6000, burst_seconds: 0.05 }] },
  }),
  pino({ level: 'warn' }, pino.destination(2)),
  () => {
    streamer.stop();
  },
);
await streamer.run();
process.exit(0);
