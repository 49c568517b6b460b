import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { stringSerde } from '../../../lib/serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../../../lib/state/key-value-store.ts';
import { StoreLockedError } from '../../../lib/state/store-directory.ts';
import { windowStore } from '../../../lib/state/window-store.ts';
import { Changelog, TestEnvironment, temporaryFolder } from './changelog.ts';
import { recordAt, RECORDS_PER_COMMIT, spec } from './disk-store-process.ts';

const CHILD = fileURLToPath(new URL('disk-store-process.ts', import.meta.url));

async function startWriter(folder: string): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** What the changelog below an offset folds to. */
function foldTo(end: number): Map<string, number> {
  const folded = new Map<string, number>();
  for (let offset = 0; offset < end; offset++) {
    const { key, value } = recordAt(offset);
    if (value === null) folded.delete(key);
    else folded.set(key, value);
  }
  return folded;
}

function contentOf(store: KeyValueStore<string, number>): Map<string, number> {
  return new Map([...store.all()].map(({ key, value }) => [key, value]));
}

/** A store of 2,000 entries that was closed; its folder. */
function closedStore(): { environment: TestEnvironment; data: string } {
  const environment = new TestEnvironment();
  const store = spec.create(environment);
  for (let offset = 0; offset < 2000; offset++) store.put(`key-${offset}`, offset);
  store.seal(null);
  store.apply(2000);
  store.close();
  return { environment, data: join(environment.directory('counts'), 'data.mdb') };
}

function garble(path: string, from: number, to: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(to - from, 0xa5), 0, to - from, from);
  closeSync(file);
}

test('killed at any moment of a commit, a store comes back as the fold of its changelog up to its checkpoint', async (t) => {
  const folder = temporaryFolder();
  const environment = new TestEnvironment(folder);
  let last = 0;
  for (let round = 0; round < 4; round++) {
    await kill(await startWriter(folder));
    const store = spec.create(environment);
    const checkpoint = store.checkpoint!;
    t.true(checkpoint > last, `round ${round} went on from ${last} to ${checkpoint}`);
    t.is(checkpoint % RECORDS_PER_COMMIT, 0, 'a commit is in the store as a whole or not at all');
    t.deepEqual(contentOf(store), new Map([...foldTo(checkpoint)].sort(([a], [b]) => (a < b ? -1 : 1))));
    last = checkpoint;
    store.close();
  }
  t.deepEqual(environment.wipes, [], 'what the process wrote before it died is proven, not wiped');
  environment.remove();
});

test('a live process keeps its store to itself; once it is dead the store can be had', async (t) => {
  const folder = temporaryFolder();
  const environment = new TestEnvironment(folder);
  const child = await startWriter(folder);
  t.throws(() => spec.create(environment), { instanceOf: StoreLockedError, message: /counts.*stateDir/s });
  await kill(child);
  const store = spec.create(environment);
  t.throws(() => spec.create(environment), { instanceOf: StoreLockedError });
  store.close();
  spec.create(environment).close();
  environment.remove();
});

for (const [damage, hurt] of [
  ['truncated', (data: string) => truncateSync(data, statSync(data).size / 2)],
  ['emptied', (data: string) => truncateSync(data, 0)],
  ['garbled in the middle', (data: string) => garble(data, 20_000, 60_000)],
  ['garbled at its head', (data: string) => garble(data, 0, 8192)],
] as const) {
  test(`a data file ${damage} after it was closed is wiped, and the changelog fills the store again`, (t) => {
    const { environment, data } = closedStore();
    hurt(data);
    const store = spec.create(environment);
    t.deepEqual(environment.wipes, ['CHANGED_WHILE_CLOSED']);
    t.is(store.checkpoint, null);
    t.deepEqual([...store.all()], []);
    const changelog = new Changelog();
    changelog.append(Buffer.from('a'), Buffer.from('1'));
    changelog.commit();
    changelog.restoreInto(store);
    t.is(store.get('a'), 1);
    t.is(store.checkpoint, 1);
    store.close();
    environment.remove();
  });

  // In the middle there may be pages that nothing uses: the test below changes those that are used.
  if (damage === 'garbled in the middle') continue;
  test(`a data file ${damage} after its writer died is wiped`, async (t) => {
    const environment = new TestEnvironment();
    await kill(await startWriter(join(environment.directory('x'), '..')));
    const data = join(environment.directory('counts'), 'data.mdb');
    hurt(data);
    const store = spec.create(environment);
    t.deepEqual(environment.wipes, ['CORRUPTED']);
    t.is(store.checkpoint, null);
    t.deepEqual([...store.all()], []);
    store.close();
    environment.remove();
  });
}

