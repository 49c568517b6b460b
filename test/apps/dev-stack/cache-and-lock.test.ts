import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { cacheRoot, provideCached } from '../../../apps/dev-stack/provisioning/download-cache.mjs';
import { withLock } from '../../../apps/dev-stack/provisioning/lock.mjs';

function root(): string {
  return mkdtempSync(join(tmpdir(), 'fp-cache-'));
}

test('two at once never hold the same lock', async (t) => {
  const path = join(root(), 'x.lock');
  let inside = 0;
  let most = 0;
  const work = async () => {
    inside += 1;
    most = Math.max(most, inside);
    await sleep(20);
    inside -= 1;
  };
  await Promise.all(Array.from({ length: 5 }, () => withLock(path, work)));
  t.is(most, 1);
  t.false(existsSync(path));
});

test('the lock of a process that no longer runs is taken over, by one waiter at a time', async (t) => {
  const path = join(root(), 'x.lock');
  writeFileSync(path, JSON.stringify({ pid: process.pid, start: 'another life of this pid', nonce: 'n' }));
  let inside = 0;
  const work = async () => {
    t.is(++inside, 1);
    await sleep(10);
    inside -= 1;
  };
  await Promise.all([withLock(path, work), withLock(path, work), withLock(path, work)]);
  t.false(existsSync(path));
});

test('a waiter is told who holds the lock', async (t) => {
  const path = join(root(), 'x.lock');
  const told: number[] = [];
  await Promise.all([
    withLock(path, () => sleep(50)),
    withLock(path, () => Promise.resolve(), { onWait: (pid) => told.push(pid) }),
  ]);
  t.deepEqual(told, [process.pid]);
});

test('the lock is released when the work fails', async (t) => {
  const path = join(root(), 'x.lock');
  await t.throwsAsync(
    withLock(path, () => Promise.reject(new Error('no'))),
    { message: 'no' },
  );
  t.false(existsSync(path));
});

test('software is built once, however many ask for it at the same time', async (t) => {
  const cache = root();
  let builds = 0;
  const build = async (draft: string) => {
    builds += 1;
    await sleep(10);
    writeFileSync(join(draft, 'program'), 'v1');
  };
  const folders = await Promise.all(
    Array.from({ length: 4 }, () => provideCached('p-1', build, { root: cache })),
  );
  t.is(builds, 1);
  t.is(new Set(folders).size, 1);
  t.is(readFileSync(join(folders[0]!, 'program'), 'utf8'), 'v1');
});

test('a build that fails half-way leaves nothing that looks complete, and the next one starts clean', async (t) => {
  const cache = root();
  const failing = (draft: string) => {
    writeFileSync(join(draft, 'half'), '');
    return Promise.reject(new Error('network'));
  };
  await t.throwsAsync(provideCached('p-1', failing, { root: cache }), { message: 'network' });
  t.false(existsSync(join(cache, 'p-1')));
  const folder = await provideCached('p-1', () => Promise.resolve(), { root: cache });
  t.false(existsSync(join(folder, 'half')));
});

test('the cache is per user, and its place can be chosen', (t) => {
  t.is(cacheRoot({ FP_CACHE_DIR: '/c' }), '/c');
  t.is(cacheRoot({ XDG_CACHE_HOME: '/x' }), '/x/kafka-stream-topologies');
  t.true(cacheRoot({}).endsWith('/.cache/kafka-stream-topologies'));
});
