/**
 * The contract of lib/kafka/client.ts as tests, run against every adapter on a real broker. What an adapter
 * cannot do is declared in `Capabilities`; there the suite demands that it says so with a KafkaError.
 */
import { spawn } from 'node:child_process';
import type { TestFn } from 'ava';
import { type KafkaClient, OFFSET_END, OFFSET_INVALID } from '../../../lib/kafka/client.ts';
import { KafkaError } from '../../../lib/kafka/kafka-error.ts';
import { partitionOf } from '../../../lib/kafka/murmur2.ts';
import { OutgoingBatch } from '../../../lib/kafka/outgoing-batch.ts';
import { RecordBatch } from '../../../lib/kafka/record-batch.ts';
import { Bench, bootstrapServers, Reader, TIMEOUT_MS, untilAll } from './harness.ts';

export interface Capabilities {
  /** Offset metadata can be written and read. */
  readonly offsetMetadata: boolean;
  /** Watermarks of the isolation level that the consumer is not configured with. */
  readonly otherIsolation: boolean;
  readonly groupMetadata: boolean;
  /** Header values that are null or not UTF-8 text. */
  readonly binaryHeaders: boolean;
}

export function contractTests(
  test: TestFn,
  client: KafkaClient,
  clientModule: string,
  can: Capabilities,
): void {
  const bench = new Bench(client);
  const unsupported = { instanceOf: KafkaError, message: /UNSUPPORTED/ };

  test.after.always(() => bench.dispose());

  test(`${client.name}: nulls, empties, header order and repeats arrive as they were sent`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    const headers: [string, string | null][] = [
      ['b', '1'],
      ['a', '2'],
      ['b', '3'],
      ['empty', ''],
    ];
    if (can.binaryHeaders) headers.push(['null', null]);
    out.add({ topic, key: null, value: 'null key', timestamp: 1_700_000_000_123 });
    out.add({ topic, key: '', value: '', headers });
    out.add({ topic, key: 'tombstone', value: null });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic);
    await reader.until('three records', () => reader.records.length >= 3);
    t.like(reader.records[0], {
      key: null,
      value: 'null key',
      headers: [],
      timestamp: 1_700_000_000_123,
      offset: 0,
    });
    t.like(reader.records[1], { key: '', value: '', headers });
    t.like(reader.records[2], { key: 'tombstone', value: null });
    t.true(Math.abs(reader.records[1]!.timestamp - Date.now()) < 60_000, 'no timestamp means now');
  });

  test(`${client.name}: header bytes that are no text ${can.binaryHeaders ? 'arrive' : 'are refused'}`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    out.add({ topic, value: 'x', headers: [['bytes', Buffer.from([0xff, 0x00, 0xc3])]] });
    if (!can.binaryHeaders) {
      await t.throwsAsync(producer.produce(out), unsupported);
      return;
    }
    await producer.produce(out);
    const reader = await bench.reader(topic);
    await reader.until('the record', () => reader.records.length > 0);
    t.deepEqual(reader.records[0]!.headers, [['bytes', '\xff\x00\xc3']]);
  });

  test(`${client.name}: records larger than the slab make it grow, and order holds`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    const sizes = [10, 900_000, 20, 700_000, 30, 3000, 2500, 50];
    sizes.forEach((size, i) => out.add({ topic, key: String(i), value: 'x'.repeat(size) }));
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic, {}, new RecordBatch({ slabBytes: 4096, maxRecords: 3 }));
    await reader.until('all records', () => reader.records.length >= sizes.length);
    t.deepEqual(
      reader.records.map(({ key, value }) => [key, value!.length]),
      sizes.map((size, i) => [String(i), size]),
    );
    t.true(reader.batch.data.length >= 900_000);
  });

  test(`${client.name}: many partitions, each in offset order, each with its end`, async (t) => {
    const partitions = 24;
    const topic = await bench.topic(partitions);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    const total = 12_000;
    for (let i = 0; i < total; i++) out.add({ topic, key: `key-${i}`, value: String(i) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic, {}, new RecordBatch({ slabBytes: 16_384, maxRecords: 700 }));
    await reader.until('every end', () => reader.ends >= partitions && reader.records.length >= total);
    t.is(reader.records.length, total);
    const next = new Array<number>(partitions).fill(0);
    for (const { partition, offset } of reader.records) t.is(offset, next[partition]!++);
    for (const event of reader.events) {
      if (event.type === 'end') t.is(event.offset, next[event.partition]!);
    }
    for (const { key, partition } of reader.records) {
      const bytes = Buffer.from(key!);
      t.is(partition, partitionOf(bytes, 0, bytes.length, partitions), 'the murmur2 partition');
    }
  });

  test(`${client.name}: an end is told only after the records before it`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    for (let i = 0; i < 50; i++) out.add({ topic, value: 'x'.repeat(500) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic, {}, new RecordBatch({ slabBytes: 2000, maxRecords: 100 }));
    let seenAtEnd = -1;
    reader.onEvent = (event) => {
      if (event.type === 'end' && seenAtEnd < 0) seenAtEnd = reader.records.length;
    };
    await reader.until('the end', () => seenAtEnd >= 0);
    t.is(seenAtEnd, 50);
  });

  test(`${client.name}: a paused partition delivers nothing, and goes on where it stopped`, async (t) => {
    const topic = await bench.topic(2);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    for (let i = 0; i < 600; i++) out.add({ topic, partition: i % 2, value: 'x'.repeat(200) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic, {}, new RecordBatch({ slabBytes: 3000, maxRecords: 10 }));
    const of = (partition: number) => reader.records.filter((record) => record.partition === partition);
    await reader.until('records of both', () => of(0).length > 0 && of(1).length > 0);
    const paused = of(0).length;
    reader.consumer.pause([{ topic, partition: 0 }]);
    await reader.until('all of partition 1', () => of(1).length === 300);
    t.is(of(0).length, paused);
    reader.consumer.resume([{ topic, partition: 0 }]);
    await reader.until('the rest of partition 0', () => of(0).length === 300);
    t.deepEqual(
      of(0).map(({ offset }) => offset),
      Array.from({ length: 300 }, (_, i) => i),
    );
  });

  test(`${client.name}: after a seek no record fetched before it is delivered`, async (t) => {
    const topic = await bench.topic(2);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    for (let i = 0; i < 4000; i++) out.add({ topic, partition: i % 2, value: 'x'.repeat(100) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const reader = await bench.reader(topic, {}, new RecordBatch({ slabBytes: 5000, maxRecords: 37 }));
    await reader.until('some records', () => reader.records.length > 300);
    for (const target of [1200, 3, 1999, 700, 0]) {
      // Polls go on while the seek runs: what they deliver does not count, what comes after it does.
      const sought = reader.consumer.seek([{ topic, partition: 0, offset: target }], TIMEOUT_MS);
      reader.step();
      await sought;
      reader.records.length = 0;
      const of0 = () => reader.records.filter(({ partition }) => partition === 0);
      const expected = Math.min(60, 2000 - target);
      await reader.until(`records from ${target}`, () => of0().length >= expected);
      of0().forEach(({ offset }, i) => t.is(offset, target + i));
    }
    await t.throwsAsync(reader.consumer.seek([{ topic: `${topic}-not`, partition: 0, offset: 1 }], 2000), {
      instanceOf: KafkaError,
    });
  });

  test(`${client.name}: partitions given up and taken again start where they are told`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    for (let i = 0; i < 2000; i++) out.add({ topic, value: 'x'.repeat(100) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const consumer = bench.consumer();
    consumer.incrementalAssign([{ topic, partition: 0, offset: 10 }]);
    const reader = new Reader(consumer, new RecordBatch({ slabBytes: 5000, maxRecords: 37 }));
    await reader.until('some records', () => reader.records.length > 100);
    for (const offset of [1500, 5]) {
      consumer.incrementalUnassign([{ topic, partition: 0 }]);
      t.deepEqual(consumer.assignment(), []);
      consumer.incrementalAssign([{ topic, partition: 0, offset }]);
      t.deepEqual(consumer.assignment(), [{ topic, partition: 0 }]);
      reader.records.length = 0;
      await reader.until('records again', () => reader.records.length > 100);
      reader.records.forEach((record, i) => t.is(record.offset, offset + i));
    }
  });

  test(`${client.name}: two members share a topic cooperatively, and one takes over when the other leaves`, async (t) => {
    const topic = await bench.topic(4);
    const group = bench.name('g');
    const first = new Reader(bench.consumer({ 'group.id': group }));
    first.consumer.subscribe([topic]);
    await first.until('four partitions', () => first.consumer.assignment().length === 4);
    const second = new Reader(bench.consumer({ 'group.id': group }));
    second.consumer.subscribe([topic]);
    await untilAll('two each', [first, second], () =>
      [first, second].every(({ consumer }) => consumer.assignment().length === 2),
    );
    const held = [first, second].flatMap(({ consumer }) =>
      consumer.assignment().map(({ partition }) => partition),
    );
    t.deepEqual(held.sort(), [0, 1, 2, 3]);
    const revoked = first.events.flatMap((event) =>
      event.type === 'revoked' ? [event.partitions.length] : [],
    );
    t.deepEqual(revoked, [2], 'only what moves is revoked');
    if (can.groupMetadata) {
      t.true(first.consumer.groupMetadata().generationId >= 1);
      t.not(first.consumer.groupMetadata().memberId, '');
    } else {
      t.throws(() => first.consumer.groupMetadata(), unsupported);
    }
    await second.consumer.close();
    await first.until('four again', () => first.consumer.assignment().length === 4);
    t.pass();
  });

  test(`${client.name}: a consumer that is closed in the middle of a rebalance leaves its group`, async (t) => {
    const topic = await bench.topic(2);
    const group = bench.name('g');
    const first = new Reader(bench.consumer({ 'group.id': group }));
    first.consumer.subscribe([topic]);
    first.onEvent = () => undefined; // the assignment is never answered
    await first.until('an assignment', () => first.events.some(({ type }) => type === 'assigned'));
    await first.consumer.close();
    const second = new Reader(bench.consumer({ 'group.id': group }));
    second.consumer.subscribe([topic]);
    await second.until('both partitions', () => second.consumer.assignment().length === 2, 8000);
    second.onEvent = () => undefined;
    const third = new Reader(bench.consumer({ 'group.id': group }));
    third.consumer.subscribe([topic]);
    await untilAll('a revocation', [second, third], () =>
      second.events.some(({ type }) => type === 'revoked'),
    );
    await second.consumer.close();
    await third.until('both partitions', () => third.consumer.assignment().length === 2, 8000);
    t.pass();
  });

  test(`${client.name}: committed offsets come back${can.offsetMetadata ? ' with their metadata' : ''}`, async (t) => {
    const topic = await bench.topic(3);
    const consumer = bench.consumer();
    const partitions = [0, 1, 2].map((partition) => ({ topic, partition }));
    const withMetadata = [{ topic, partition: 0, offset: 7, metadata: '{"streamTime":1700000000000,"ü":1}' }];
    if (can.offsetMetadata) await consumer.commit(withMetadata);
    else await t.throwsAsync(consumer.commit(withMetadata), unsupported);
    await consumer.commit([{ topic, partition: 1, offset: 9_007_199_254_740 }]);
    const committed = await consumer.committed(partitions, TIMEOUT_MS);
    t.deepEqual(
      committed.map(({ partition, offset }) => [partition, offset]),
      [
        [0, can.offsetMetadata ? 7 : OFFSET_INVALID],
        [1, 9_007_199_254_740],
        [2, OFFSET_INVALID],
      ],
    );
    t.is(committed[0]!.metadata, can.offsetMetadata ? withMetadata[0]!.metadata : undefined);
    t.is(committed[1]!.metadata, undefined);
  });

  test(`${client.name}: committed transactions are read, aborted ones are not`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer({ 'transactional.id': bench.name('x') });
    await producer.initTransactions(TIMEOUT_MS);
    const out = new OutgoingBatch();
    for (const [fate, value] of [
      ['abort', 'a'],
      ['commit', 'b'],
      ['abort', 'c'],
      ['commit', 'd'],
    ] as const) {
      producer.beginTransaction();
      out.reset();
      out.add({ topic, value });
      await producer.produce(out);
      if (fate === 'commit') {
        await producer.flush(TIMEOUT_MS);
        await producer.commitTransaction(TIMEOUT_MS);
      } else {
        if (value === 'c') await producer.flush(TIMEOUT_MS);
        await producer.abortTransaction(TIMEOUT_MS);
      }
    }
    const reader = await bench.reader(topic);
    await reader.until('the end', () => reader.ends > 0);
    t.deepEqual(
      reader.records.map(({ value }) => value),
      ['b', 'd'],
    );
  });

  test(`${client.name}: the log end is seen uncommitted, the last stable offset committed`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer({ 'transactional.id': bench.name('x') });
    await producer.initTransactions(TIMEOUT_MS);
    producer.beginTransaction();
    const out = new OutgoingBatch();
    for (let i = 0; i < 5; i++) out.add({ topic, value: String(i) });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const consumer = bench.consumer();
    const stable = await consumer.watermarks([{ topic, partition: 0 }], 'read_committed', TIMEOUT_MS);
    t.deepEqual(stable, [{ topic, partition: 0, low: 0, high: 0 }]);
    const uncommitted = consumer.watermarks([{ topic, partition: 0 }], 'read_uncommitted', TIMEOUT_MS);
    if (can.otherIsolation) t.deepEqual(await uncommitted, [{ topic, partition: 0, low: 0, high: 5 }]);
    else await t.throwsAsync(uncommitted, unsupported);
    await producer.commitTransaction(TIMEOUT_MS);
    const after = await consumer.watermarks([{ topic, partition: 0 }], 'read_committed', TIMEOUT_MS);
    t.is(after[0]!.high, 6, 'five records and the marker');
    await t.throwsAsync(
      consumer.watermarks([{ topic: `${topic}-not`, partition: 0 }], 'read_committed', 3000),
      {
        instanceOf: KafkaError,
      },
    );
  });

  test(`${client.name}: a newer producer of the same id fences the older one for good`, async (t) => {
    const topic = await bench.topic(1);
    const id = bench.name('x');
    const older = bench.producer({ 'transactional.id': id });
    await older.initTransactions(TIMEOUT_MS);
    older.beginTransaction();
    const out = new OutgoingBatch();
    out.add({ topic, value: 'of the older' });
    await older.produce(out);
    await older.flush(TIMEOUT_MS);
    const newer = bench.producer({ 'transactional.id': id });
    await newer.initTransactions(TIMEOUT_MS);
    const fenced = await t.throwsAsync(older.commitTransaction(TIMEOUT_MS), { instanceOf: KafkaError });
    t.true(fenced.fatal, `${String(fenced)} is fatal`);
    newer.beginTransaction();
    out.reset();
    out.add({ topic, value: 'of the newer' });
    await newer.produce(out);
    await newer.commitTransaction(TIMEOUT_MS);
    const reader = await bench.reader(topic);
    await reader.until('the end', () => reader.ends > 0);
    t.deepEqual(
      reader.records.map(({ value }) => value),
      ['of the newer'],
    );
  });

  test(`${client.name}: offsets go into the transaction, and only a live member may send them`, async (t) => {
    const topic = await bench.topic(1);
    const group = bench.name('g');
    const live = new Reader(bench.consumer({ 'group.id': group }));
    live.consumer.subscribe([topic]);
    await live.until('the partition', () => live.consumer.assignment().length === 1);
    const producer = bench.producer({ 'transactional.id': bench.name('x') });
    await producer.initTransactions(TIMEOUT_MS);
    const metadata = can.offsetMetadata ? { metadata: '42' } : {};
    producer.beginTransaction();
    await producer.sendOffsets([{ topic, partition: 0, offset: 3, ...metadata }], live.consumer, TIMEOUT_MS);
    await producer.abortTransaction(TIMEOUT_MS);
    const at = async () => (await live.consumer.committed([{ topic, partition: 0 }], TIMEOUT_MS))[0];
    t.is((await at())?.offset, OFFSET_INVALID);
    producer.beginTransaction();
    await producer.sendOffsets([{ topic, partition: 0, offset: 4, ...metadata }], live.consumer, TIMEOUT_MS);
    await producer.commitTransaction(TIMEOUT_MS);
    t.like(await at(), { offset: 4, ...metadata });

    const stranger = bench.consumer({ 'group.id': group });
    stranger.subscribe([`${topic}-other`]); // has not joined: no member, no generation
    producer.beginTransaction();
    await t.throwsAsync(producer.sendOffsets([{ topic, partition: 0, offset: 9 }], stranger, TIMEOUT_MS), {
      instanceOf: KafkaError,
    });
    await producer.abortTransaction(TIMEOUT_MS);
    t.is((await at())?.offset, 4);
  });

  test(`${client.name}: an expelled member's offsets are refused, and the transaction can be aborted`, async (t) => {
    const topic = await bench.topic(2);
    const group = bench.name('g');
    const limits = { 'session.timeout.ms': 6000, 'max.poll.interval.ms': 6000 };
    const zombie = new Reader(bench.consumer({ 'group.id': group, ...limits }));
    zombie.consumer.subscribe([topic]);
    await zombie.until('both partitions', () => zombie.consumer.assignment().length === 2);
    // From here on it is not polled: its time runs out, and the heir gets everything.
    const heir = new Reader(bench.consumer({ 'group.id': group }));
    heir.consumer.subscribe([topic]);
    await heir.until('both partitions', () => heir.consumer.assignment().length === 2, 25_000);
    const producer = bench.producer({ 'transactional.id': bench.name('x') });
    await producer.initTransactions(TIMEOUT_MS);
    producer.beginTransaction();
    const refused = await t.throwsAsync(
      producer.sendOffsets([{ topic, partition: 0, offset: 1 }], zombie.consumer, TIMEOUT_MS),
      { instanceOf: KafkaError },
    );
    t.true(refused.abortable, String(refused));
    t.false(refused.fatal);
    await producer.abortTransaction(TIMEOUT_MS);
    const [committed] = await heir.consumer.committed([{ topic, partition: 0 }], TIMEOUT_MS);
    t.is(committed?.offset, OFFSET_INVALID);
  });

  test(`${client.name}: a full queue holds produce up until there is room, and nothing is lost`, async (t) => {
    const topic = await bench.topic(2);
    const producer = bench.producer({ 'queue.buffering.max.messages': 50, 'linger.ms': 1 });
    const out = new OutgoingBatch();
    const total = 3000;
    for (let i = 0; i < total; i++) out.add({ topic, key: String(i), value: `v${i}` });
    let turns = 0;
    const turning = setInterval(() => (turns += 1), 1);
    await producer.produce(out);
    clearInterval(turning);
    await producer.flush(TIMEOUT_MS);
    t.true(turns > 0, 'the event loop went on meanwhile');
    const acknowledged = [0, 1].map((partition) => producer.acknowledged(topic, partition) + 1);
    t.is(acknowledged[0]! + acknowledged[1]!, total);
    t.is(producer.acknowledged(topic, 7), -1);
    t.is(producer.acknowledged(`${topic}-not`, 0), -1);
    const reader = await bench.reader(topic);
    await reader.until('all', () => reader.records.length >= total);
    t.deepEqual(new Set(reader.records.map(({ value }) => value)).size, total);
  });

  test(`${client.name}: a delivery error comes out of the next flush, once`, async (t) => {
    const topic = await bench.topic(1, { 'max.message.bytes': '2000' });
    const producer = bench.producer({ 'compression.type': 'none' });
    const out = new OutgoingBatch();
    out.add({ topic, value: 'x'.repeat(5000) });
    await producer.produce(out);
    const failed = await t.throwsAsync(producer.flush(TIMEOUT_MS), { instanceOf: KafkaError });
    t.is(failed.codeName, 'MSG_SIZE_TOO_LARGE');
    out.reset();
    out.add({ topic, value: 'small' });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    t.true(producer.acknowledged(topic, 0) >= 0);
  });

  test(`${client.name}: the first refused record rejects, those before it are handed over`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    out.add({ topic, value: 'one' });
    out.add({ topic, value: 'two' });
    out.add({ topic, value: 'x'.repeat(3_000_000) });
    out.add({ topic, value: 'never' });
    await t.throwsAsync(producer.produce(out), {
      instanceOf: KafkaError,
      message: /record 2 .*MSG_SIZE_TOO_LARGE/,
    });
    await producer.flush(TIMEOUT_MS);
    t.is(producer.acknowledged(topic, 0), 1);
  });

  test(`${client.name}: waiting ends when data arrives, long before its time`, async (t) => {
    const topic = await bench.topic(1);
    const reader = await bench.reader(topic);
    await reader.until('the end', () => reader.ends > 0);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    out.add({ topic, value: 'wake' });
    const started = performance.now();
    const sent = producer.produce(out).then(() => producer.flush(TIMEOUT_MS));
    while (reader.records.length === 0 && performance.now() - started < 20_000) {
      await reader.consumer.wait(20_000);
      reader.step();
    }
    await sent;
    t.is(reader.records.length, 1);
    t.true(performance.now() - started < 15_000);
  });

  test(`${client.name}: offsets by time, and partition counts`, async (t) => {
    const topic = await bench.topic(1);
    const producer = bench.producer();
    const out = new OutgoingBatch();
    const base = Date.now() - 100_000;
    for (let i = 0; i < 10; i++) out.add({ topic, value: String(i), timestamp: base + i * 1000 });
    await producer.produce(out);
    await producer.flush(TIMEOUT_MS);
    const consumer = bench.consumer();
    const at = async (timestampMs: number) =>
      (await consumer.offsetsForTimes([{ topic, partition: 0, timestampMs }], TIMEOUT_MS))[0]?.offset;
    t.is(await at(base + 4500), 5);
    t.is(await at(base - 1), 0);
    t.is(await at(base + 50_000), OFFSET_END);
    t.deepEqual(await consumer.partitionCounts([topic, `${topic}-not`], TIMEOUT_MS), new Map([[topic, 1]]));
    t.is(await producer.partitionCount(topic, TIMEOUT_MS), 1);
    await t.throwsAsync(producer.partitionCount(`${topic}-not`, TIMEOUT_MS), {
      instanceOf: KafkaError,
      message: /UNKNOWN_TOPIC/,
    });
  });

  test(`${client.name}: closing twice is closing once, and calls after it fail as closed`, async (t) => {
    const topic = await bench.topic(1);
    const consumer = bench.consumer();
    const producer = bench.producer();
    const waiting = consumer.wait(60_000);
    await Promise.all([consumer.close(), consumer.close(), producer.close(5000), producer.close(5000)]);
    await waiting;
    await consumer.close();
    const closed = { instanceOf: KafkaError, message: /_DESTROY/ };
    t.throws(() => consumer.poll(new RecordBatch()), closed);
    t.deepEqual(consumer.takeEvents(), []);
    await t.throwsAsync(consumer.committed([{ topic, partition: 0 }], 1000), closed);
    const out = new OutgoingBatch();
    out.add({ topic, value: 'late' });
    await t.throwsAsync(producer.produce(out), closed);
    await t.throwsAsync(producer.flush(1000), closed);
  });

  test(`${client.name}: a process whose clients are closed exits by itself`, async (t) => {
    const topic = await bench.topic(1);
    const program = `
      const { ${client.name === 'native' ? 'nativeClient' : 'nodeRdkafkaClient'}: client } = await import(${JSON.stringify(clientModule)});
      const { RecordBatch } = await import(${JSON.stringify(new URL('../../../lib/kafka/record-batch.ts', import.meta.url).href)});
      const { OutgoingBatch } = await import(${JSON.stringify(new URL('../../../lib/kafka/outgoing-batch.ts', import.meta.url).href)});
      const servers = { 'bootstrap.servers': ${JSON.stringify(bootstrapServers())} };
      const producer = client.createProducer(servers);
      const out = new OutgoingBatch();
      out.add({ topic: ${JSON.stringify(topic)}, value: 'x' });
      await producer.produce(out);
      await producer.flush(10000);
      const consumer = client.createConsumer({ ...servers, 'group.id': ${JSON.stringify(bench.name('g'))} });
      consumer.assign([{ topic: ${JSON.stringify(topic)}, partition: 0, offset: -2 }]);
      const batch = new RecordBatch();
      while (consumer.poll(batch) === 0) await consumer.wait(1000);
      await consumer.close();
      await producer.close(5000);
    `;
    const child = spawn(process.execPath, ['--import=tsx', '--input-type=module', '-e', program], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const code = await new Promise((resolve) => {
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
      child.on('exit', (status, signal) => {
        clearTimeout(timer);
        resolve(signal ?? status);
      });
    });
    t.is(code, 0);
  });
}
