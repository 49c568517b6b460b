import test from 'ava';
import { Prng, WeightedChoice } from '../../../apps/oracle-store/sample/prng.ts';
import { DAY_MICROS, instantOf } from '../../../apps/oracle-store/sample/rhythm.ts';
import fc from 'fast-check';

const draw = (seed: bigint, stream: string, n: number): number[] => {
  const random = new Prng(seed, stream);
  return Array.from({ length: n }, () => random.uint32());
};

test('a seed and a stream name give one sequence for ever', (t) => {
  t.deepEqual(draw(42n, 'flows', 4), draw(42n, 'flows', 4));
  t.deepEqual(draw(42n, 'flows', 4), [2064589845, 2627839006, 748057201, 2898577236]);
});

test('either half of the seed and the stream name change the sequence', (t) => {
  const sequences = [
    draw(42n, 'flows', 4),
    draw(43n, 'flows', 4),
    draw(42n + (1n << 32n), 'flows', 4),
    draw(42n, 'bank', 4),
  ].map(String);
  t.is(new Set(sequences).size, 4);
});

test('uniform draws fill their range evenly', (t) => {
  const random = new Prng(7n, 'uniform');
  const buckets = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i += 1) buckets[random.below(10)]! += 1;
  for (const count of buckets) t.true(Math.abs(count - 10_000) < 500, String(buckets));
});

test('weighted choices come in proportion to their weights, and a weight of zero never', (t) => {
  const random = new Prng(7n, 'weights');
  const choice = new WeightedChoice([1, 0, 3]);
  const counts = [0, 0, 0];
  for (let i = 0; i < 40_000; i += 1) counts[choice.draw(random)]! += 1;
  t.is(counts[1], 0);
  t.true(Math.abs(counts[2]! / counts[0]! - 3) < 0.15, String(counts));
});

test('the daily rhythm never runs backwards and a whole day is a day', (t) => {
  t.is(instantOf(0), 0);
  t.is(instantOf(1), DAY_MICROS);
  t.is(instantOf(3), 3 * DAY_MICROS);
  const share = fc.double({ min: 0, max: 5, noNaN: true });
  fc.assert(fc.property(share, share, (a, b) => instantOf(Math.min(a, b)) <= instantOf(Math.max(a, b))));
  t.pass();
});
