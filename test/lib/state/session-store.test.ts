import test from 'ava';
import fc from 'fast-check';
import { bufferSerde, stringSerde } from '../../../lib/serde/serde.ts';
import {
  sessionStore,
  type ReadOnlySessionStore,
  type SessionStore,
} from '../../../lib/state/session-store.ts';
import { Changelog, TestEnvironment } from './changelog.ts';
import { anyStep, StoreHistory } from './store-history.ts';

const RETENTION = 50;

interface Entry {
  readonly key: string;
  readonly start: number;
  readonly end: number;
  readonly value: string;
}

interface Model {
  readonly entries: Map<string, Entry>;
  observed: number;
}

const copy = (model: Model): Model => ({ entries: new Map(model.entries), observed: model.observed });
const hex = (key: Buffer): string => key.toString('hex');
const idOf = (key: Buffer, start: number, end: number): string => `${hex(key)}@${start}-${end}`;

/** Live sessions by end, then key, then start. */
function live(model: Model): Entry[] {
  return [...model.entries.values()]
    .filter(({ end }) => end > model.observed - RETENTION)
    .sort((a, b) => a.end - b.end || (a.key === b.key ? a.start - b.start : a.key < b.key ? -1 : 1));
}

const anyKey = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 2 })
  .map((bytes) => Buffer.from(bytes));
const anyTime = fc.nat(200);
const anySession = { key: anyKey, start: anyTime, length: fc.nat(30) };
const anyAction = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({ step: fc.constant('put' as const), ...anySession, value: fc.string() }),
  },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('remove' as const), ...anySession }) },
  {
    weight: 5,
    arbitrary: fc.record({ step: fc.constant('find' as const), key: anyKey, a: anyTime, b: anyTime }),
  },
  { weight: 6, arbitrary: anyStep },
);

for (const storage of ['memory', 'disk'] as const) {
  test(`${storage}: any history reads like a plain map of sessions that expire behind observed time`, (t) => {
    fc.assert(
      fc.property(fc.array(anyAction, { maxLength: 60 }), (actions) => {
        const spec = sessionStore('s', {
          key: bufferSerde,
          value: stringSerde,
          retentionMs: RETENTION,
          storage,
        });
        const history = new StoreHistory<SessionStore<Buffer, string>, Model>(
          spec,
          { entries: new Map(), observed: -1 },
          copy,
        );
        const all = (store: ReadOnlySessionStore<Buffer, string>, from = 0, to = Infinity): Entry[] =>
          [...store.findAll(from, to)].map((entry) => ({ ...entry, key: hex(entry.key) }));
        const compare = (store: ReadOnlySessionStore<Buffer, string>, model: Model): void => {
          t.is(store.observedTime, model.observed);
          t.deepEqual(all(store), live(model));
        };
        for (const action of actions) {
          const { store, model } = history;
          if (action.step === 'put' || action.step === 'remove') {
            const { key, start } = action;
            const end = start + action.length;
            const id = idOf(key, start, end);
            model.observed = Math.max(model.observed, end);
            const accepted = end > model.observed - RETENTION;
            if (action.step === 'put') {
              t.is(store.put(key, start, end, action.value), accepted);
              if (accepted) model.entries.set(id, { key: hex(key), start, end, value: action.value });
              t.is(store.get(key, start, end), accepted ? action.value : undefined);
            } else {
              store.remove(key, start, end);
              if (accepted) model.entries.delete(id);
              t.is(store.get(key, start, end), undefined);
            }
          } else if (action.step === 'find') {
            const { a, b } = action;
            const own = live(model)
              .filter(({ key }) => key === hex(action.key))
              .map(({ start, end, value }) => ({ start, end, value }));
            t.deepEqual([...store.fetch(action.key)], own);
            t.deepEqual(
              [...store.find(action.key, a, b)],
              own.filter(({ start, end }) => end >= a && start <= b),
            );
            t.deepEqual(
              all(store, a, b),
              live(model).filter(({ end }) => end >= a && end <= b),
            );
          } else {
            history.take(action);
            compare(history.store.committed(), history.committed);
          }
        }
        compare(history.store, history.model);
        t.deepEqual(history.environment.wipes, []);
        history.end();
      }),
      { numRuns: storage === 'memory' ? 200 : 30 },
    );
  });
}

test('a changelog key is the key bytes, the end and the start, big endian; a session ends after its start', (t) => {
  const environment = new TestEnvironment();
  const changelog = new Changelog();
  const store = sessionStore('s', { key: stringSerde, value: stringSerde, retentionMs: 100 }).create(
    environment,
  );
  store.put('a', 5, 7, 'v');
  store.seal(changelog);
  changelog.commit();
  t.is(changelog.records[0]!.key!.toString('hex'), '61' + '0000000000000007' + '0000000000000005');
  t.throws(() => store.put('a', 7, 5, 'v'), {
    instanceOf: RangeError,
    message: /starts at 7, after its end at 5/,
  });
  environment.remove();
});
