/** The runtime under kill -9 and under pauses: every input is counted once, whatever the moment. */
import test, { type ExecutionContext } from 'ava';
import { COMMIT_STEPS } from '../../lib/index.ts';
import { CountingApp, sorted } from '../support/counting-app.ts';

const RECORDS = 2000;

async function counting(t: ExecutionContext): Promise<CountingApp> {
  const app = await CountingApp.open();
  t.teardown(() => app.close());
  return app;
}

for (const step of COMMIT_STEPS) {
  test(`killed right after the commit step "${step}", a restart counts every input exactly once`, async (t) => {
    const app = await counting(t);
    await app.feed(RECORDS);
    // Not the first commit: there is state to restore, and a transaction before this one.
    const victim = app.start({ signal: 'SIGKILL', after: step, times: 4 });
    t.is((await victim.ended()).signal, 'SIGKILL');
    await app.feed(RECORDS);
    app.start();
    await app.written();
    t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
  });
}

for (const step of ['produce', 'offsets'] as const) {
  test(`paused after "${step}" beyond session and transaction, a process is fenced, and nothing is doubled`, async (t) => {
    const app = await counting(t);
    const zombie = app.start({ signal: 'SIGSTOP', after: step, times: 4 });
    const heir = app.start();
    await app.sharedBy(2);
    await app.feed(RECORDS);
    await zombie.logged(new RegExp(`SIGSTOP after ${step}`));
    await app.feed(RECORDS);
    // The heir can only finish once the zombie's partitions are its own and the zombie's transaction has timed out.
    await app.written();
    zombie.signal('SIGCONT');
    await zombie.logged(/transaction aborted; reading again from the last commit/);
    await app.feed(RECORDS);
    await app.written();
    t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
    // It is a member in good standing again: alone, it carries on.
    await heir.terminate();
    await app.feed(RECORDS);
    await app.written();
    t.deepEqual(sorted(await app.counts()), sorted(app.expected()));
  });
}
