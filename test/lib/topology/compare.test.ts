import test from 'ava';
import {
  compareTopologies,
  StreamBuilder,
  stringSerde,
  tumbling,
  type Topology,
} from '../../../lib/index.ts';
import { text } from './fixture.ts';

function counting(write: (builder: StreamBuilder) => void): Topology {
  const builder = new StreamBuilder();
  write(builder);
  return builder.build();
}

const kinds = (running: Topology, changed: Topology): string[] =>
  compareTopologies(running, changed).map(({ kind, subject }) => `${kind} ${subject}`);

const plain = (name: string, graceMs = 0) =>
  counting((builder) => {
    builder
      .stream('in', text)
      .groupByKey()
      .windowedBy(tumbling({ sizeMs: 10, graceMs }))
      .count({ name });
  });

const regrouped = (name: string, partitions?: number) =>
  counting((builder) => {
    const stream = builder.stream('in', text).selectKey((value) => value);
    const through = stream.repartition({
      ...text,
      name,
      ...(partitions === undefined ? {} : { partitions }),
    });
    through.groupByKey().count({ name: 'counts' });
  });

test('the same topology, or one with more in it, can take over', (t) => {
  t.deepEqual(kinds(plain('counts'), plain('counts')), []);
  const more = counting((builder) => {
    const grouped = builder
      .stream('in', text)
      .filter(() => true)
      .groupByKey();
    grouped.windowedBy(tumbling({ sizeMs: 10, graceMs: 0 })).count({ name: 'counts' });
    grouped.count({ name: 'all' });
  });
  t.deepEqual(kinds(plain('counts'), more), []);
});

test('a renamed store is a store that is lost, and another retention changes its changelog', (t) => {
  t.deepEqual(kinds(plain('counts'), plain('numbers')), ['store-removed counts']);
  t.deepEqual(kinds(plain('counts'), plain('counts', 5)), ['store-changed counts']);
});

test('a renamed internal topic loses what is in it, and partition counts do not change in place', (t) => {
  t.deepEqual(kinds(regrouped('by-value'), regrouped('by-text')), [
    'store-moved counts',
    'internal-topic-removed by-value-repartition',
  ]);
  t.deepEqual(kinds(regrouped('by-value', 4), regrouped('by-value', 8)), [
    'internal-topic-changed by-value-repartition',
  ]);
});

test('topics that are read together from now on change the tasks', (t) => {
  const both = (merged: boolean): Topology =>
    counting((builder) => {
      const a = builder.stream('a', text);
      const b = builder.stream('b', { value: stringSerde, key: stringSerde });
      if (merged) a.merge(b).to('out', text);
      else {
        a.to('out', text);
        b.to('out', text);
      }
    });
  t.deepEqual(kinds(both(false), both(true)), ['subtopology-changed a', 'subtopology-changed b']);
});

test('windowed changelogs are compacted and deleted, repartition topics are kept until they are read', (t) => {
  const [changelog] = plain('counts').resources('app');
  t.is(changelog?.name, 'app-counts-changelog');
  t.is(changelog?.configs['cleanup.policy'], 'compact,delete');
  const [repartition] = regrouped('by-value', 4).resources('app');
  t.is(repartition?.partitions, 4);
  t.is(repartition?.configs['retention.ms'], '-1');
});
