/**
 * Exactly-once pass-through, native against node-rdkafka: records a second and CPU per record.
 *
 *   KAFKA_BOOTSTRAP_SERVERS=… npx tsx bench/kafka-clients.ts [records = 200000] [rounds = 2]
 */
import { randomBytes } from 'node:crypto';
import { Admin } from '../lib/kafka/admin.ts';
import { type KafkaClient, OFFSET_BEGINNING } from '../lib/kafka/client.ts';
import { consumerDefaults, producerDefaults, transactionalProducerDefaults } from '../lib/kafka/defaults.ts';
import { nativeClient } from '../lib/kafka/native/native-client.ts';
import { nodeRdkafkaClient } from '../lib/kafka/node-rdkafka/node-rdkafka-client.ts';
import { OutgoingBatch } from '../lib/kafka/outgoing-batch.ts';
import { RecordBatch } from '../lib/kafka/record-batch.ts';

const PARTITIONS = 4;
const VALUE_BYTES = 600;
const COMMIT_EVERY_MS = 100;
const TIMEOUT_MS = 30_000;

const servers = process.env['KAFKA_BOOTSTRAP_SERVERS'] ?? '';
if (servers === '')
  throw new Error('KAFKA_BOOTSTRAP_SERVERS is not set: start the stack and source its settings');
const records = Number(process.argv[2] ?? 200_000);
const rounds = Number(process.argv[3] ?? 2);
const run = `bench-kafka-${randomBytes(4).toString('hex')}`;
const input = `${run}-in`;
const output = `${run}-out`;

async function fill(): Promise<void> {
  const producer = nativeClient.createProducer({ ...producerDefaults, 'bootstrap.servers': servers });
  const batch = new OutgoingBatch();
  const value = Buffer.alloc(VALUE_BYTES, 'abcdefghijklmnopqrstuvwxyz');
  for (let sent = 0; sent < records;) {
    batch.reset();
    for (let i = 0; i < 5000 && sent < records; i++, sent++)
      batch.add({ topic: input, key: `key-${sent}`, value });
    await producer.produce(batch);
  }
  await producer.flush(TIMEOUT_MS);
  await producer.close(TIMEOUT_MS);
}

interface Measured {
  readonly perSecond: number;
  readonly cpuMicrosPerRecord: number;
}

async function passThrough(client: KafkaClient, round: number): Promise<Measured> {
  const id = `${run}-${client.name}-${round}`;
  const consumer = client.createConsumer({
    ...consumerDefaults,
    'bootstrap.servers': servers,
    'group.id': id,
  });
  const producer = client.createProducer({
    ...transactionalProducerDefaults,
    'bootstrap.servers': servers,
    'transactional.id': id,
  });
  await producer.initTransactions(TIMEOUT_MS);
  consumer.assign(
    Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: input,
      partition,
      offset: OFFSET_BEGINNING,
    })),
  );
  const batch = new RecordBatch();
  const out = new OutgoingBatch();
  const next = new Map<number, number>();
  const topic = out.topicIndex(output);
  const cpu = process.cpuUsage();
  const started = performance.now();
  const commit = async (): Promise<void> => {
    const offsets = [...next].map(([partition, offset]) => ({ topic: input, partition, offset }));
    await producer.sendOffsets(offsets, consumer, TIMEOUT_MS);
    await producer.commitTransaction(TIMEOUT_MS);
  };
  producer.beginTransaction();
  let committed = started;
  for (let done = 0; done < records;) {
    const count = consumer.poll(batch);
    consumer.takeEvents();
    out.reset();
    const source = out.sourceIndex(batch.data);
    for (let i = 0; i < count; i++) {
      const { partition, timestamp, keyStart, keyLength, valueStart, valueLength } = batch;
      // prettier-ignore
      out.append(
        topic, partition[i]!, timestamp[i]!,
        source, keyStart[i]!, keyLength[i]!,
        source, valueStart[i]!, valueLength[i]!,
        source, 0, 0, 0,
      );
      next.set(batch.partition[i]!, batch.offset[i]! + 1);
    }
    await producer.produce(out);
    done += count;
    if (performance.now() - committed > COMMIT_EVERY_MS && done < records) {
      await commit();
      producer.beginTransaction();
      committed = performance.now();
    }
    if (count === 0) await consumer.wait(100);
  }
  await commit();
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await Promise.all([consumer.close(), producer.close(TIMEOUT_MS)]);
  return { perSecond: records / seconds, cpuMicrosPerRecord: (user + system) / records };
}

const admin = new Admin({ bootstrapServers: servers });
await admin.createTopics(
  [input, output].map((name) => ({ name, partitions: PARTITIONS, replicationFactor: 1 })),
);
try {
  await fill();
  const results: (Measured & { readonly client: string; readonly round: number })[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const client of [nativeClient, nodeRdkafkaClient]) {
      results.push({ client: client.name, round, ...(await passThrough(client, round)) });
    }
  }
  console.table(
    results.map(({ perSecond, cpuMicrosPerRecord, ...rest }) => ({
      ...rest,
      'records/s': Math.round(perSecond),
      'CPU us/record': Number(cpuMicrosPerRecord.toFixed(2)),
    })),
  );
} finally {
  await admin.deleteTopics([input, output]);
  await admin.close();
}
