import test from 'ava';
import fc from 'fast-check';
import { murmur2, partitionOf } from '../../../lib/kafka/murmur2.ts';

/** Values of the Java client's own test (UtilsTest.testMurmur2). */
const JAVA: readonly (readonly [string, number])[] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
];

test("murmur2 gives the Java client's values", (t) => {
  for (const [key, hash] of JAVA) t.is(murmur2(Buffer.from(key)), hash, key);
});

test('a range of a larger buffer hashes as the bytes alone, whatever surrounds them', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), fc.uint8Array(), (before, key, after) => {
      const slab = Buffer.concat([before, key, after]);
      t.is(murmur2(slab, before.length, key.length), murmur2(key));
    }),
  );
});

test('a partition is always one of the topic', (t) => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 1000 }), (key, count) => {
      const partition = partitionOf(key, 0, key.length, count);
      t.true(Number.isInteger(partition) && partition >= 0 && partition < count);
    }),
  );
});
