/** Reads a topic from one end to the other, committed records only, and stops there: for tails, counts and proofs. */
import {
  nativeClient,
  NotReady,
  RecordBatch,
  type Consumer,
  type KafkaClient,
  type TopicPartitionOffset,
  type Watermarks,
} from '../../../lib/index.ts';

/**
 * Where each partition starts: the log's beginning, the first record at or after a wall time (epoch ms), or these
 * offsets (those partitions only).
 */
export type ReplayStart =
  'beginning' | { readonly timestampMs: number } | { readonly offsets: ReadonlyMap<number, number> };

/** What a read covers, in coordinates: enough to read the same again. */
export interface ReplayBasis {
  readonly topic: string;
  /** By partition: `from` inclusive, `to` exclusive; both count transaction markers. */
  readonly partitions: readonly { readonly partition: number; readonly from: number; readonly to: number }[];
}

export interface TopicReadOptions {
  readonly bootstrapServers: string;
  readonly topic: string;
  readonly client?: KafkaClient;
  /** Default the beginning. */
  readonly from?: ReplayStart;
  /** Read on past the end as records come, until the signal stops it. */
  readonly follow?: AbortSignal;
  /** Told before the first record. */
  readonly onBasis?: (basis: ReplayBasis) => void;
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
    const ends = await endsOf(consumer, topic);
    const starts = await startsOf(options, ends, consumer);
    const from = new Map(starts.map(({ partition, offset }) => [partition, offset]));
    const read = ends.filter(({ partition }) => from.has(partition));
    options.onBasis?.({
      topic,
      partitions: read.map(({ partition, high }) => ({ partition, from: from.get(partition)!, to: high })),
    });
    const unfinished = new Map(read.map((end) => [end.partition, end]));
    if (options.follow === undefined) {
      for (const { partition, high } of read) if (high <= from.get(partition)!) unfinished.delete(partition);
    }
    consumer.assign(starts);
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

/** Log start and last stable offset of every partition. */
export async function topicEnds(
  bootstrapServers: string,
  topic: string,
  client: KafkaClient = nativeClient,
): Promise<readonly Watermarks[]> {
  const consumer = client.createConsumer({
    'bootstrap.servers': bootstrapServers,
    'group.id': 'fp.bus-reader',
  });
  try {
    return await endsOf(consumer, topic);
  } finally {
    await consumer.close();
  }
}

async function endsOf(consumer: Consumer, topic: string): Promise<readonly Watermarks[]> {
  const count = (await consumer.partitionCounts([topic], TIMEOUT_MS)).get(topic);
  if (count === undefined)
    throw new Error(`there is no topic ${topic}; \`npm run topology:apply\` makes the platform's`);
  const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }));
  return consumer.watermarks(partitions, 'read_committed', TIMEOUT_MS);
}

/** Offsets to start from, never before the log's start. Throws a RangeError for a partition that there is not. */
async function startsOf(
  options: TopicReadOptions,
  ends: readonly Watermarks[],
  consumer: Consumer,
): Promise<TopicPartitionOffset[]> {
  const { from = 'beginning' } = options;
  if (from === 'beginning')
    return ends.map(({ topic, partition, low }) => ({ topic, partition, offset: low }));
  if ('offsets' in from) {
    return [...from.offsets].map(([partition, offset]) => {
      const end = ends.find((each) => each.partition === partition);
      if (end === undefined) {
        throw new RangeError(
          `${options.topic} has partitions 0 to ${ends.length - 1}, not ${String(partition)}`,
        );
      }
      return { topic: end.topic, partition, offset: Math.max(offset, end.low) };
    });
  }
  const found = await consumer.offsetsForTimes(
    ends.map(({ topic, partition }) => ({ topic, partition, timestampMs: from.timestampMs })),
    TIMEOUT_MS,
  );
  // No record is that late: the end, as a number.
  return found.map((one) => ({
    ...one,
    offset: one.offset < 0 ? ends.find(({ partition }) => partition === one.partition)!.high : one.offset,
  }));
}
