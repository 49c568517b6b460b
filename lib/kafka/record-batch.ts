/**
 * A polled batch of records, packed: one slab of bytes and typed-array columns.
 *
 * Crossing between JavaScript and the client once per batch instead of once per record is what makes this
 * library fast, so records are never objects here: record `i` is the i-th entry of every column, and its key,
 * value and headers are ranges of `data`. The slab is reused by the next poll into the same batch; whatever is
 * kept for longer is copied out.
 */

/** Bytes of one header block entry before its name: name length and value length, both int32 little endian. */
export const HEADER_PREFIX_BYTES = 8;

export interface RecordBatchOptions {
  /** Most records one poll may deliver. Default 4096. */
  readonly maxRecords?: number;
  /** Bytes of the slab; it grows only when a single record is larger than it. Default 4 MiB. */
  readonly slabBytes?: number;
}

export class RecordBatch {
  /** Keys, values and header blocks, back to back. Valid up to `bytes`. */
  data: Buffer;
  /** Records in the batch, 0 … maxRecords. */
  count = 0;
  /** Bytes of `data` in use. */
  bytes = 0;
  readonly maxRecords: number;

  /** Index into the consumer's interned topic names: `consumer.topicName(batch.topic[i])`. */
  readonly topic: Int32Array;
  readonly partition: Int32Array;
  /** Exact as a double: Kafka offsets stay far below 2^53. */
  readonly offset: Float64Array;
  /** The record's Kafka timestamp in epoch milliseconds (wall time, not event time); -1 when it has none. */
  readonly timestamp: Float64Array;
  /** Leader epoch of the record's batch; -1 when unknown. */
  readonly leaderEpoch: Int32Array;
  /** Position of the key in `data`; its length, or -1 for a null key. */
  readonly keyStart: Int32Array;
  readonly keyLength: Int32Array;
  /** Position of the value in `data`; its length, or -1 for a null value (a tombstone). */
  readonly valueStart: Int32Array;
  readonly valueLength: Int32Array;
  /**
   * Position, byte length and number of the headers. A block is, per header in order (repeats kept):
   * name length int32 LE, value length int32 LE (-1 is null), name bytes, value bytes.
   */
  readonly headersStart: Int32Array;
  readonly headersLength: Int32Array;
  readonly headersCount: Int32Array;

  constructor(options: RecordBatchOptions = {}) {
    const n = options.maxRecords ?? 4096;
    this.maxRecords = n;
    this.data = Buffer.allocUnsafeSlow(options.slabBytes ?? 4 * 1024 * 1024);
    const int32 = (): Int32Array => new Int32Array(n);
    this.topic = int32();
    this.partition = int32();
    this.offset = new Float64Array(n);
    this.timestamp = new Float64Array(n);
    this.leaderEpoch = int32();
    this.keyStart = int32();
    this.keyLength = int32();
    this.valueStart = int32();
    this.valueLength = int32();
    this.headersStart = int32();
    this.headersLength = int32();
    this.headersCount = int32();
  }
}
