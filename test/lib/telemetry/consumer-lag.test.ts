import test from 'ava';
import {
  ConsumerLag,
  type Consumer,
  type ConsumerEvent,
  type RecordBatch,
  type TopicPartitionOffset,
} from '../../../lib/index.ts';

/** A log of one topic's partitions: the offsets that are records; the others are transaction markers. */
function logOf(records: Readonly<Record<number, readonly number[]>>, ends: Readonly<Record<number, number>>) {
  let assigned: readonly TopicPartitionOffset[] = [];
  let events: ConsumerEvent[] = [];
  const consumer = {
    assign(partitions: readonly TopicPartitionOffset[]) {
      assigned = partitions;
    },
    poll(into: RecordBatch): number {
      let n = 0;
      for (const { topic, partition, offset } of assigned) {
        for (const at of records[partition] ?? []) {
          if (at < offset) continue;
          into.topic[n] = 0;
          into.partition[n] = partition;
          into.offset[n] = at;
          into.timestamp[n] = at * 10;
          n += 1;
        }
        events.push({ type: 'end', topic, partition, offset: ends[partition]! });
      }
      assigned = [];
      return n;
    },
    takeEvents(): readonly ConsumerEvent[] {
      const taken = events;
      events = [];
      return taken;
    },
    topicName: () => 'topic',
    wait: () => Promise.resolve(),
  };
  return consumer as unknown as Consumer;
}

const at = (partition: number, committed: number | null) => ({ topic: 'topic', partition, committed });
const end = (partition: number, high: number, low = 0) => ({ topic: 'topic', partition, low, high });

test('a caught-up group over a transactional topic has lag 0, not the commit marker', async (t) => {
  const lag = new ConsumerLag(logOf({ 0: [7, 8] }, { 0: 10 }));
  t.like((await lag.measure([at(0, 9)], [end(0, 10)], 1000))[0], { lag: 0, oldestUnread: null });
});

test('a small gap counts its records without markers, and knows the oldest one', async (t) => {
  const lag = new ConsumerLag(logOf({ 0: [5, 6, 8] }, { 0: 10 }));
  t.like((await lag.measure([at(0, 5)], [end(0, 10)], 1000))[0], { lag: 3, oldestUnread: 50 });
});

test('a commit read later than the end is no negative lag, and no commit is no lag', async (t) => {
  const lag = new ConsumerLag(logOf({}, {}));
  const [newer, none] = await lag.measure([at(0, 12), at(1, null)], [end(0, 10), end(1, 10)], 1000);
  t.is(newer!.lag, 0);
  t.is(none!.lag, null);
});

test('two groups at different places of one partition are both measured', async (t) => {
  const lag = new ConsumerLag(logOf({ 0: [5, 6, 8] }, { 0: 10 }));
  const both = await lag.measure([at(0, 5), at(0, 8)], [end(0, 10)], 1000);
  t.deepEqual(
    both.map((each) => each.lag),
    [3, 1],
  );
});
