/** kill -9 at every named step of the streamer: after a restart the topic holds what an undisturbed run would. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';

import { CRASH_STEPS } from '../../apps/world-streamer-producer/crash-point.ts';
import { WorldStreamerFixture } from './world-streamer-fixture.ts';

const FLOWS = 400;
const EVENTS = FLOWS * 5;
const fixture = new WorldStreamerFixture();

test.before(() => fixture.open(FLOWS));
test.after.always(() => fixture.close());

/** Runs a streamer until a run has ended or it has been killed; returns the signal, or null for a clean exit. */
async function streamer(crashAt?: string): Promise<NodeJS.Signals | null> {
  const child = spawn(
    process.execPath,
    ['--import=tsx', 'test/integration/world-streamer-child.ts', fixture.name],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...(crashAt === undefined ? {} : { FP_CRASH_AT: crashAt }) },
    },
  );
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  if (signal === null && code !== 0) throw new Error(`the streamer ended with exit code ${String(code)}`);
  return signal;
}

for (const step of Object.keys(CRASH_STEPS)) {
  // Killed in the middle, not at the first batch.
  const crashAt = step.startsWith('wsp.batch') ? `${step}:2` : step;
  test.serial(`CI-51 killed at ${crashAt}, a restart completes the run: every event once`, async (t) => {
    const ready = await fixture.ready(step);
    t.is(await streamer(crashAt), 'SIGKILL');
    // After the last commit nothing is left to do; a further run shows that nothing is done twice.
    if (step === 'wsp.completed.committed') await fixture.ready(`after ${step}`);
    t.is(await streamer(), null);
    const records = (await fixture.ingress()).filter(
      ({ envelope }) => envelope.scenario_run_id === ready.scenario_run_id,
    );
    const ids = records.map(({ envelope }) => envelope.event_id);
    t.is(new Set(ids).size, ids.length, 'an event was sent twice');
    t.is(ids.length, EVENTS + 2, 'the events, stream.started and stream.completed');
  });
}
