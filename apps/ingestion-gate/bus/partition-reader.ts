/** Reads a range of one partition, committed records only: for archives and for looking a record up by its place. */
import { nativeClient, RecordBatch, type KafkaClient } from '../../../lib/index.ts';

export interface OffsetRange {
  readonly topic: string;
  readonly partition: number;
  /** Inclusive. */
  readonly first: number;
  /** Inclusive. */
  readonly last: number;
}

const CALL_TIMEOUT_MS = 10_000;
/** A broker that delivers nothing for this long has been waited for enough; the caller may try again. */
const SILENCE_MS = 20_000;

export class PartitionReader {
  readonly #bootstrapServers: string;
  readonly #client: KafkaClient;
  readonly #batch = new RecordBatch({ maxRecords: 4096, slabBytes: 4 * 1024 * 1024 });

  constructor(bootstrapServers: string, client: KafkaClient = nativeClient) {
    this.#bootstrapServers = bootstrapServers;
    this.#client = client;
  }

  /**
   * Visits the records of the range that the log still holds, in offset order, and gives the log's start. Records are
   * valid during the visit only. One read at a time.
   */
  async read(range: OffsetRange, visit: (batch: RecordBatch, i: number) => void): Promise<number> {
    const { topic, partition, first, last } = range;
    // A client for each range: nothing that an earlier one has fetched can come in between.
    const consumer = this.#client.createConsumer({
      'bootstrap.servers': this.#bootstrapServers,
      // librdkafka wants a group even from a reader that never joins one.
      'group.id': 'fp.bus-reader',
      'client.id': 'bus-reader',
      'enable.partition.eof': true,
      'auto.offset.reset': 'earliest',
      // What is fetched beyond the range is thrown away.
      'queued.max.messages.kbytes': 8 * 1024,
    });
    try {
      const marks = await consumer.watermarks([{ topic, partition }], 'read_committed', CALL_TIMEOUT_MS);
      const { low, high } = marks[0]!;
      let next = Math.max(first, low);
      if (next > last || next >= high) return low;
      consumer.assign([{ topic, partition, offset: next }]);
      const batch = this.#batch;
      let heardAt = performance.now();
      while (next <= last && next < high) {
        const count = consumer.poll(batch);
        for (let i = 0; i < count && next <= last; i += 1) {
          next = batch.offset[i]! + 1;
          if (next <= last + 1) visit(batch, i);
        }
        for (const event of consumer.takeEvents()) {
          if (event.type === 'error' && event.error.fatal) throw event.error;
          // The last offsets may be transaction markers, so only reaching the end tells that nothing is left.
          if (event.type === 'end') next = Math.max(next, event.offset);
        }
        if (count > 0) heardAt = performance.now();
        else if (performance.now() - heardAt > SILENCE_MS) {
          throw new Error(`${topic}/${partition} delivers nothing from offset ${next} on: is the broker up?`);
        }
        if (count === 0) await consumer.wait(200);
      }
      return low;
    } finally {
      await consumer.close();
    }
  }
}
