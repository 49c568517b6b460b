import test from 'ava';
import { joinWindow, jsonSerde, nullable, stringSerde, TopologyError } from '../../../lib/index.ts';
import { Bench, loose, show, text } from './fixture.ts';

const pair = (left: string | null, right: string | null): string => `${left ?? '-'}${right ?? '-'}`;
const window = joinWindow({ beforeMs: 10, afterMs: 10, graceMs: 5 });

test('an inner stream join gives every pair within the window, with the later time, in the order of the other side', (t) => {
  const bench = new Bench((builder) => {
    const right = builder.stream('right', loose);
    show(builder.stream('left', loose).join(right, pair, { window, name: 'j' }));
  });
  bench.pipe(['left', 'k', 'A', 0], ['right', 'k', 'a', 10], ['right', 'k', 'b', 11], ['left', 'k', 'B', 5]);
  t.deepEqual(bench.out(), ['k=Aa@10', 'k=Ba@10', 'k=Bb@11']);
  bench.pipe(['left', null, 'C', 5], ['left', 'k', null, 5], ['left', 'other', 'D', 5]);
  t.deepEqual(bench.out(), []);
  t.deepEqual([bench.driver.metrics.dropped['null-key'], bench.driver.metrics.dropped['null-value']], [1, 1]);
});

test('a left stream join emits a lonely left record when its window and grace have passed, once', (t) => {
  const bench = new Bench((builder) => {
    const right = builder.stream('right', text);
    show(builder.stream('left', text).leftJoin(right, pair, { window, name: 'j' }));
  });
  bench.pipe(['left', 'k', 'A', 0], ['left', 'l', 'B', 1], ['right', 'k', 'a', 4], ['right', 'x', 'b', 15]);
  t.deepEqual(bench.out(), ['k=Aa@4']);
  bench.pipe(['right', 'x', 'c', 16], ['right', 'x', 'd', 17], ['right', 'x', 'e', 40]);
  t.deepEqual(bench.out(), ['l=B-@1']);
});

test('an outer stream join emits what was lonely on either side, by time and then right before left', (t) => {
  const bench = new Bench((builder) => {
    const right = builder.stream('right', text);
    show(builder.stream('left', text).outerJoin(right, pair, { window, name: 'j' }));
  });
  bench.pipe(['left', 'k', 'A', 1], ['right', 'l', 'a', 1], ['right', 'm', 'b', 0], ['left', 'z', 'Z', 50]);
  t.deepEqual(bench.out(), ['m=-b@0', 'l=-a@1', 'k=A-@1']);
  // Its window is over when it comes: alone at once.
  bench.pipe(['left', 'n', 'late', 20]);
  t.deepEqual(bench.out(), ['n=late-@20']);
});

test('a stream looks its table up as it is at that moment, and goes through a topic when its key was changed', (t) => {
  const bench = new Bench((builder) => {
    const table = builder.table('table', text);
    const stream = builder.stream('in', text);
    show(stream.join(table, pair));
    show(
      stream.selectKey((value) => value).leftJoin(table, pair, { key: stringSerde, name: 'by-value' }),
      String,
      'left',
    );
  });
  bench.pipe(
    ['in', 'a', 'x', 1],
    ['table', 'a', '1', 5],
    ['in', 'a', 'a', 2],
    ['table', 'a', null, 6],
    ['in', 'a', 'a', 3],
  );
  t.deepEqual(bench.out(), ['a=a1@2']);
  t.deepEqual(bench.out('left'), ['x=x-@1', 'a=a1@2', 'a=a-@3']);
});

