/** Reads a topic from one end to the other, committed records only, and stops there: for tails, counts and proofs. */
import {
  nativeClient,
  NotReady,
  OFFSET_BEGINNING,
  RecordBatch,
  type KafkaClient,
  type TopicPartition,
  type TopicPartitionOffset,
} from '../../../lib/index.ts';

export interface TopicReadOptions {
  readonly bootstrapServers: string;
  readonly topic: string;
  readonly client?: KafkaClient;
  /** Where each partition starts: the beginning, or the first record at or after a wall time (epoch ms). */
  readonly from?: 'beginning' | { readonly timestampMs: number };
  /** Read on past the end as records come, until the signal stops it. */
  readonly follow?: AbortSignal;
}

/** What a visitor sees: a batch, and which of its records. Return false to stop reading. */
export type RecordVisitor = (batch: RecordBatch, i: number) => boolean;

const TIMEOUT_MS = 30_000;

/**
 * Visits every committed record between the start and the log end as it was when the call began. Records come in
 * offset order per partition.
 */
export async function readTopic(options: TopicReadOptions, visit: RecordVisitor): Promise<void> {
  const { topic, bootstrapServers, client = nativeClient } = options;
  const consumer = client.createConsumer({
    'bootstrap.servers': bootstrapServers,
    // librdkafka wants a group even from a reader that never joins one.
    'group.id': 'fp.bus-reader',
    'enable.partition.eof': true,
    'auto.offset.reset': 'earliest',
  });
  try {
    const count = (await consumer.partitionCounts([topic], TIMEOUT_MS)).get(topic);
    if (count === undefined)
      throw new Error(`there is no topic ${topic}; \`npm run topology:apply\` makes the platform's`);
    const partitions: TopicPartition[] = Array.from({ length: count }, (_, partition) => ({
      topic,
      partition,
    }));
    const ends = await consumer.watermarks(partitions, 'read_committed', TIMEOUT_MS);
    const unfinished = new Map(ends.map(({ partition, low, high }) => [partition, { low, high }]));
    consumer.assign(await startsOf(options, partitions, consumer));
    if (options.follow === undefined) {
      for (const [partition, { low, high }] of unfinished) if (high <= low) unfinished.delete(partition);
    }
    const batch = new RecordBatch();
    while (unfinished.size > 0 && options.follow?.aborted !== true) {
      const polled = consumer.poll(batch);
      for (let i = 0; i < polled; i++) {
        const end = unfinished.get(batch.partition[i]!);
        if (end === undefined || (options.follow === undefined && batch.offset[i]! >= end.high)) continue;
        const more = visited(visit, batch, i);
        if (!(typeof more === 'boolean' ? more : await more)) return;
      }
      for (const event of consumer.takeEvents()) {
        if (event.type === 'error' && event.error.fatal) throw event.error;
        // The last offsets may be transaction markers, so only reaching the end tells that nothing is left.
        const end = event.type === 'end' ? unfinished.get(event.partition) : undefined;
        if (
          event.type === 'end' &&
          options.follow === undefined &&
          end !== undefined &&
          event.offset >= end.high
        ) {
          unfinished.delete(event.partition);
        }
      }
      if (polled === 0) await consumer.wait(100);
      else await new Promise((next) => setImmediate(next));
    }
  } finally {
    await consumer.close();
  }
}

/** A visitor that finds something missing (a schema) is called again for the same record when it is there. */
function visited(visit: RecordVisitor, batch: RecordBatch, i: number): boolean | Promise<boolean> {
  try {
    return visit(batch, i);
  } catch (error) {
    if (!(error instanceof NotReady)) throw error;
    return error.ready.then(() => visited(visit, batch, i));
  }
}

async function startsOf(
  options: TopicReadOptions,
  partitions: readonly TopicPartition[],
  consumer: ReturnType<KafkaClient['createConsumer']>,
): Promise<TopicPartitionOffset[]> {
  const { from = 'beginning' } = options;
  if (from === 'beginning') return partitions.map((one) => ({ ...one, offset: OFFSET_BEGINNING }));
  return consumer.offsetsForTimes(
    partitions.map((one) => ({ ...one, timestampMs: from.timestampMs })),
    TIMEOUT_MS,
  );
}
