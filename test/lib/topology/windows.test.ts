import test from 'ava';
import fc from 'fast-check';
import {
  hopping,
  jsonSerde,
  session,
  sessionWindowedSerde,
  sliding,
  stringSerde,
  timeWindowedSerde,
  TopologyError,
  tumbling,
  type Windowed,
} from '../../../lib/index.ts';
import { Encoder } from '../../../lib/topology/encoder.ts';
import { windowStartsOf } from '../../../lib/topology/windows.ts';
import { Bench, show, text, type Piped } from './fixture.ts';

const windowText = ({ key, window }: Windowed<string>): string => `${key}[${window.start},${window.end}]`;

test('tumbling windows count each record once; late beyond grace it goes to the late output', (t) => {
  const bench = new Bench((builder) => {
    const counts = builder
      .stream('in', text)
      .groupByKey()
      .windowedBy(tumbling({ sizeMs: 10, graceMs: 5 }))
      .count({ name: 'counts' });
    show(counts.toStream(), windowText);
    counts.late.to('late', text);
  });
  bench.pipe(['in', 'a', 'x', 1], ['in', 'a', 'y', 12], ['in', 'a', 'z', 9]);
  t.deepEqual(bench.out(), ['a[0,10]=1@1', 'a[10,20]=1@12', 'a[0,10]=2@9']);
  // Stream time 15 closes [0, 10) with its grace: the next record of it is late.
  bench.pipe(['in', 'a', 'edge', 14], ['in', 'a', 'v', 9], ['in', 'b', 'w', 15], ['in', 'a', 'late', 9]);
  t.deepEqual(bench.out(), ['a[10,20]=2@14', 'a[0,10]=3@9', 'b[10,20]=1@15']);
  t.deepEqual(bench.out('late'), ['a=late@9']);
  t.is(bench.driver.metrics.dropped.late, 1);
});

test('a hopping record is in each of its windows, those below zero excepted', (t) => {
  const bench = new Bench((builder) => {
    const grouped = builder.stream('in', text).groupByKey();
    show(
      grouped
        .windowedBy(hopping({ sizeMs: 10, advanceMs: 4, graceMs: 0 }))
        .count({ name: 'c' })
        .toStream(),
      windowText,
    );
  });
  bench.pipe(['in', 'a', 'x', 3], ['in', 'a', 'x', 9]);
  t.deepEqual(bench.out(), ['a[0,10]=1@3', 'a[0,10]=2@9', 'a[4,14]=1@9', 'a[8,18]=1@9']);
});

test('every time lies in exactly the windows that hold it', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.integer({ min: 1, max: 50 }),
      fc.nat(1000),
      (size, hop, time) => {
        const windows = hopping({ sizeMs: size, advanceMs: Math.min(hop, size), graceMs: 0 });
        const starts: number[] = [];
        const count = windowStartsOf(windows, time, starts);
        const wanted: number[] = [];
        for (let start = 0; start <= time; start += windows.advanceMs)
          if (start + size > time) wanted.push(start);
        return JSON.stringify(starts.slice(0, count)) === JSON.stringify(wanted);
      },
    ),
  );
  t.pass();
});

test('session windows extend, merge with tombstones for what they were, and close after gap and grace', (t) => {
  const bench = new Bench((builder) => {
    const sessions = builder
      .stream('in', text)
      .groupByKey()
      .windowedBy(session({ gapMs: 5, graceMs: 4 }))
      .reduce((a, b) => a + b, { name: 'sessions' });
    show(sessions.toStream(), windowText);
    sessions.late.to('late', text);
  });
  bench.pipe(['in', 'k', 'a', 0], ['in', 'k', 'b', 8]);
  t.deepEqual(bench.out(), ['k[0,0]=a@0', 'k[8,8]=b@8']);
  bench.pipe(['in', 'k', 'c', 4]);
  t.deepEqual(bench.out(), ['k[0,0]=null@0', 'k[8,8]=null@8', 'k[0,8]=abc@8']);
  bench.pipe(['in', 'j', 'x', 18], ['in', 'k', 'late', 2], ['in', 'k', 'late', 1]);
  t.deepEqual(bench.out().slice(0, 1), ['j[18,18]=x@18']);
  t.deepEqual(bench.out('late'), ['k=late@2', 'k=late@1']);
});

/** All sliding windows of a set of times: those that end or (one later) begin at a record and hold something. */
function slidingCounts(times: readonly number[], difference: number): Map<number, number> {
  const counts = new Map<number, number>();
  const hold = (start: number): number =>
    times.filter((one) => one >= start && one <= start + difference).length;
  for (const time of times) {
    const left = Math.max(0, time - difference);
    counts.set(left, hold(left));
    const right = hold(time + 1);
    if (right > 0) counts.set(time + 1, right);
  }
  return counts;
}

