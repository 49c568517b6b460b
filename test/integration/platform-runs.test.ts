/** The services together, over several runs: whatever the order they start in, runs are complete and apart. */
import test from 'ava';
import { TestPlatform } from '../support/platform.ts';
import type { SamplePack } from '../support/sample-pack.ts';
import type { ServiceProcess } from '../support/service-process.ts';
import { exactly, verdictOf } from '../support/run-verdict.ts';

const EVENTS = 2000;
let platform: TestPlatform;
let services: ServiceProcess[];
let pack: SamplePack;
let otherPack: SamplePack;

test.before(async () => {
  platform = await TestPlatform.open('runs', { topology: false });
  pack = await platform.pack('7', EVENTS);
  otherPack = await platform.pack('8', EVENTS);
});
test.after.always(() => platform.close());

test.serial(
  'CI-91 services that start before there is a topic wait, and then serve a smoke run',
  async (t) => {
    const streamer = platform.start('streamer');
    await streamer.logged(/topics .* make/);
    const ledger = platform.start('ledger');
    await ledger.logged(/waiting for topics/);
    const gate = platform.start('gate');
    await gate.logged(/waiting for the/);
    services = [streamer, ledger, gate];
    await platform.applyTopology();
    const run = await platform.submit(pack, { maxEvents: 20 });
    t.deepEqual(await verdictOf(platform, run), exactly(20, 1, 'max_events'));
  },
);

test.serial('CI-91 the same services serve the next run, and the receipts of both stay apart', async (t) => {
  const run = await platform.submit(pack, { maxEvents: 200 });
  t.deepEqual(await verdictOf(platform, run), exactly(200, 1, 'max_events'));
});

test.serial('CI-92 two runs at once, of other seeds and modes, never mix', async (t) => {
  const [fraud, baseline] = [
    await platform.submit(pack, { mode: 'fraud', speedup: 30_000 }),
    await platform.submit(otherPack, { mode: 'baseline', speedup: 30_000 }),
  ];
  const verdicts = await Promise.all([verdictOf(platform, fraud), verdictOf(platform, baseline)]);
  t.deepEqual(verdicts, [exactly(EVENTS), exactly(baseline.events)]);
  t.not(baseline.events, 0);
});

test.serial('CI-93 a run that is emitted again adds duplicates and not one record of traffic', async (t) => {
  const run = await platform.submit(pack);
  t.deepEqual(await verdictOf(platform, run), exactly(EVENTS));
  const again = await platform.replayAgain(run);
  t.deepEqual(await verdictOf(platform, again, 2), exactly(EVENTS, 2));
});

test.serial('CI-91 a READY that nobody was there for is served by services that start later', async (t) => {
  await Promise.all(services.map((service) => service.terminate()));
  const run = await platform.submit(pack);
  for (const name of ['gate', 'streamer', 'ledger'] as const) {
    await platform.start(name).logged(/"msg":"(instance started|waiting for READY|the receipt ledger runs)"/);
  }
  t.deepEqual(await verdictOf(platform, run), exactly(EVENTS));
});