test('one value changed by one bit after the writer died is found', async (t) => {
  const environment = new TestEnvironment();
  await kill(await startWriter(join(environment.directory('x'), '..')));
  const data = join(environment.directory('counts'), 'data.mdb');
  const bytes = readFileSync(data);
  // The newest copy of an entry lies in a page of the current tree or of an old one: change every copy.
  let found = 0;
  for (let at = bytes.indexOf('key-17'); at >= 0; at = bytes.indexOf('key-17', at + 1), found++)
    bytes[at + 4]! ^= 1;
  t.true(found > 0);
  writeFileSync(data, bytes);
  const store = spec.create(environment);
  t.deepEqual(environment.wipes, ['CORRUPTED']);
  store.close();
  environment.remove();
});

function editStoreFile(
  environment: TestEnvironment,
  edit: (content: Record<string, unknown>) => unknown,
): void {
  const path = join(environment.directory('counts'), 'store.json');
  writeFileSync(
    path,
    JSON.stringify(edit(JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>)),
  );
}

for (const [what, edit, reason] of [
  ['of a later format', (content: Record<string, unknown>) => ({ ...content, format: 2 }), 'UNKNOWN_FORMAT'],
  ['whose store.json is no JSON object of ours', () => 'nonsense', 'UNKNOWN_FORMAT'],
  [
    'left open when the machine went down',
    (content: Record<string, unknown>) => ({ ...content, state: 'open', boot: 'an earlier one' }),
    'UNCLEAN_AFTER_RESTART',
  ],
  [
    'that killed the process which opened them',
    (content: Record<string, unknown>) => ({ ...content, state: 'opening' }),
    'DIED_WHILE_OPENING',
  ],
] as const) {
  test(`files ${what} are wiped`, (t) => {
    const { environment } = closedStore();
    editStoreFile(environment, edit);
    const store = spec.create(environment);
    t.deepEqual(environment.wipes, [reason]);
    t.is(store.checkpoint, null);
    t.is(store.approximateSize(), 0);
    store.close();
    environment.remove();
  });
}

test('files of another application, kind of store or serde version are wiped; the same ones are kept', (t) => {
  const { environment } = closedStore();
  const folder = join(environment.directory('x'), '..');
  const serdes = { key: stringSerde, value: stringSerde, storage: 'disk' } as const;
  const opened = (store: { readonly checkpoint: number | null; close(): void }): number | null => {
    const { checkpoint } = store;
    store.close();
    return checkpoint;
  };
  t.is(opened(spec.create(environment)), 2000);
  t.deepEqual(environment.wipes, []);
  const others = [
    () =>
      opened(
        spec.create(Object.assign(new TestEnvironment(folder, 'other app'), { wipes: environment.wipes })),
      ),
    () => opened(windowStore('counts', { ...serdes, windowSizeMs: 1, retentionMs: 1 }).create(environment)),
    () => opened(keyValueStore('counts', { ...serdes, formatVersion: 2 }).create(environment)),
  ];
  for (const open of others) t.is(open(), null);
  t.deepEqual(environment.wipes, ['OTHER_OWNER', 'OTHER_OWNER', 'OTHER_OWNER']);
  environment.remove();
});

test('a restore that a close cuts off goes on where it stopped', (t) => {
  const environment = new TestEnvironment();
  const changelog = new Changelog();
  for (let offset = 0; offset < 40_000; offset++)
    changelog.append(Buffer.from(`key-${offset}`), Buffer.from(String(offset)));
  changelog.commit();
  let store = spec.create(environment);
  changelog.restoreInto(store, 0, 30_000);
  store.close();
  store = spec.create(environment);
  t.is(store.checkpoint, 30_000);
  changelog.restoreInto(store);
  t.is(store.checkpoint, 40_000);
  t.is(store.approximateSize(), 40_000);
  t.is(store.get('key-39999'), 39_999);
  store.close();
  environment.remove();
});

test('a disk store without a changelog starts empty', (t) => {
  const environment = new TestEnvironment();
  const unlogged = keyValueStore('u', {
    key: stringSerde,
    value: stringSerde,
    storage: 'disk',
    changelog: 'none',
  });
  const store = unlogged.create(environment);
  store.put('a', '1');
  store.seal(null);
  store.apply();
  t.is(store.committed().get('a'), '1');
  store.close();
  const again = unlogged.create(environment);
  t.is(again.get('a'), undefined);
  again.close();
  environment.remove();
});
