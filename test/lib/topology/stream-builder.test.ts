import test from 'ava';
import {
  describe,
  nullable,
  StreamBuilder,
  stringSerde,
  TestDriver,
  TopologyError,
} from '../../../lib/index.ts';

test('split sends each record to the first branch that takes it, narrowed by its type guard', (t) => {
  type Shape = { kind: 'circle'; radius: number } | { kind: 'square'; side: number };
  const serde = {
    deserialize: (bytes: { text(): string }) => JSON.parse(bytes.text()) as Shape,
    serialize: () => undefined,
  };
  const builder = new StreamBuilder();
  const { circles, rest } = builder.stream('shapes', { value: serde }).split({
    circles: (shape: Shape): shape is Extract<Shape, { kind: 'circle' }> => shape.kind === 'circle',
    rest: () => true,
  });
  circles.mapValues((circle) => `circle ${circle.radius}`).to('circles', { value: stringSerde });
  rest.mapValues((shape): string => shape.kind).to('rest', { value: stringSerde });
  const driver = new TestDriver(builder.build());
  const input = driver.input('shapes', { value: stringSerde });
  input.pipe({ value: '{"kind":"circle","radius":2}' });
  input.pipe({ value: '{"kind":"square","side":1}' });
  t.deepEqual(
    driver
      .output('circles', { value: stringSerde })
      .read()
      .map((r) => r.value),
    ['circle 2'],
  );
  t.deepEqual(
    driver
      .output('rest', { value: stringSerde })
      .read()
      .map((r) => r.value),
    ['square'],
  );
});

test('filter, map, flatMap, selectKey, peek and merge do what their names say, in order', (t) => {
  const builder = new StreamBuilder();
  const peeked: string[] = [];
  const words = builder
    .stream('lines', { value: stringSerde })
    .flatMap((line) => line.split(' ').map((value) => ({ key: null, value })))
    .filter((word) => word !== '')
    .peek((word) => peeked.push(word));
  const short = words.filter((word) => word.length < 3).map((word) => ({ key: 'short', value: word }));
  const long = words.filter((word) => word.length >= 3).selectKey((word) => word);
  short.merge(long).to('out', { key: stringSerde, value: stringSerde });
  const driver = new TestDriver(builder.build());
  driver.input('lines', { value: stringSerde }).pipe({ value: 'to be  or not' });
  t.deepEqual(peeked, ['to', 'be', 'or', 'not']);
  t.deepEqual(
    driver
      .output('out', { key: stringSerde, value: stringSerde })
      .read()
      .map((r) => [r.key, r.value]),
    [
      ['short', 'to'],
      ['short', 'be'],
      ['short', 'or'],
      ['not', 'not'],
    ],
  );
});

test('a null value is an error of a plain serde and a value of a nullable one', (t) => {
  const builder = new StreamBuilder();
  builder.stream('plain', { value: stringSerde });
  builder
    .stream('nullable', { value: nullable(stringSerde) })
    .mapValues((value) => value ?? 'gone')
    .to('out', { value: stringSerde });
  const driver = new TestDriver(builder.build());
  driver.input('nullable', { value: stringSerde }).pipe({ value: null });
  t.is(driver.output('out', { value: stringSerde }).read()[0]?.value, 'gone');
  t.throws(() => driver.input('plain', { value: stringSerde }).pipe({ value: null }), {
    message: /wrap it in nullable/,
  });
});

test('a topic can be a source once, and two operators cannot share a name', (t) => {
  const builder = new StreamBuilder();
  const stream = builder.stream('in', { value: stringSerde });
  t.throws(() => builder.stream('in', { value: stringSerde }), {
    instanceOf: TopologyError,
    message: /"in" is a source/,
  });
  stream.filter(() => true, { name: 'same' });
  stream.filter(() => true, { name: 'same' });
  t.throws(() => builder.build(), { instanceOf: TopologyError, message: /two operators are named "same"/ });
});

test('a dynamic sink refuses a topic that it did not declare', (t) => {
  const builder = new StreamBuilder();
  builder
    .stream('in', { value: stringSerde })
    .to({ topics: ['a', 'b'], choose: (record) => record.value }, { value: stringSerde });
  const driver = new TestDriver(builder.build());
  const input = driver.input('in', { value: stringSerde });
  input.pipe({ value: 'b' });
  t.is(driver.output('b', { value: stringSerde }).read().length, 1);
  t.throws(() => input.pipe({ value: 'c' }), { message: /chose topic "c".*\(a, b\)/ });
});

test('describe names subtopologies, operators, topics and stores, as text and as Mermaid', (t) => {
  const builder = new StreamBuilder();
  builder
    .stream('in', { value: stringSerde })
    .filter(() => true, { name: 'keep' })
    .to('out', { value: stringSerde, name: 'write' });
  const topology = builder.build();
  t.is(
    describe(topology),
    [
      'subtopology 0',
      '  source source-in (topics: in)',
      '    --> keep',
      '  filter keep',
      '    --> write',
      '  sink write (topics: out)',
    ].join('\n'),
  );
  t.true(describe(topology, 'mermaid').includes('topic_in --> source_in'));
});