test('sliding windows hold, in any order of arrival, what lies within the difference of each other', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 20, max: 60 }), { minLength: 1, maxLength: 12 }), (times) => {
      const bench = new Bench((builder) => {
        const grouped = builder.stream('in', text).groupByKey();
        show(
          grouped
            .windowedBy(sliding({ differenceMs: 10, graceMs: 1000 }))
            .count({ name: 'c' })
            .toStream(),
          ({ window }) => String(window.start),
        );
      });
      bench.pipe(...times.map((time): Piped => ['in', 'a', 'x', time]));
      const last = new Map(
        bench.out().map((seen) => {
          const [, start, count] = /^(\d+)=(\d+)@/.exec(seen)!;
          return [Number(start), Number(count)];
        }),
      );
      const wanted = slidingCounts(times, 10);
      t.deepEqual(
        [...last].sort((a, b) => a[0] - b[0]),
        [...wanted].sort((a, b) => a[0] - b[0]),
      );
    }),
    { numRuns: 60 },
  );
});

test('windowed keys have the bytes of Kafka Streams', (t) => {
  const key = { key: 'k', window: { start: 5, end: 15 } };
  t.is(new Encoder(timeWindowedSerde(stringSerde, 10)).encode(key).toString('hex'), '6b0000000000000005');
  t.is(
    new Encoder(sessionWindowedSerde(stringSerde)).encode(key).toString('hex'),
    '6b000000000000000f0000000000000005',
  );
});

test('impossible windows are refused with the range that is possible', (t) => {
  t.throws(() => tumbling({ sizeMs: 0, graceMs: 0 }), {
    instanceOf: TopologyError,
    message: /sizeMs .* at least 1, not 0/,
  });
  t.throws(() => hopping({ sizeMs: 5, advanceMs: 6, graceMs: 0 }), {
    message: /advanceMs .* from 1 to 5, not 6/,
  });
  t.throws(() => session({ gapMs: 5, graceMs: -1 }), { message: /graceMs .* at least 0/ });
});

test('suppress lets one final result of each window go, when stream time closes it, and holds nothing else', (t) => {
  const bench = new Bench((builder) => {
    const counts = builder
      .stream('in', text)
      .groupByKey()
      .windowedBy(tumbling({ sizeMs: 10, graceMs: 2 }))
      .count({ name: 'counts' });
    show(
      counts.suppress({ until: 'window-closes', buffer: 'unbounded', name: 'final' }).toStream(),
      windowText,
    );
  });
  bench.pipe(['in', 'a', 'x', 1], ['in', 'b', 'x', 3], ['in', 'a', 'x', 2], ['in', 'a', 'x', 11]);
  t.deepEqual(bench.out(), []);
  bench.pipe(['in', 'c', 'x', 12]);
  t.deepEqual(bench.out(), ['a[0,10]=2@2', 'b[0,10]=1@3']);
});

test('suppress for a time keeps a key in its place, and a full buffer emits early or fails as it was told', (t) => {
  const bench = (buffer: 'unbounded' | { maxRecords: number; whenFull: 'emit' | 'fail' }): Bench =>
    new Bench((builder) => {
      show(
        builder
          .table('in', text)
          .suppress({ until: 'time-limit', timeLimitMs: 10, buffer, name: 's' })
          .toStream(),
      );
    });
  const waiting = bench('unbounded').pipe(
    ['in', 'a', '1', 0],
    ['in', 'b', '1', 5],
    ['in', 'a', '2', 9],
    ['in', 'c', '1', 10],
  );
  t.deepEqual(waiting.out(), ['a=2@9']);
  t.deepEqual(waiting.pipe(['in', 'b', null, 15]).out(), ['b=null@15']);
  const early = bench({ maxRecords: 1, whenFull: 'emit' }).pipe(['in', 'a', '1', 0], ['in', 'b', '1', 1]);
  t.deepEqual(early.out(), ['a=1@0']);
  const failing = bench({ maxRecords: 1, whenFull: 'fail' }).pipe(['in', 'a', '1', 0]);
  t.throws(() => failing.pipe(['in', 'b', '1', 1]), { message: /suppress "s" holds 2 records/ });
});

test('a windowed aggregate that is killed and started again knows its late records', (t) => {
  const bench = new Bench(
    (builder) => {
      const counts = builder
        .stream('in', text)
        .groupByKey()
        .windowedBy(tumbling({ sizeMs: 10, graceMs: 0 }))
        .aggregate<string>({
          initial: () => '',
          add: (all, one) => all + one,
          value: jsonSerde<string>(),
          name: 'all',
        });
      show(counts.toStream(), windowText);
    },
    { autoCommit: false },
  );
  bench.pipe(['in', 'a', 'x', 5]);
  bench.driver.commit();
  bench.pipe(['in', 'a', 'y', 25]);
  bench.driver.abort();
  bench.pipe(['in', 'a', 'z', 6]);
  bench.driver.commit();
  t.deepEqual(bench.out(), ['a[0,10]=x@5', 'a[20,30]=y@25']);
});
