/** A value with the event time of the record it came from: what tables and aggregates keep (KIP-258). */
import type { Bytes, Placement, Serde } from '../serde/serde.ts';
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { SerdeError } from '../serde/serde.ts';
import { Decoder, Encoder, INT64_BYTES, preparing, readInt64, writeInt64 } from './encoder.ts';

export interface Timestamped<V> {
  readonly value: V;
  /** Event time, epoch milliseconds. */
  readonly timestamp: number;
}

/** Kafka Streams' layout: 8 bytes of time (big endian), then the value. */
export function timestampedSerde<V>(value: Serde<V>): Serde<Timestamped<V>> {
  const encoder = new Encoder(value);
  const decoder = new Decoder(value);
  return {
    deserialize(bytes: Bytes) {
      const { buffer, start, length } = bytes;
      if (length < INT64_BYTES) throw new SerdeError('a timestamped value has 8 bytes of time', 'TRUNCATED');
      return {
        timestamp: readInt64(buffer, start),
        value: decoder.decode(buffer, start + INT64_BYTES, length - INT64_BYTES),
      };
    },
    serialize(timestamped, batch: OutgoingBatch, placement: Placement) {
      const content = encoder.encode(timestamped.value);
      const length = INT64_BYTES + content.length;
      batch.reserve(length);
      const at = batch.arenaPosition;
      writeInt64(batch.arena, timestamped.timestamp, at);
      content.copy(batch.arena, at + INT64_BYTES);
      placement.source = batch.arenaSource;
      placement.start = at;
      placement.length = length;
      batch.advance(length);
    },
    ...preparing(value),
  };
}
