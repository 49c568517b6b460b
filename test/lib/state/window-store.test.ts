import test from 'ava';
import fc from 'fast-check';
import { bufferSerde, stringSerde } from '../../../lib/serde/serde.ts';
import { windowStore, type ReadOnlyWindowStore, type WindowStore } from '../../../lib/state/window-store.ts';
import { Changelog, TestEnvironment } from './changelog.ts';
import { anyStep, StoreHistory } from './store-history.ts';

const RETENTION = 50;

interface Entry {
  readonly key: string;
  readonly windowStart: number;
  readonly values: string[];
}

/** Everything ever put, by key and window start, and the highest window start. */
interface Model {
  readonly entries: Map<string, Entry>;
  observed: number;
}

const copy = (model: Model): Model => ({
  entries: new Map([...model.entries].map(([id, entry]) => [id, { ...entry, values: [...entry.values] }])),
  observed: model.observed,
});
const hex = (key: Buffer): string => key.toString('hex');

/** Live entries by window start, then key; one for each value. */
function live(model: Model): { key: string; windowStart: number; value: string }[] {
  return [...model.entries.values()]
    .filter(({ windowStart }) => windowStart > model.observed - RETENTION)
    .sort((a, b) => a.windowStart - b.windowStart || (a.key < b.key ? -1 : 1))
    .flatMap(({ key, windowStart, values }) => values.map((value) => ({ key, windowStart, value })));
}

const anyKey = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 2 })
  .map((bytes) => Buffer.from(bytes));
const anyStart = fc.nat(200);
const anyAction = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      step: fc.constant('put' as const),
      key: anyKey,
      windowStart: anyStart,
      value: fc.oneof(fc.string(), fc.constant(null)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ step: fc.constant('fetch' as const), key: anyKey, from: anyStart, to: anyStart }),
  },
  { weight: 6, arbitrary: anyStep },
);

for (const storage of ['memory', 'disk'] as const) {
  for (const retainDuplicates of [false, true]) {
    const kind = `${storage}${retainDuplicates ? ', duplicates retained' : ''}`;
    test(`${kind}: any history reads like a plain map of windows that expire behind observed time`, (t) => {
      fc.assert(
        fc.property(fc.array(anyAction, { maxLength: 60 }), (actions) => {
          const spec = windowStore('w', {
            key: bufferSerde,
            value: stringSerde,
            windowSizeMs: 10,
            retentionMs: RETENTION,
            storage,
            retainDuplicates,
          });
          const history = new StoreHistory<WindowStore<Buffer, string>, Model>(
            spec,
            { entries: new Map(), observed: -1 },
            copy,
          );
          const compare = (store: ReadOnlyWindowStore<Buffer, string>, model: Model): void => {
            t.is(store.observedTime, model.observed);
            const all = [...store.all()].map((entry) => ({ ...entry, key: hex(entry.key) }));
            t.deepEqual(all, live(model));
          };
          for (const action of actions) {
            const { store, model } = history;
            if (action.step === 'put') {
              const { key, windowStart, value } = action;
              const ignored = value === null && retainDuplicates;
              if (!ignored) model.observed = Math.max(model.observed, windowStart);
              const accepted = windowStart > model.observed - RETENTION;
              t.is(store.put(key, value, windowStart), accepted);
              if (!accepted || ignored) continue;
              const id = `${hex(key)}@${windowStart}`;
              const values = model.entries.get(id)?.values ?? [];
              if (value === null) model.entries.delete(id);
              else {
                model.entries.set(id, {
                  key: hex(key),
                  windowStart,
                  values: retainDuplicates ? [...values, value] : [value],
                });
              }
              t.is(store.get(key, windowStart), model.entries.get(id)?.values[0]);
            } else if (action.step === 'fetch') {
              const { from, to } = action;
              const inside = live(model).filter((one) => one.windowStart >= from && one.windowStart <= to);
              const own = inside
                .filter(({ key }) => key === hex(action.key))
                .map(({ windowStart, value }) => ({ windowStart, value }));
              t.deepEqual([...store.fetch(action.key, from, to)], own);
              t.deepEqual([...store.fetch(action.key, from, to, { reverse: true })], own.reverse());
              t.deepEqual(
                [...store.fetchAll(from, to)].map((entry) => ({ ...entry, key: hex(entry.key) })),
                inside,
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

  test(`${storage}: what has expired is gone from the store, not only hidden`, (t) => {
    const environment = new TestEnvironment();
    const store = windowStore('w', {
      key: stringSerde,
      value: stringSerde,
      windowSizeMs: 10,
      retentionMs: 100,
      storage,
    }).create(environment);
    for (let start = 0; start <= 1000; start += 10) {
      store.put('a', 'v', start);
      store.put('b', 'v', start);
      store.seal(null);
      store.apply();
    }
    t.is(store.approximateSize(), 20);
    t.is([...store.fetch('a', -Infinity, Infinity)].length, 10);
    store.close();
    environment.remove();
  });
}

test('a changelog key is the key bytes and the window start, big endian', (t) => {
  const environment = new TestEnvironment();
  const changelog = new Changelog();
  const spec = windowStore('w', {
    key: stringSerde,
    value: stringSerde,
    windowSizeMs: 10,
    retentionMs: 3_600_000,
  });
  const store = spec.create(environment);
  store.put('a\u0000b', 'v', 2 ** 40 + 5);
  store.seal(changelog);
  changelog.commit();
  t.is(changelog.records[0]!.key!.toString('hex'), '610062' + '0000010000000005');
  t.is(spec.changelog, 'compact-delete');
  t.is(spec.retentionMs, 3_600_000 + 24 * 3_600_000);
  environment.remove();
});

test('sizes, retentions and times that make no sense are refused by name', (t) => {
  const serdes = { key: stringSerde, value: stringSerde };
  t.throws(() => windowStore('w', { ...serdes, windowSizeMs: 0, retentionMs: 10 }), {
    message: /windowSizeMs/,
  });
  t.throws(() => windowStore('w', { ...serdes, windowSizeMs: 20, retentionMs: 10 }), {
    message: /retentionMs.*20.*10/,
  });
  const environment = new TestEnvironment();
  const store = windowStore('w', { ...serdes, windowSizeMs: 10, retentionMs: 10 }).create(environment);
  t.throws(() => store.put('a', 'v', -1), { instanceOf: RangeError, message: /-1/ });
  t.throws(() => store.put('a', 'v', 0.5), { instanceOf: RangeError, message: /0\.5/ });
  environment.remove();
});
