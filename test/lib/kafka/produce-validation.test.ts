/** The addon never trusts a position: whatever an outgoing batch names, it is inside a source or refused. */
import test from 'ava';
import fc from 'fast-check';
import { KafkaError } from '../../../lib/kafka/kafka-error.ts';
import { nativeClient } from '../../../lib/kafka/native/native-client.ts';
import { OutgoingBatch } from '../../../lib/kafka/outgoing-batch.ts';

// No broker listens there: what is handed over stays in the client's queue.
const producer = nativeClient.createProducer({
  'bootstrap.servers': '127.0.0.1:1',
  'queue.buffering.max.messages': 10_000_000,
});
test.after.always(() => producer.close(0));

const SOURCE_BYTES = 64;
const source = Buffer.alloc(SOURCE_BYTES, 7);
const position = fc.oneof(
  fc.integer({ min: -3, max: SOURCE_BYTES + 3 }),
  fc.constantFrom(-2147483648, -1, 0, 2147483647, 2147483583),
  fc.integer({ min: -0x80000000, max: 0x7fffffff }),
);
const column = fc.record({
  source: fc.oneof(fc.integer({ min: -1, max: 3 }), position),
  start: position,
  length: position,
});

function inside(at: { source: number; start: number; length: number }, sources: readonly Buffer[]): boolean {
  const size = sources[at.source]?.length;
  return size !== undefined && at.start >= 0 && at.length >= 0 && at.start + at.length <= size;
}

test('a key or value position outside its source is refused, and only then', async (t) => {
  await fc.assert(
    fc.asyncProperty(column, column, fc.integer({ min: -2, max: 2 }), async (key, value, topicOffset) => {
      const batch = new OutgoingBatch(4);
      const topic = batch.topicIndex('nowhere');
      batch.sourceIndex(source);
      batch.append(
        topic + topicOffset,
        0,
        0,
        key.source,
        key.start,
        key.length,
        value.source,
        value.start,
        value.length,
        0,
        0,
        0,
        0,
      );
      const valid =
        topicOffset === 0 &&
        (key.length === -1 || inside(key, batch.sources)) &&
        (value.length === -1 || inside(value, batch.sources));
      if (valid) await t.notThrowsAsync(producer.produce(batch));
      else
        await t.throwsAsync(producer.produce(batch), {
          instanceOf: KafkaError,
          message: /record 0: .*_INVALID_ARG/,
        });
    }),
    { numRuns: 2000 },
  );
});

/** The headers of a block, or undefined when it does not hold exactly `count`. */
function parse(block: Buffer, count: number): number | undefined {
  if (count < 0) return undefined;
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (block.length - at < 8) return undefined;
    const name = block.readInt32LE(at);
    const value = block.readInt32LE(at + 4);
    at += 8;
    if (name < 0 || value < -1 || name + Math.max(value, 0) > block.length - at) return undefined;
    at += name + Math.max(value, 0);
  }
  return at === block.length ? count : undefined;
}

const length = fc.oneof(fc.integer({ min: -2, max: 6 }), fc.constantFrom(2147483647, -2147483648));
const block = fc
  .array(fc.record({ name: length, value: length, bytes: fc.uint8Array({ maxLength: 8 }) }), { maxLength: 4 })
  .map((headers) =>
    Buffer.concat(
      headers.map(({ name, value, bytes }) => {
        const prefix = Buffer.alloc(8);
        prefix.writeInt32LE(name, 0);
        prefix.writeInt32LE(value, 4);
        return Buffer.concat([prefix, bytes]);
      }),
    ),
  );

test('a header block that does not hold exactly the headers it counts is refused, and only then', async (t) => {
  let accepted = 0;
  await fc.assert(
    fc.asyncProperty(block, fc.integer({ min: -1, max: 5 }), async (bytes, count) => {
      const batch = new OutgoingBatch(1);
      const at = batch.sourceIndex(bytes);
      batch.append(batch.topicIndex('nowhere'), 0, 0, 0, 0, -1, 0, 0, -1, at, 0, bytes.length, count);
      if (parse(bytes, count) !== undefined) {
        accepted += 1;
        await t.notThrowsAsync(producer.produce(batch));
      } else
        await t.throwsAsync(producer.produce(batch), { instanceOf: KafkaError, message: /_INVALID_ARG/ });
    }),
    { numRuns: 3000 },
  );
  t.true(accepted > 0);
});

test('columns that are too short are refused', async (t) => {
  const batch = new OutgoingBatch(4);
  batch.add({ topic: 'nowhere', value: 'x' });
  batch.count = 5;
  await t.throwsAsync(producer.produce(batch), { instanceOf: KafkaError, message: /_INVALID_ARG/ });
});

test('a configuration that librdkafka does not know is an error that names it', (t) => {
  t.throws(() => nativeClient.createProducer({ 'no.such.property': 1 }), {
    instanceOf: KafkaError,
    message: /no\.such\.property/,
  });
  t.throws(() => nativeClient.createConsumer({}), { instanceOf: KafkaError, message: /group\.id/ });
});
