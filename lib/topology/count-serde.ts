/** Counts, as Kafka's LongSerializer writes them: 8 bytes, big endian. */
import { SerdeError, type Serde } from '../serde/serde.ts';
import { INT64_BYTES, readInt64, writeInt64 } from './encoder.ts';

export const countSerde: Serde<number> = {
  deserialize(bytes) {
    if (bytes.length !== INT64_BYTES) {
      throw new SerdeError(
        `a count has 8 bytes, not ${bytes.length}`,
        bytes.length < INT64_BYTES ? 'TRUNCATED' : 'TRAILING_BYTES',
      );
    }
    return readInt64(bytes.buffer, bytes.start);
  },
  serialize(value, batch, placement) {
    batch.reserve(INT64_BYTES);
    writeInt64(batch.arena, value, batch.arenaPosition);
    placement.source = batch.arenaSource;
    placement.start = batch.arenaPosition;
    placement.length = INT64_BYTES;
    batch.advance(INT64_BYTES);
  },
};
