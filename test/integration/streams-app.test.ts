/** The runtime on a real broker: restarts, and instances that come and go while records flow. */
import test, { type ExecutionContext } from 'ava';
import { CountingApp, sorted } from '../support/counting-app.ts';

const RECORDS = 1000;

async function counting(t: ExecutionContext): Promise<CountingApp> {
  const app = await CountingApp.open();
  t.teardown(() => app.close());
  return app;
}

test('a restarted instance goes on from its changelog and its committed offsets', async (t) => {
  const app = await counting(t);
  for (let i = 0; i < 3; i += 1) {
    await app.feed(RECORDS);
    const instance = app.start();
    await app.written();
    const { code, signal } = await instance.terminate();
    t.deepEqual({ code, signal }, { code: 0, signal: null });
  }
  t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
});

test('instances join and leave while records flow: tasks move with their state, and every input counts once', async (t) => {
  const app = await counting(t);
  const first = app.start();
  await app.feed(RECORDS);
  await app.written(1);
  const second = app.start();
  const third = app.start();
  await app.feed(RECORDS);
  await app.sharedBy(3);
  await app.feed(RECORDS);
  await first.terminate();
  await app.feed(RECORDS);
  await second.terminate();
  await app.feed(RECORDS);
  await app.written();
  t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
  t.true(third.running);
});

test('a record that comes after an idle group has rebalanced is neither skipped nor an error', async (t) => {
  const app = await counting(t);
  app.start();
  await app.sharedBy(1);
  await app.feed(1);
  // Now every partition is read to its end, and the next record of each would be the one to get lost.
  await app.written();
  const second = app.start();
  await app.sharedBy(2);
  await app.feed(RECORDS);
  await app.written();
  await second.terminate();
  await app.feed(RECORDS);
  await app.written();
  t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
});
