import test from 'ava';
import { jsonSerde, keyValueStore, StreamBuilder, stringSerde, TopologyError } from '../../../lib/index.ts';
import { Bench, show, text, texts } from './fixture.ts';

test('count, reduce and aggregate go on per key, with the highest time seen, and leave out null keys and values', (t) => {
  const bench = new Bench((builder) => {
    const grouped = builder.stream('in', texts).groupByKey();
    show(grouped.count({ name: 'counts' }).toStream());
    show(grouped.reduce((a, b) => (a ?? '') + (b ?? ''), { name: 'joined' }).toStream(), String, 'joined');
    show(
      grouped
        .aggregate<number>({
          initial: () => 10,
          add: (sum, value) => (value === 'del' ? null : sum + Number(value)),
          value: jsonSerde<number>(),
          name: 'sums',
        })
        .toStream(),
      String,
      'sums',
    );
  });
  bench.pipe(
    ['in', 'a', '1', 10],
    ['in', 'a', '2', 5],
    ['in', 'b', '3', 7],
    ['in', 'a', null, 8],
    ['in', 'a', 'del', 11],
  );
  t.deepEqual(bench.out(), ['a=1@10', 'a=2@10', 'b=1@7', 'a=3@11']);
  t.deepEqual(bench.out('joined'), ['a=1@10', 'a=12@10', 'b=3@7', 'a=12del@11']);
  t.deepEqual(bench.out('sums'), ['a=11@10', 'a=13@10', 'b=13@7', 'a=null@11']);
  t.is(bench.driver.metrics.dropped['null-value'], 3);
});

test('a changed key goes through one repartition topic, named after the aggregate', (t) => {
  const builder = new StreamBuilder();
  const grouped = builder.stream('in', text).groupBy((value) => value, { key: stringSerde });
  show(grouped.count({ name: 'counts' }).toStream());
  show(grouped.reduce((a, b) => a + b, { name: 'concat' }).toStream(), String, 'concat');
  const topology = builder.build();
  t.deepEqual(
    topology.resources('app').map(({ name, purpose, partitionsLike }) => ({ name, purpose, partitionsLike })),
    [
      { name: 'app-counts-repartition', purpose: 'repartition', partitionsLike: ['in'] },
      { name: 'app-counts-changelog', purpose: 'changelog', partitionsLike: ['app-counts-repartition'] },
      { name: 'app-concat-changelog', purpose: 'changelog', partitionsLike: ['app-counts-repartition'] },
    ],
  );
  t.is(topology.subtopologies.length, 2);
});

test('a regrouped stream counts equal keys from all partitions together', (t) => {
  const bench = new Bench(
    (builder) => {
      const grouped = builder.stream('in', text).groupBy((value) => value, { key: stringSerde });
      show(grouped.count({ name: 'counts' }).toStream());
    },
    { partitions: 4 },
  );
  bench.pipe(...['k1', 'k2', 'k3', 'k4'].map((key, i) => ['in', key, 'x', i] as const));
  t.deepEqual(bench.out(), ['x=1@0', 'x=2@1', 'x=3@2', 'x=4@3']);
});

test('requireNames refuses a store that would get a generated name', (t) => {
  const builder = new StreamBuilder({ requireNames: true });
  const grouped = builder.stream('in', text).groupByKey();
  t.notThrows(() => grouped.count({ name: 'counts' }));
  t.throws(() => grouped.count(), {
    instanceOf: TopologyError,
    message: /KSTREAM-AGGREGATE-STATE-STORE-0{9}\d/,
  });
});

test('a serde that is not known any more is asked for, by the place to give it', (t) => {
  const builder = new StreamBuilder();
  const mapped = builder.stream('in', text).mapValues((value) => value.length);
  t.throws(() => mapped.groupByKey().reduce((a, b) => a + b, { name: 'sum' }), {
    instanceOf: TopologyError,
    message: /value serde is not known at reduce\(\) "sum"/,
  });
});

test('cogroup adds several streams to one aggregate, each in its own way', (t) => {
  const bench = new Bench((builder) => {
    const plus = builder.stream('plus', text).groupByKey();
    const minus = builder.stream('minus', text).groupByKey();
    show(
      plus
        .cogroup<number>((sum, value) => sum + Number(value))
        .cogroup(minus, (sum, value) => sum - Number(value))
        .aggregate({ initial: () => 0, value: jsonSerde<number>(), name: 'balance' })
        .toStream(),
    );
  });
  bench.pipe(['plus', 'a', '5', 1], ['minus', 'a', '2', 2], ['plus', 'b', '1', 3], ['minus', 'a', '4', 0]);
  t.deepEqual(bench.out(), ['a=5@1', 'a=3@2', 'b=1@3', 'a=-1@2']);
});

test('a regrouped table subtracts what a change replaces, and adds what it brings', (t) => {
  const bench = new Bench((builder) => {
    const cities = builder
      .table('people', text)
      .groupBy((city, person) => ({ key: city, value: person }), { ...text, name: 'by-city' });
    show(cities.count({ name: 'inhabitants' }).toStream());
    show(
      cities
        .reduce({ add: (all, one) => `${all}${one}`, subtract: (all, one) => all.replace(one, '') })
        .toStream(),
      String,
      'names',
    );
  });
  bench.pipe(['people', 'a', 'rome', 1], ['people', 'b', 'rome', 2], ['people', 'a', 'oslo', 3]);
  t.deepEqual(bench.out(), ['rome=1@1', 'rome=2@2', 'rome=1@3', 'oslo=1@3']);
  bench.pipe(['people', 'b', null, 4], ['people', 'a', 'oslo', 5]);
  t.deepEqual(bench.out(), ['rome=0@4', 'oslo=1@5']);
  t.deepEqual(bench.out('names').slice(-2), ['rome=@4', 'oslo=a@5']);
});

test('a store of an aggregate is read by its spec', (t) => {
  let store = keyValueStore('unused', { key: stringSerde, value: jsonSerde<unknown>() }) as unknown;
  const bench = new Bench((builder) => {
    store = builder.stream('in', text).groupByKey().count({ name: 'counts' }).store;
  });
  bench.pipe(['in', 'a', 'x', 4], ['in', 'a', 'x', 3]);
  const counts = bench.driver.store(store as ReturnType<typeof keyValueStore<string, unknown>>);
  t.deepEqual(counts.get('a'), { value: 2, timestamp: 4 });
});
