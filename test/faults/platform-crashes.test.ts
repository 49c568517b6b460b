/** kill -9 of each service in mid-run: a restart, and the run reconciles to the event as if nothing had happened. */
import test from 'ava';
import { sharedBy } from '../support/group-members.ts';
import { TestPlatform, type ServiceName } from '../support/platform.ts';
import type { SamplePack } from '../support/sample-pack.ts';
import type { ServiceProcess } from '../support/service-process.ts';
import { exactly, midRun, verdictOf } from '../support/run-verdict.ts';

const EVENTS = 4000;
/** A day of events in some eight seconds: long enough to be disturbed in the middle. */
const SPEEDUP = 15_000;

let platform: TestPlatform;
let pack: SamplePack;
const services = new Map<ServiceName, ServiceProcess>();

test.before(async () => {
  platform = await TestPlatform.open('crashes');
  pack = await platform.pack('9', EVENTS);
  for (const name of ['gate', 'ledger', 'streamer'] as const) services.set(name, platform.start(name));
});
test.after.always(() => platform.close());

for (const [name, id] of [
  ['gate', 'CI-57'],
  ['streamer', 'CI-51'],
  ['ledger', 'CI-68'],
] as const) {
  test.serial(
    `${id} the ${name} is killed in mid-run: after a restart every event has one outcome`,
    async (t) => {
      const run = await platform.submit(pack, { speedup: SPEEDUP });
      await midRun(platform, run);
      await services.get(name)!.kill();
      services.set(name, platform.start(name));
      t.deepEqual(await verdictOf(platform, run), exactly(EVENTS));
    },
  );
}

test.serial(
  'two gates share a run, one is killed and restarted: order holds and every event is there once',
  async (t) => {
    const second = platform.start('gate');
    await sharedBy(platform.admin, platform.settings.groups.gate, 2, { check: platform.check });
    const run = await platform.submit(pack, { speedup: SPEEDUP });
    await midRun(platform, run);
    await second.kill();
    platform.start('gate');
    t.deepEqual(await verdictOf(platform, run), exactly(EVENTS));
  },
);

test.serial(
  'CI-95 every service is told to end in mid-run: it does in time, and the next ones finish the run',
  async (t) => {
    const run = await platform.submit(pack, { speedup: SPEEDUP });
    await midRun(platform, run);
    const exits = await platform.terminateServices();
    t.true(exits.length >= 4);
    for (const { name, code, signal, ms } of exits) {
      t.deepEqual({ name, code, signal }, { name, code: 0, signal: null });
      t.true(ms < 10_000, `${name} took ${ms} ms`);
    }
    for (const name of ['streamer', 'ledger', 'gate'] as const) platform.start(name);
    t.deepEqual(await verdictOf(platform, run), exactly(EVENTS));
  },
);
