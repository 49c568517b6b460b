import { createHash } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { DedupeStore } from '../../../lib/state/dedupe-store.ts';
import type { ChangelogSink } from '../../../lib/state/state-store.ts';
import { packedBatch } from '../../../lib/testing/packing.ts';

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

class Changelog implements ChangelogSink {
  readonly records: Buffer[] = [];
  append(_key: Uint8Array | null, value: Uint8Array | null): void {
    this.records.push(Buffer.from(value!));
  }
}

function storeAt(clock: { now: number }, ttlMs = 1000, maxEntries?: number): DedupeStore {
  const options = maxEntries === undefined ? { ttlMs } : { ttlMs, maxEntries };
  return new DedupeStore('seen', options, { now: () => clock.now });
}

function restored(records: readonly Buffer[], clock: { now: number }, ttlMs = 1000): DedupeStore {
  const store = storeAt(clock, ttlMs);
  for (const [offset, value] of records.entries()) {
    const record = { partition: 0, offset, timestamp: 0, key: null, value, headers: [] };
    store.restore(packedBatch(record, 'seen-changelog'), 0);
  }
  return store;
}

test('an inserted key is found with its value digest and its source offset, exact beyond 32 bits', (t) => {
  const store = storeAt({ now: 0 });
  t.is(store.find(digest('a')), -1);
  store.insert(digest('a'), digest('value'), 2 ** 40 + 7);
  const handle = store.find(digest('a'));
  t.true(handle >= 0);
  t.true(store.valueEquals(handle, digest('value')));
  t.false(store.valueEquals(handle, digest('other')));
  t.is(store.sourceOffset(handle), 2 ** 40 + 7);
});

test('abort forgets what the active and the sealed layer hold, and nothing else', (t) => {
  const store = storeAt({ now: 0 });
  store.insert(digest('committed'), digest('v'), 1);
  store.seal(null);
  store.apply();
  store.insert(digest('sealed'), digest('v'), 2);
  store.seal(null);
  store.insert(digest('active'), digest('v'), 3);
  store.abort();
  t.true(store.find(digest('committed')) >= 0);
  t.is(store.find(digest('sealed')), -1);
  t.is(store.find(digest('active')), -1);
});

test('an entry is forgotten when its time has passed, counted from the commit that wrote it', (t) => {
  const clock = { now: 100 };
  const store = storeAt(clock, 1000);
  store.insert(digest('a'), digest('v'), 1);
  clock.now = 500;
  store.seal(null);
  store.apply();
  clock.now = 1499;
  t.true(store.find(digest('a')) >= 0);
  clock.now = 1500;
  t.is(store.find(digest('a')), -1);
  store.insert(digest('a'), digest('w'), 9);
  t.is(store.sourceOffset(store.find(digest('a'))), 9);
});

test('expiry drops whole segments and keeps every entry that still lives', (t) => {
  const clock = { now: 0 };
  const store = storeAt(clock, 1000);
  const total = 70_000;
  for (let i = 0; i < total; i++) store.insert(digest(`old ${i}`), digest('v'), i);
  store.seal(null);
  store.apply();
  clock.now = 900;
  store.insert(digest('young'), digest('v'), total);
  store.seal(null);
  store.apply();
  clock.now = 1001;
  store.expire(clock.now);
  t.true(store.size < total);
  t.is(store.find(digest('old 1')), -1);
  t.true(store.find(digest('young')) >= 0);
});

test('a full store refuses to forget early and says what to change', (t) => {
  const store = storeAt({ now: 0 }, 1000, 2);
  store.insert(digest('a'), digest('v'), 1);
  store.insert(digest('b'), digest('v'), 2);
  const error = t.throws(() => store.insert(digest('c'), digest('v'), 3), { name: 'StoreFullError' });
  t.regex(error.message, /"seen" holds its limit of 2 entries.*raise maxEntries/);
});

test('a changelog record of another format is refused with its coordinates', (t) => {
  const store = storeAt({ now: 0 });
  const record = { partition: 3, offset: 17, timestamp: 0, key: null, value: Buffer.alloc(20), headers: [] };
  t.throws(() => store.restore(packedBatch(record, 'c'), 0), {
    message: /partition 3 offset 17: not a packed record/,
  });
});

type Step =
  { kind: 'insert'; key: number } | { kind: 'commit' } | { kind: 'abort' } | { kind: 'pass'; ms: number };

test('any history of inserts, commits, aborts and time gives what a plain map gives, live and restored', (t) => {
  const step = fc.oneof(
    { weight: 8, arbitrary: fc.record({ kind: fc.constant('insert' as const), key: fc.nat(60) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('commit' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('abort' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.nat(700) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps: Step[]) => {
      const clock = { now: 0 };
      const store = storeAt(clock);
      const changelog = new Changelog();
      let committed = new Map<number, { offset: number; at: number }>();
      let active = new Map<number, { offset: number; at: number }>();
      let offset = 0;
      const commit = (): void => {
        store.seal(changelog);
        store.apply();
        committed = new Map(
          [...active].map(([key, entry]) => [key, entry.at < 0 ? { ...entry, at: clock.now } : entry]),
        );
        active = new Map(committed);
      };
      const expected = (entry: { at: number } | undefined): boolean =>
        entry !== undefined && (entry.at < 0 || entry.at + 1000 > clock.now);
      for (const one of steps) {
        if (one.kind === 'commit') commit();
        else if (one.kind === 'pass') clock.now += one.ms;
        else if (one.kind === 'abort') {
          store.abort();
          active = new Map(committed);
        } else {
          offset += 1;
          const seen = store.find(digest(String(one.key))) >= 0;
          if (seen !== expected(active.get(one.key))) return false;
          if (!seen) {
            store.insert(digest(String(one.key)), digest('v'), offset);
            active.set(one.key, { offset, at: -1 });
          }
        }
      }
      commit();
      const copy = restored(changelog.records, clock);
      for (let key = 0; key <= 60; key++) {
        for (const side of [store, copy]) {
          const handle = side.find(digest(String(key)));
          if (handle >= 0 !== expected(active.get(key))) return false;
          if (handle >= 0 && side.sourceOffset(handle) !== active.get(key)!.offset) return false;
        }
      }
      return true;
    }),
    { numRuns: 300 },
  );
  t.pass();
});
