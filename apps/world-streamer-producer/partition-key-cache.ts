/**
 * Partition keys of 64-bit ids: sha256 of the decimal text as 64 hex digits, and the partition that murmur2 of
 * those digits gives. The rows of a flow lie close together, so a small direct-mapped table saves most of the hashing.
 */
import { hash } from 'node:crypto';

import { partitionOf } from '../../lib/index.ts';
import { INT64_TEXT_BYTES, writeInt64 } from './decimal-text.ts';

export const PARTITION_KEY_BYTES = 64;

/** A power of two: 65,536 entries take 5 MB. */
const SLOTS = 1 << 16;

export class PartitionKeyCache {
  /** Key texts, 64 bytes per slot: read `keys` at `slot * 64` until the next `slotOf`. */
  readonly keys = Buffer.alloc(SLOTS * PARTITION_KEY_BYTES);
  /** Partition by slot. */
  readonly partitions = new Int32Array(SLOTS).fill(-1);
  readonly #words = new Int32Array(SLOTS * 2);
  readonly #signs = new Uint8Array(SLOTS);
  readonly #partitionCount: number;
  readonly #text = Buffer.alloc(INT64_TEXT_BYTES);

  constructor(partitionCount: number) {
    this.#partitionCount = partitionCount;
  }

  /** The slot that holds the key of an id, given as two words. */
  slotOf(low: number, high: number, signed: boolean): number {
    const slot = (Math.imul(low ^ Math.imul(high, 0x9e37_79b1), 0x85eb_ca6b) >>> 16) & (SLOTS - 1);
    const sign = signed ? 1 : 0;
    if (
      this.partitions[slot]! >= 0 &&
      this.#words[2 * slot] === low &&
      this.#words[2 * slot + 1] === high &&
      this.#signs[slot] === sign
    ) {
      return slot;
    }
    const length = writeInt64(low, high, signed, this.#text, 0);
    const start = slot * PARTITION_KEY_BYTES;
    this.keys.write(hash('sha256', this.#text.subarray(0, length), 'hex'), start, 'latin1');
    this.partitions[slot] = partitionOf(this.keys, start, PARTITION_KEY_BYTES, this.#partitionCount);
    this.#words[2 * slot] = low;
    this.#words[2 * slot + 1] = high;
    this.#signs[slot] = sign;
    return slot;
  }
}
