/** Kafka's default partitioner: murmur2 of the key bytes, as in the Java client (seed 0x9747b28c). */

const M = 0x5bd1e995;

/** 32-bit murmur2 of a range of bytes. */
export function murmur2(data: Uint8Array, start = 0, length = data.length - start): number {
  let h = (0x9747b28c ^ length) | 0;
  let i = start;
  const blocksEnd = start + (length & ~3);
  while (i < blocksEnd) {
    let k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
    k = Math.imul(k, M);
    k ^= k >>> 24;
    k = Math.imul(k, M);
    h = Math.imul(h, M) ^ k;
    i += 4;
  }
  const rest = length & 3;
  if (rest === 3) h ^= data[i + 2]! << 16;
  if (rest >= 2) h ^= data[i + 1]! << 8;
  if (rest >= 1) {
    h ^= data[i]!;
    h = Math.imul(h, M);
  }
  h ^= h >>> 13;
  h = Math.imul(h, M);
  h ^= h >>> 15;
  return h;
}

/** The partition of a key, 0 … count-1: the same for every producer on the bus. */
export function partitionOf(data: Uint8Array, start: number, length: number, count: number): number {
  return (murmur2(data, start, length) & 0x7fffffff) % count;
}
