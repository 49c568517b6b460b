import test from 'ava';
import fc from 'fast-check';
import { bufferSerde, jsonSerde, stringSerde } from '../../../lib/serde/serde.ts';
import { keyValueStore, type ReadOnlyKeyValueStore } from '../../../lib/state/key-value-store.ts';
import { Changelog, TestEnvironment } from './changelog.ts';
import { anyStep, StoreHistory } from './store-history.ts';

type Model = Map<string, string>;

const anyKey = fc
  .array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 3 })
  .map((bytes) => Buffer.from(bytes));
const anyAction = fc.oneof(
  { weight: 8, arbitrary: fc.record({ step: fc.constant('put' as const), key: anyKey, value: fc.string() }) },
  { weight: 3, arbitrary: fc.record({ step: fc.constant('delete' as const), key: anyKey }) },
  { weight: 4, arbitrary: fc.record({ step: fc.constant('range' as const), a: anyKey, b: anyKey }) },
  { weight: 6, arbitrary: anyStep },
);

const hex = (key: Buffer): string => key.toString('hex');
const shown = (entries: Iterable<{ key: Buffer; value: string }>): [string, string][] =>
  [...entries].map(({ key, value }) => [hex(key), value]);
const sorted = (model: Model): [string, string][] => [...model].sort(([a], [b]) => (a < b ? -1 : 1));

for (const storage of ['memory', 'disk'] as const) {
  test(`${storage}: any history of writes, commits, aborts, restarts and restores reads like a plain map`, (t) => {
    fc.assert(
      fc.property(fc.array(anyAction, { maxLength: 60 }), (actions) => {
        const spec = keyValueStore('kv', { key: bufferSerde, value: stringSerde, storage });
        const history = new StoreHistory(spec, new Map() as Model, (model) => new Map(model));
        const compare = (store: ReadOnlyKeyValueStore<Buffer, string>, model: Model): void => {
          t.deepEqual(shown(store.all()), sorted(model));
          t.deepEqual(shown(store.all({ reverse: true })), sorted(model).reverse());
          for (const [key, value] of model) t.is(store.get(Buffer.from(key, 'hex')), value);
        };
        for (const action of actions) {
          if (action.step === 'put') {
            history.store.put(action.key, action.value);
            history.model.set(hex(action.key), action.value);
          } else if (action.step === 'delete') {
            history.store.delete(action.key);
            history.model.delete(hex(action.key));
            t.is(history.store.get(action.key), undefined);
          } else if (action.step === 'range') {
            const from = hex(action.a);
            const to = hex(action.b);
            const inside = sorted(history.model).filter(([key]) => key >= from && key <= to);
            t.deepEqual(shown(history.store.range(action.a, action.b)), inside);
            t.deepEqual(shown(history.store.range(action.a, action.b, { reverse: true })), inside.reverse());
            t.deepEqual(
              shown(history.store.prefixScan(action.a)),
              sorted(history.model).filter(([key]) => key.startsWith(from)),
            );
          } else {
            history.take(action);
            compare(history.store.committed(), history.committed);
          }
        }
        compare(history.store, history.model);
        history.take({ step: 'seal' });
        history.take({ step: 'apply' });
        t.is(history.store.approximateSize(), history.model.size);
        t.deepEqual(history.environment.wipes, [], 'a store that was closed is trusted');
        history.end();
      }),
      { numRuns: storage === 'memory' ? 300 : 40 },
    );
  });

  test(`${storage}: a scan of thousands of entries gives each once, in order, both ways`, (t) => {
    const environment = new TestEnvironment();
    const store = keyValueStore('kv', { key: stringSerde, value: jsonSerde<number>(), storage }).create(
      environment,
    );
    const name = (i: number): string => `key-${String(i).padStart(6, '0')}`;
    for (let i = 0; i < 3000; i += 3) store.put(name(i), i);
    store.seal(null);
    store.apply();
    for (let i = 1; i < 3000; i += 3) store.put(name(i), i);
    store.seal(null);
    for (let i = 2; i < 3000; i += 3) store.put(name(i), i);
    const values = [...store.all()].map(({ value }) => value);
    t.deepEqual(
      values,
      Array.from({ length: 3000 }, (_, i) => i),
    );
    t.deepEqual(
      [...store.all({ reverse: true })].map(({ value }) => value),
      values.reverse(),
    );
    t.deepEqual(
      [...store.range(name(100), name(103))].map(({ key }) => key),
      [100, 101, 102, 103].map(name),
    );
    store.close();
    environment.remove();
  });

  test(`${storage}: a loop may put and delete as it goes over the store`, (t) => {
    const environment = new TestEnvironment();
    const store = keyValueStore('kv', { key: stringSerde, value: stringSerde, storage }).create(environment);
    for (const key of ['a', 'b', 'c', 'd']) store.put(key, '1');
    store.seal(null);
    store.apply();
    store.put('bb', '1');
    const seen: string[] = [];
    for (const { key, value } of store.all()) {
      seen.push(`${key}${value}`);
      store.put(`${key}+`, 'added while scanning');
      if (key === 'a') store.delete('c');
      if (key === 'b') store.put('d', '2');
    }
    t.deepEqual(seen, ['a1', 'b1', 'bb1', 'd2']);
    store.close();
    environment.remove();
  });
}

test('a commit writes one changelog record per changed key, with the source offset that changed it last', (t) => {
  const environment = new TestEnvironment();
  const changelog = new Changelog();
  const store = keyValueStore('kv', { key: stringSerde, value: stringSerde }).create(environment);
  environment.position = { topic: 'in', offset: 7 };
  store.put('a', '1');
  store.put('made and deleted', '1');
  environment.position = { topic: 'in', offset: 8 };
  store.put('a', '2');
  store.delete('made and deleted');
  environment.position = null;
  store.put('b', '1');
  store.seal(changelog);
  changelog.commit();
  t.deepEqual(
    changelog.records.map(({ key, value, source }) => [String(key), String(value), source]),
    [
      ['a', '2', { topic: 'in', offset: 8 }],
      ['b', '1', null],
    ],
  );
  environment.remove();
});

test('what a caller does to a key or value after a put or a get does not reach the store', (t) => {
  const environment = new TestEnvironment();
  const store = keyValueStore('kv', { key: bufferSerde, value: jsonSerde<number[]>() }).create(environment);
  const key = Buffer.from('key');
  const value = [1];
  store.put(key, value);
  key.fill(0);
  value.push(2);
  store.get(Buffer.from('key'))!.push(3);
  t.deepEqual(store.get(Buffer.from('key')), [1]);
  environment.remove();
});

test('a key that the disk cannot take is refused when it is put, with the way out', (t) => {
  const environment = new TestEnvironment();
  const store = keyValueStore('kv', { key: stringSerde, value: stringSerde, storage: 'disk' }).create(
    environment,
  );
  const longest = 'k'.repeat(1969);
  store.put(longest, 'v');
  t.throws(() => store.put(`${longest}k`, 'v'), { instanceOf: RangeError, message: /1970 bytes.*memory/s });
  store.seal(null);
  store.apply();
  t.is(store.committed().get(longest), 'v');
  store.close();
  environment.remove();
});
