/** The admin client against a real broker: configuration, records, groups. */
import test from 'ava';
import { KafkaError } from '../../../lib/kafka/kafka-error.ts';
import { nativeClient } from '../../../lib/kafka/native/native-client.ts';
import { OutgoingBatch } from '../../../lib/kafka/outgoing-batch.ts';
import { Bench, Reader, TIMEOUT_MS } from './harness.ts';

const bench = new Bench(nativeClient);
const { admin } = bench;
test.after.always(() => bench.dispose());

async function filled(topic: string, records: number): Promise<void> {
  const producer = bench.producer();
  const batch = new OutgoingBatch();
  for (let i = 0; i < records; i += 1) {
    batch.add({ topic, partition: 0, key: null, value: Buffer.from(String(i)), headers: [] });
  }
  await producer.produce(batch);
  await producer.flush(TIMEOUT_MS);
}

test('altering one configuration key leaves the others of the topic as they were, also when two change at once', async (t) => {
  const topic = await bench.topic(1, { 'retention.ms': '3600000', 'segment.bytes': '1048576' });
  await Promise.all([
    admin.alterConfigs(topic, { 'retention.ms': '7200000' }),
    admin.alterConfigs(topic, { 'max.message.bytes': '2000000' }),
  ]);
  const [description] = (await admin.describeTopics([topic])).values();
  t.like(description?.configs, {
    'retention.ms': '7200000',
    'segment.bytes': '1048576',
    'max.message.bytes': '2000000',
  });
});

test('a configuration that Kafka refuses is an error, and changes nothing', async (t) => {
  const topic = await bench.topic(1, { 'retention.ms': '3600000' });
  await t.throwsAsync(admin.alterConfigs(topic, { 'cleanup.policy': 'shred' }), { instanceOf: KafkaError });
  const [description] = (await admin.describeTopics([topic])).values();
  t.like(description?.configs, { 'retention.ms': '3600000', 'cleanup.policy': 'delete' });
});

test('deleting records moves the log start and leaves what comes after', async (t) => {
  const topic = await bench.topic(1);
  await filled(topic, 10);
  t.deepEqual(await admin.topicOffsets(topic), [{ topic, partition: 0, low: 0, high: 10 }]);
  await admin.deleteRecords(topic, [{ partition: 0, offset: 4 }]);
  t.deepEqual(await admin.topicOffsets(topic), [{ topic, partition: 0, low: 4, high: 10 }]);
  const reader = await bench.reader(topic);
  await reader.until('what is left', () => reader.records.length >= 6);
  t.deepEqual(
    reader.records.map(({ value }) => value),
    ['4', '5', '6', '7', '8', '9'],
  );
});

test('a group shows its members and what they hold, its offsets, and is deleted only when empty', async (t) => {
  const topic = await bench.topic(2);
  await filled(topic, 3);
  const group = bench.name('group');
  const consumer = bench.consumer({ 'group.id': group, 'client.id': 'the-member' });
  consumer.subscribe([topic]);
  const reader = new Reader(consumer);
  await reader.until('records', () => reader.records.length >= 3);
  await consumer.commit([{ topic, partition: 0, offset: 3, metadata: 'stream time' }]);
  const [described] = await admin.describeGroups([group]);
  t.like(described, { groupId: group, state: 'Stable' });
  t.deepEqual(
    described!.members.map(({ clientId, assignment }) => [clientId, assignment]),
    [['the-member', { [topic]: [0, 1] }]],
  );
  t.true((await admin.listGroups()).includes(group));
  t.like(
    (await admin.groupOffsets(group, [topic])).find(({ partition }) => partition === 0),
    {
      offset: 3,
      metadata: 'stream time',
    },
  );
  await t.throwsAsync(admin.deleteGroups([group]), { instanceOf: KafkaError });
  await consumer.close();
  await admin.deleteGroups([group]);
  t.false((await admin.listGroups()).includes(group));
  t.is((await admin.describeGroups([group]))[0]?.state, 'Dead');
});

test('a broker without an authorizer says so', async (t) => {
  const error = await t.throwsAsync(admin.describeAcls(), { instanceOf: KafkaError });
  t.regex(error.message, /SECURITY_DISABLED|[Ss]ecurity/);
});
