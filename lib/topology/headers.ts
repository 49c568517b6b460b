/**
 * Record headers in the packed form of a batch: per header a name length and a value length (int32 little endian,
 * -1 is null), the name and the value. Order and repeats are kept.
 */
import { HEADER_PREFIX_BYTES } from '../kafka/record-batch.ts';
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import type { Placement } from '../serde/serde.ts';

const EMPTY = Buffer.alloc(0);

/** A header block: a range of a slab, read in place. */
export class HeaderBlock {
  buffer: Buffer = EMPTY;
  start = 0;
  length = 0;
  count = 0;

  /** The last value of a header as text (Kafka's "last header" rule); undefined when absent, null when null. */
  text(name: string): string | null | undefined {
    let found: string | null | undefined;
    for (const [header, value] of this)
      if (header === name) found = value === null ? null : value.toString('utf8');
    return found;
  }

  /** Name and value of each header in order. The values share memory with the slab. */
  *[Symbol.iterator](): IterableIterator<[name: string, value: Buffer | null]> {
    let at = this.start;
    for (let i = 0; i < this.count; i++) {
      const nameLength = this.buffer.readInt32LE(at);
      const valueLength = this.buffer.readInt32LE(at + 4);
      at += HEADER_PREFIX_BYTES;
      const name = this.buffer.toString('utf8', at, at + nameLength);
      at += nameLength;
      if (valueLength < 0) {
        yield [name, null];
      } else {
        yield [name, this.buffer.subarray(at, at + valueLength)];
        at += valueLength;
      }
    }
  }
}

/** Collects the headers of one outgoing record. Reused; a sink places the block when the record is complete. */
export class HeaderWriter {
  #scratch = Buffer.allocUnsafeSlow(1024);
  #used = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  clear(): void {
    this.#used = 0;
    this.#count = 0;
  }

  /** Adds a header with a UTF-8 text value; null is a header without a value. */
  add(name: string, value: string | null): this {
    this.#room(HEADER_PREFIX_BYTES + (name.length + (value === null ? 0 : value.length)) * 3);
    const at = this.#used;
    const nameLength = this.#scratch.write(name, at + HEADER_PREFIX_BYTES, 'utf8');
    const valueLength =
      value === null ? -1 : this.#scratch.write(value, at + HEADER_PREFIX_BYTES + nameLength, 'utf8');
    this.#scratch.writeInt32LE(nameLength, at);
    this.#scratch.writeInt32LE(valueLength, at + 4);
    this.#used = at + HEADER_PREFIX_BYTES + nameLength + Math.max(valueLength, 0);
    this.#count += 1;
    return this;
  }

  /** Copies a block's headers behind those already added. */
  addAll(block: HeaderBlock): this {
    this.#room(block.length);
    block.buffer.copy(this.#scratch, this.#used, block.start, block.start + block.length);
    this.#used += block.length;
    this.#count += block.count;
    return this;
  }

  /** Copies the block into the batch's arena. */
  place(batch: OutgoingBatch, placement: Placement): void {
    batch.reserve(this.#used);
    this.#scratch.copy(batch.arena, batch.arenaPosition, 0, this.#used);
    placement.source = batch.arenaSource;
    placement.start = batch.arenaPosition;
    placement.length = this.#used;
    batch.advance(this.#used);
  }

  #room(bytes: number): void {
    if (this.#used + bytes <= this.#scratch.length) return;
    const wider = Buffer.allocUnsafeSlow(Math.max(this.#scratch.length * 2, this.#used + bytes));
    this.#scratch.copy(wider, 0, 0, this.#used);
    this.#scratch = wider;
  }
}
