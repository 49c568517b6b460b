import { readFile } from 'node:fs/promises';
import test from 'ava';
import {
  countSerde,
  jsonSerde,
  nullable,
  stringSerde,
  TestDriver,
  timeWindowedSerde,
} from '../../lib/index.ts';
import { enrichment, type Account, type EnrichedPayment, type Payment } from '../../examples/enrichment.ts';
import { viewsPerMinute } from '../../examples/windowed-counts.ts';
import { wordCount } from '../../examples/word-count.ts';

test('word count counts words of all partitions together', (t) => {
  const driver = new TestDriver(wordCount(), { partitions: 3 });
  const lines = driver.input('lines', { value: stringSerde });
  lines.pipe({ value: 'To be, or not to be' });
  lines.pipe({ value: 'be' });
  const counts = new Map<string | null, number | null>();
  const output = driver.output('word-counts', { key: stringSerde, value: nullable(countSerde) });
  for (const { key, value } of output.read()) counts.set(key, value);
  t.deepEqual(Object.fromEntries(counts), { to: 2, be: 3, or: 1, not: 1 });
});

test('windowed counts are final, and late views are not lost', (t) => {
  const driver = new TestDriver(viewsPerMinute());
  const views = driver.input('page-views', { key: stringSerde, value: stringSerde });
  for (const timestamp of [1_000, 59_000, 61_000, 30_000, 71_000, 2_000]) {
    views.pipe({ key: '/home', value: 'view', timestamp });
  }
  const results = driver.output('views-per-minute', {
    key: timeWindowedSerde(stringSerde, 60_000),
    value: countSerde,
  });
  t.deepEqual(
    results.read().map(({ key, value }) => [key?.window.start, value]),
    [[0, 3]],
  );
  t.deepEqual(
    driver
      .output('late-views', { key: stringSerde, value: stringSerde })
      .read()
      .map((record) => record.timestamp),
    [2_000],
  );
});

test('a payment carries its account as known when it came, and null before that', (t) => {
  const driver = new TestDriver(enrichment());
  const payments = driver.input('payments', { key: stringSerde, value: jsonSerde<Payment>() });
  const accounts = driver.input('accounts', { key: stringSerde, value: jsonSerde<Account>() });
  payments.pipe({ key: 'a1', value: { amount: '1.00' } });
  accounts.pipe({ key: 'a1', value: { owner: 'Ann', country: 'AT' } });
  payments.pipe({ key: 'a1', value: { amount: '2.00' } });
  const seen = driver
    .output('enriched-payments', { key: stringSerde, value: jsonSerde<EnrichedPayment>() })
    .read();
  t.deepEqual(
    seen.map(({ value }) => value?.account?.owner ?? null),
    [null, 'Ann'],
  );
});

for (const name of ['word-count', 'windowed-counts', 'enrichment']) {
  test(`${name} is under 40 lines`, async (t) => {
    const source = await readFile(new URL(`../../examples/${name}.ts`, import.meta.url), 'utf8');
    t.true(source.trimEnd().split('\n').length < 40);
  });
}
