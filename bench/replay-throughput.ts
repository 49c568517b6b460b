/**
 * Replay at full speed: four outputs merged, framed and sent exactly-once into the ingress topic, beside what the bare
 * client reaches with records of the same size in the same transactions.
 *
 *   node --import=tsx bench/replay-throughput.ts [flows, default 100000; five events each]
 *
 * Needs the stack's settings in the environment; makes and deletes its own topics and buckets. Prints one JSON line.
 */
import { pino } from 'pino';

import type { RunCursor } from '../apps/world-streamer-producer/run-cursor.ts';
import { WorldStreamer } from '../apps/world-streamer-producer/world-streamer.ts';
import { nativeClient, OutgoingBatch, transactionalProducerDefaults } from '../lib/index.ts';
import { PARTITIONS, WorldStreamerFixture } from '../test/integration/world-streamer-fixture.ts';

const flows = Number(process.argv[2] ?? 100_000);
const events = flows * 5;
const VALUE_BYTES = 600;
const BATCH = 4096;
const BATCHES_PER_TRANSACTION = 4;

const fixture = new WorldStreamerFixture();
const context = fixture.context();

function sentOf(cursor: RunCursor): number {
  return cursor.outputs.reduce((sum, output) => sum + output.sent, 0);
}

/** Events per second of the bare client. */
async function ceiling(): Promise<number> {
  const producer = nativeClient.createProducer({
    ...transactionalProducerDefaults,
    ...context.kafkaConfig,
    'transactional.id': `${fixture.prefix}ceiling`,
  });
  await producer.initTransactions(30_000);
  const batches = [new OutgoingBatch(BATCH), new OutgoingBatch(BATCH)];
  const value = Buffer.alloc(VALUE_BYTES, 'x');
  const key = 'k'.repeat(64);
  for (const batch of batches) {
    for (let i = 0; i < BATCH; i += 1)
      batch.add({ topic: fixture.topics.ingress, partition: i % PARTITIONS, key, value });
  }
  const begun = performance.now();
  let sent = 0;
  while (sent < events) {
    producer.beginTransaction();
    for (let i = 0; i < BATCHES_PER_TRANSACTION; i += 1) {
      await producer.produce(batches[i % 2]!);
      sent += BATCH;
    }
    await producer.commitTransaction(30_000);
  }
  const seconds = (performance.now() - begun) / 1000;
  await producer.close(30_000);
  return sent / seconds;
}

await fixture.open(flows);
try {
  globalThis.gc?.();
  const rssBefore = process.memoryUsage.rss();
  let peakRss = rssBefore;
  let begun = NaN;
  let sentBefore = 0;
  let ended: readonly RunCursor[] = [];
  let endedAt = NaN;
  const streamer = new WorldStreamer(
    {
      ...context,
      onCursor: (cursor) => {
        // From the first transaction on: before it lie verification and the first part's download.
        if (Number.isNaN(begun)) {
          begun = performance.now();
          sentBefore = sentOf(cursor);
        }
        peakRss = Math.max(peakRss, process.memoryUsage.rss());
      },
    },
    pino({ level: 'warn' }, pino.destination(2)),
    (cursor) => {
      endedAt = performance.now();
      ended = [cursor];
      streamer.stop();
    },
  );
  await fixture.ready('bench');
  const cpu = process.cpuUsage();
  await streamer.run();
  const { user, system } = process.cpuUsage(cpu);
  const [cursor] = ended;
  const sent = sentOf(cursor!);
  const seconds = (endedAt - begun) / 1000;
  const bare = await ceiling();
  const result = {
    events: sent,
    state: cursor!.state,
    seconds: Number(seconds.toFixed(2)),
    events_per_second: Math.round((sent - sentBefore) / seconds),
    bare_client_events_per_second: Math.round(bare),
    cpu_us_per_event: Number(((user + system) / sent).toFixed(2)),
    rss_mib_before: Math.round(rssBefore / 2 ** 20),
    rss_mib_peak: Math.round(peakRss / 2 ** 20),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await fixture.close();
}