test('a versioned table answers as of the record time; with a grace, after late updates were seen', (t) => {
  const bench = new Bench((builder) => {
    const table = builder.table('table', { ...text, store: { name: 'history', historyMs: 100 } });
    const stream = builder.stream('in', text);
    show(stream.leftJoin(table, pair));
    show(stream.leftJoin(table, pair, { graceMs: 10, name: 'patient' }), String, 'patient');
  });
  bench.pipe(
    ['table', 'a', 'v10', 10],
    ['table', 'a', 'v30', 30],
    ['in', 'a', 'x', 20],
    ['table', 'a', 'v15', 15],
  );
  t.deepEqual(bench.out(), ['a=xv10@20']);
  t.deepEqual(bench.out('patient'), []);
  bench.pipe(['in', 'b', 'y', 29], ['in', 'b', 'z', 30]);
  t.deepEqual(bench.out('patient'), ['a=xv15@20']);
});

test('a grace needs a table with history', (t) => {
  t.throws(
    () =>
      new Bench((builder) => {
        builder.stream('in', text).join(builder.table('table', text), pair, { graceMs: 1, name: 'j' });
      }),
    { instanceOf: TopologyError, message: /historyMs/ },
  );
});

test('a global table is joined by any key, from every partition', (t) => {
  const bench = new Bench(
    (builder) => {
      const names = builder.globalTable('names', { ...text, name: 'names' });
      const stream = builder.stream('in', text);
      show(stream.join(names, pair, { by: (value) => value }));
      show(
        stream.leftJoin(names, pair, { by: (value) => (value === 'none' ? null : value) }),
        String,
        'left',
      );
    },
    { partitions: 3 },
  );
  bench.pipe(['names', 'x', 'Xaver', 0]);
  for (const key of ['a', 'b', 'c', 'd']) bench.pipe(['in', key, 'x', 1]);
  bench.pipe(['in', 'e', 'none', 2]);
  t.deepEqual(bench.out().sort(), ['a=xXaver@1', 'b=xXaver@1', 'c=xXaver@1', 'd=xXaver@1']);
  t.true(bench.out('left').includes('e=none-@2'));
});

for (const [kind, wanted] of [
  ['join', ['a=1x@2', 'a=2x@3', 'a=null@4', 'a=null@5']],
  ['leftJoin', ['a=1-@1', 'a=1x@2', 'a=2x@3', 'a=2-@4', 'a=null@5']],
  ['outerJoin', ['a=1-@1', 'a=1x@2', 'a=2x@3', 'a=2-@4', 'a=null@5', 'b=-y@6']],
] as const) {
  test(`a table ${kind} follows both tables, tombstones included`, (t) => {
    const bench = new Bench((builder) => {
      const left = builder.table('left', text);
      const right = builder.table('right', text);
      show(left[kind](right, pair).toStream());
    });
    bench.pipe(['left', 'a', '1', 1], ['right', 'a', 'x', 2], ['left', 'a', '2', 3], ['right', 'a', null, 4]);
    bench.pipe(['left', 'a', null, 5], ['right', 'b', 'y', 6], ['left', 'c', null, 7]);
    const seen = bench.out();
    t.deepEqual(seen, kind === 'join' ? wanted.slice(0, 3) : wanted);
  });
}

test('a joined table can be joined, filtered and looked up through its sides', (t) => {
  const bench = new Bench((builder) => {
    const joined = builder.table('left', text).join(builder.table('right', text), pair);
    const twice = joined.filter((value) => value !== 'no').mapValues((value) => value.toUpperCase());
    show(builder.stream('in', text).leftJoin(twice, pair));
  });
  bench.pipe(
    ['left', 'k', 'a', 1],
    ['right', 'k', 'b', 2],
    ['in', 'k', '?', 3],
    ['right', 'k', null, 4],
    ['in', 'k', '?', 5],
  );
  t.deepEqual(bench.out(), ['k=?AB@3', 'k=?-@5']);
});

