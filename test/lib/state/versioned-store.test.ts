import test from 'ava';
import fc from 'fast-check';
import { bufferSerde, stringSerde } from '../../../lib/serde/serde.ts';
import {
  versionedStore,
  type ReadOnlyVersionedStore,
  type VersionedStore,
  type Version,
  type VersionedPut,
} from '../../../lib/state/versioned-store.ts';
import { Changelog, TestEnvironment } from './changelog.ts';
import { anyStep, StoreHistory } from './store-history.ts';

/** Every version ever accepted, by key and timestamp; nothing is ever forgotten. */
interface Model {
  readonly timelines: Map<string, Map<number, string | null>>;
  observed: number;
}

const copy = (model: Model): Model => ({
  timelines: new Map([...model.timelines].map(([key, timeline]) => [key, new Map(timeline)])),
  observed: model.observed,
});
const hex = (key: Buffer): string => key.toString('hex');

function modelGet(model: Model, key: Buffer, history: number, asOf?: number): Version<string> | undefined {
  const timeline = [...(model.timelines.get(hex(key)) ?? [])].sort(([a], [b]) => a - b);
  const at = timeline.findLastIndex(([timestamp]) => asOf === undefined || timestamp <= asOf);
  const found = timeline[at];
  if (found?.[1] == null) return undefined;
  const validTo = timeline[at + 1]?.[0] ?? null;
  if (asOf !== undefined && asOf < model.observed - history && validTo !== null) return undefined;
  return { value: found[1], validFrom: found[0], validTo };
}

const anyKey = fc.constantFrom('', '00', '61', '6100').map((key) => Buffer.from(key, 'hex'));
const KEYS = ['', '00', '61', '6100'].map((key) => Buffer.from(key, 'hex'));
const anyTime = fc.nat(120);
const anyAction = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      step: fc.constant('put' as const),
      key: anyKey,
      timestamp: anyTime,
      value: fc.oneof({ weight: 3, arbitrary: fc.string() }, { weight: 1, arbitrary: fc.constant(null) }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ step: fc.constant('get' as const), key: anyKey, asOf: anyTime }) },
  { weight: 6, arbitrary: anyStep },
);

for (const storage of ['memory', 'disk'] as const) {
  test(`${storage}: any history of puts in any order reads like full timelines, within the history kept`, (t) => {
    fc.assert(
      fc.property(fc.array(anyAction, { maxLength: 80 }), fc.constantFrom(0, 1, 40), (actions, retention) => {
        const spec = versionedStore('v', {
          key: bufferSerde,
          value: stringSerde,
          historyRetentionMs: retention,
          storage,
        });
        const history = new StoreHistory<VersionedStore<Buffer, string>, Model>(
          spec,
          { timelines: new Map(), observed: -1 },
          copy,
        );
        const compare = (store: ReadOnlyVersionedStore<Buffer, string>, model: Model): void => {
          t.is(store.observedTime, model.observed);
          for (const key of KEYS) {
            t.deepEqual(store.get(key), modelGet(model, key, retention));
            for (let asOf = 0; asOf <= 130; asOf += 7)
              t.deepEqual(store.get(key, asOf), modelGet(model, key, retention, asOf));
          }
        };
        for (const action of actions) {
          const { store, model } = history;
          if (action.step === 'put') {
            const { key, value, timestamp } = action;
            let expected: VersionedPut = { accepted: false };
            if (timestamp >= model.observed - retention) {
              model.observed = Math.max(model.observed, timestamp);
              const timeline = model.timelines.get(hex(key)) ?? new Map<number, string | null>();
              timeline.set(timestamp, value);
              model.timelines.set(hex(key), timeline);
              const later = [...timeline.keys()].filter((one) => one > timestamp);
              expected = { accepted: true, validTo: later.length === 0 ? null : Math.min(...later) };
            }
            t.deepEqual(store.put(key, value, timestamp), expected);
          } else if (action.step === 'get') {
            t.deepEqual(
              store.get(action.key, action.asOf),
              modelGet(model, action.key, retention, action.asOf),
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
      { numRuns: storage === 'memory' ? 300 : 30 },
    );
  });
}

test('versions that left the history are deleted from the store and from its changelog', (t) => {
  const environment = new TestEnvironment();
  const changelog = new Changelog();
  const store = versionedStore('v', { key: stringSerde, value: stringSerde, historyRetentionMs: 10 }).create(
    environment,
  );
  const commit = (): void => {
    store.seal(changelog);
    store.apply(changelog.commit());
  };
  store.put('a', 'first', 0);
  store.put('gone', 'value', 0);
  commit();
  store.put('a', 'second', 5);
  store.put('gone', null, 5);
  commit();
  t.is(store.approximateSize(), 4);
  store.put('other', 'value', 100);
  commit();
  t.is(store.approximateSize(), 2, 'the latest value of each key that has one');
  t.deepEqual(store.get('a'), { value: 'second', validFrom: 5, validTo: null });
  t.deepEqual(store.get('a', 5), { value: 'second', validFrom: 5, validTo: null });
  t.is(store.get('a', 4), undefined);
  const latest = new Map(changelog.records.map(({ key, value }) => [key!.toString('hex'), value]));
  t.is([...latest.values()].filter((value) => value !== null).length, 2);
  environment.remove();
});
