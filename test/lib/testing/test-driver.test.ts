import test from 'ava';
import fc from 'fast-check';
import {
  COMMIT_STEPS,
  keyValueStore,
  StreamBuilder,
  stringSerde,
  jsonSerde,
  TestDriver,
  type Processor,
  type StreamRecord,
  type Topology,
} from '../../../lib/index.ts';

const counts = keyValueStore('counts', { key: stringSerde, value: jsonSerde<number>() });

/** Counts records by key: the smallest topology whose state must survive everything. */
function counting(): Topology {
  const builder = new StreamBuilder();
  builder
    .stream('words', { key: stringSerde, value: stringSerde })
    .process<string, number>(
      (): Processor<string, string, string, number> => {
        let forward: (record: StreamRecord<string, number>) => void;
        let count: (key: string) => number;
        return {
          init(context) {
            const store = context.store(counts);
            forward = (record) => context.forward(record);
            count = (key) => {
              const next = (store.get(key) ?? 0) + 1;
              store.put(key, next);
              return next;
            };
          },
          process(record) {
            forward({ ...record, value: count(record.key) });
          },
        };
      },
      { name: 'count', stores: [counts] },
    )
    .to('counted', { key: stringSerde, value: jsonSerde<number>() });
  return builder.build();
}

test('a record piped in comes out of the sink with its headers and its event time', (t) => {
  const driver = new TestDriver(counting());
  const input = driver.input('words', { key: stringSerde, value: stringSerde });
  const output = driver.output('counted', { key: stringSerde, value: jsonSerde<number>() });
  input.pipe({ key: 'a', value: 'x', timestamp: 5, headers: [['trace', 'abc']] });
  input.pipe({ key: 'a', value: 'x', timestamp: 6 });
  t.deepEqual(
    output.read().map(({ key, value, timestamp, headers }) => ({ key, value, timestamp, headers })),
    [
      { key: 'a', value: 1, timestamp: 5, headers: [['trace', 'abc']] },
      { key: 'a', value: 2, timestamp: 6, headers: [] },
    ],
  );
});

for (const step of COMMIT_STEPS) {
  test(`dying right after "${step}" neither loses nor doubles a count`, (t) => {
    const driver = new TestDriver(counting(), { autoCommit: false, partitions: 3 });
    const input = driver.input('words', { key: stringSerde, value: stringSerde });
    const output = driver.output('counted', { key: stringSerde, value: jsonSerde<number>() });
    for (const key of ['a', 'b', 'a']) input.pipe({ key, value: '' });
    driver.commit();
    for (const key of ['a', 'c']) input.pipe({ key, value: '' });
    driver.crash(step);
    driver.commit();
    const seen = output.read().map(({ key, value }) => `${key ?? ''}${value ?? ''}`);
    t.deepEqual(seen.sort(), ['a1', 'a2', 'a3', 'b1', 'c1']);
  });
}

test('any mix of records, commits, aborts and crashes counts like a plain loop', (t) => {
  const action = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('a', 'b', 'c', 'd') },
    { weight: 2, arbitrary: fc.constantFrom('commit', 'abort') },
    { weight: 1, arbitrary: fc.constantFrom(...COMMIT_STEPS.map((step) => `crash ${step}`)) },
  );
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      const driver = new TestDriver(counting(), { autoCommit: false, partitions: 2 });
      const input = driver.input('words', { key: stringSerde, value: stringSerde });
      const output = driver.output('counted', { key: stringSerde, value: jsonSerde<number>() });
      const expected: string[] = [];
      const totals = new Map<string, number>();
      for (const one of actions) {
        if (one === 'commit') driver.commit();
        else if (one === 'abort') driver.abort();
        else if (one.startsWith('crash ')) driver.crash(one.slice(6) as (typeof COMMIT_STEPS)[number]);
        else {
          input.pipe({ key: one, value: '' });
          totals.set(one, (totals.get(one) ?? 0) + 1);
          expected.push(`${one}${totals.get(one)!}`);
        }
      }
      driver.commit();
      const seen = output.read().map(({ key, value }) => `${key ?? ''}${value ?? ''}`);
      return JSON.stringify(seen.sort()) === JSON.stringify(expected.sort());
    }),
    { numRuns: 200 },
  );
  t.pass();
});

test('stream-time punctuators fire on multiples of their interval, wall-clock ones when the clock is moved', (t) => {
  const fired: string[] = [];
  const builder = new StreamBuilder();
  builder.stream('in', { value: stringSerde }).process<null, string>(() => ({
    init(context) {
      context.schedule(10, 'stream-time', (time) => fired.push(`stream ${time}`));
      context.schedule(100, 'wall-clock', (time) => fired.push(`wall ${time}`));
    },
    process: () => undefined,
  }));
  const driver = new TestDriver(builder.build());
  const input = driver.input('in', { value: stringSerde });
  for (const timestamp of [3, 9, 10, 35, 20]) input.pipe({ value: '', timestamp });
  driver.advance(99);
  driver.advance(1);
  t.deepEqual(fired, ['stream 10', 'stream 35', 'wall 100']);
});

test('a record that cannot be read stops, is skipped, or goes to the dead-letter topic with its coordinates', (t) => {
  const topology = (policy: 'fail' | 'skip' | 'dead-letter'): Topology => {
    const builder = new StreamBuilder();
    builder
      .stream('in', {
        value: jsonSerde<number>(),
        onDeserializationError: policy === 'dead-letter' ? { kind: policy, topic: 'dead' } : { kind: policy },
      })
      .to('out', { value: jsonSerde<number>() });
    return builder.build();
  };
  const failing = new TestDriver(topology('fail')).input('in', { value: stringSerde });
  t.throws(() => failing.pipe({ value: 'not json' }), {
    message: /record in\/0\/0 cannot be read.*skip or dead-letter/,
  });

  const skipping = new TestDriver(topology('skip'));
  skipping.input('in', { value: stringSerde }).pipe({ value: 'not json' });
  t.is(skipping.metrics.recordsSkipped, 1);

  const parking = new TestDriver(topology('dead-letter'));
  parking.input('in', { value: stringSerde }).pipe({ value: 'not json', headers: [['own', 'kept']] });
  const [letter] = parking.output('dead', { value: stringSerde }).read();
  t.is(letter?.value, 'not json');
  const headers = new Map(letter?.headers);
  t.is(headers.get('own'), 'kept');
  t.is(headers.get('__streams.errors.topic'), 'in');
  t.is(headers.get('__streams.errors.offset'), '0');
});
