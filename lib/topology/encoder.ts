/** A value's bytes outside of any batch, for serdes that enclose other serdes and for hashing. */
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { Bytes, type Placement, type Serde } from '../serde/serde.ts';

const TWO_TO_32 = 0x1_0000_0000;

/** Bytes of an encoded 64-bit number. */
export const INT64_BYTES = 8;

export class Encoder<T> {
  readonly #serde: Serde<T>;
  readonly #batch = new OutgoingBatch(1);
  readonly #placement: Placement = { source: 0, start: 0, length: 0 };

  constructor(serde: Serde<T>) {
    this.#serde = serde;
  }

  /** A view of the value's bytes, valid until the next call. */
  encode(value: T): Buffer {
    this.#batch.reset();
    const placement = this.#placement;
    this.#serde.serialize(value, this.#batch, placement);
    const source = this.#batch.sources[placement.source]!;
    return source.subarray(placement.start, placement.start + placement.length);
  }
}

/** Reads a value that is a part of a larger range. */
export class Decoder<T> {
  readonly #serde: Serde<T>;
  readonly #cursor = new Bytes();

  constructor(serde: Serde<T>) {
    this.#serde = serde;
  }

  decode(buffer: Buffer, start: number, length: number): T {
    this.#cursor.buffer = buffer;
    this.#cursor.start = start;
    this.#cursor.length = length;
    return this.#serde.deserialize(this.#cursor);
  }
}

/** Writes a safe integer as a signed 64-bit big-endian number, without a BigInt. */
export function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / TWO_TO_32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * TWO_TO_32, at + 4);
}

export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * TWO_TO_32 + buffer.readUInt32BE(at + 4);
}

/** `prepare` of a serde that encloses others: theirs, as far as they have one. */
export function preparing(...serdes: readonly Serde<unknown>[]): { prepare?(): Promise<void> } {
  const waiting = serdes.filter((serde) => serde.prepare !== undefined);
  if (waiting.length === 0) return {};
  return {
    async prepare() {
      await Promise.all(waiting.map((serde) => serde.prepare!()));
    },
  };
}