test('a foreign-key join follows the foreign key, both tables, and deletions on either side', (t) => {
  const order = jsonSerde<{ customer: string | null; item: string }>();
  const run = (leftJoin: boolean): string[][] => {
    const bench = new Bench(
      (builder) => {
        const orders = builder.table('orders', { key: stringSerde, value: order });
        const customers = builder.table('customers', text);
        const options = {
          foreignKey: (one: { customer: string | null }) => one.customer,
          joiner: (one: { item: string }, name: string | null) => `${one.item}:${name ?? '-'}`,
          name: 'fk',
        };
        const joined = leftJoin
          ? orders.leftJoinForeignKey(customers, options)
          : orders.joinForeignKey(customers, options);
        show(joined.toStream());
      },
      { partitions: 3 },
    );
    const place = (id: string, customer: string | null, item: string, time: number): void => {
      bench.pipe(['orders', id, JSON.stringify({ customer, item }), time]);
    };
    const steps = [
      () => place('1', 'c1', 'ink', 1),
      () => bench.pipe(['customers', 'c1', 'Ann', 2]),
      () => place('2', 'c1', 'pen', 3),
      () => bench.pipe(['customers', 'c1', 'Anna', 4]),
      () => place('1', 'c2', 'ink', 5),
      () => bench.pipe(['customers', 'c2', 'Bob', 6]),
      () => bench.pipe(['customers', 'c1', null, 7]),
      () => bench.pipe(['orders', '1', null, 8]),
      () => place('3', null, 'pad', 9),
    ];
    return steps.map((step) => {
      step();
      return bench.out().sort();
    });
  };
  t.deepEqual(run(false), [
    [],
    ['1=ink:Ann@2'],
    ['2=pen:Ann@3'],
    ['1=ink:Anna@4', '2=pen:Anna@4'],
    ['1=null@5'],
    ['1=ink:Bob@6'],
    ['2=null@7'],
    ['1=null@8'],
    [],
  ]);
  t.deepEqual(run(true), [
    ['1=ink:-@1'],
    ['1=ink:Ann@2'],
    ['2=pen:Ann@3'],
    ['1=ink:Anna@4', '2=pen:Anna@4'],
    ['1=ink:-@5'],
    ['1=ink:Bob@6'],
    ['2=pen:-@7'],
    ['1=null@8'],
    ['3=pad:-@9'],
  ]);
});

test('the partition counts of joined topics go together, internal ones included', (t) => {
  const bench = new Bench((builder) => {
    const right = builder.stream('right', text);
    show(
      builder
        .stream('left', text)
        .selectKey((value) => value)
        .join(right, pair, { window, key: stringSerde, name: 'j' }),
    );
  });
  t.deepEqual(bench.driver.topology.copartitionGroups, [['right', 'test-j-left-repartition']]);
});

test('a filter on a table says nothing of what never passed it, once old values are known', (t) => {
  const bench = new Bench((builder) => {
    const kept = builder.table('in', { key: stringSerde, value: stringSerde, store: { name: 'kept' } });
    show(kept.filter((value) => value.length > 1).toStream());
    const loose = builder.table('loose', { key: stringSerde, value: nullable(stringSerde) });
    show(loose.filter((value) => value !== null && value.length > 1).toStream(), String, 'loose-out');
  });
  bench.pipe(['in', 'a', 'x', 1], ['in', 'a', 'xx', 2], ['in', 'a', 'x', 3], ['loose', 'a', 'x', 1]);
  t.deepEqual(bench.out(), ['a=xx@2', 'a=null@3']);
  t.deepEqual(bench.out('loose-out'), ['a=null@1']);
});

test('toTable keeps the last value, and takes a null for a deletion', (t) => {
  const bench = new Bench((builder) => {
    const table = builder
      .stream('in', loose)
      .toTable({ name: 'last', store: { name: 'last', value: stringSerde } });
    show(table.toStream());
  });
  bench.pipe(['in', 'a', '1', 1], ['in', 'a', null, 2], ['in', null, 'x', 3]);
  t.deepEqual(bench.out(), ['a=1@1', 'a=null@2']);
});
