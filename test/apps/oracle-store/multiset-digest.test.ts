import { createHash } from 'node:crypto';
import { DuckDBInstance } from '@duckdb/node-api';
import test from 'ava';
import fc from 'fast-check';
import {
  digestOfSums,
  digestSql,
  doubleText,
  MultisetDigest,
  NULL_TEXT,
  SEPARATOR,
} from '../../../apps/oracle-store/multiset-digest.ts';

const digestOf = (rows: readonly string[]): string => {
  const digest = new MultisetDigest();
  for (const row of rows) digest.add(row);
  return digest.hex();
};

/** The definition, said with big integers only. */
const definition = (rows: readonly string[]): string => {
  let sum = 0n;
  for (const row of rows) sum += BigInt('0x' + createHash('sha256').update(row).digest('hex').slice(0, 32));
  return (sum % (1n << 128n)).toString(16).padStart(32, '0');
};

test('CI-11 the digest is the sum of row hashes, whatever their order and however they are cut', (t) => {
  fc.assert(
    fc.property(fc.array(fc.string(), { maxLength: 50 }), fc.nat(50), (rows, cut) => {
      const expected = definition(rows);
      t.is(digestOf(rows), expected);
      t.is(digestOf([...rows.slice(cut), ...rows.slice(0, cut)].reverse()), expected);
    }),
  );
});

test('a row more, less, twice or changed changes the digest', (t) => {
  const digests = [['a', 'b'], ['a'], ['a', 'b', 'b'], ['a', 'c'], []].map(digestOf);
  t.is(new Set(digests).size, 5);
});

test('SQL and JavaScript give the same digest for integers at their limits, doubles, nulls and any text', async (t) => {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  await connection.run('CREATE TABLE rows (u UBIGINT, i BIGINT, d DOUBLE, b BOOLEAN, "T" VARCHAR)');
  const rows = [
    [18446744073709551615n, -9223372036854775808n, 12.34, true, 'naïve – 雪'],
    [0n, 9223372036854775807n, 1e-7, false, ''],
    [1n, 0n, -1e300, null, null],
    [null, null, null, null, 'x'],
    [2n, 2n, 0.1 + 0.2, true, "it's"],
  ] as const;
  const literal = (value: string | number | bigint | boolean | null): string =>
    typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : String(value);
  for (const row of rows) await connection.run(`INSERT INTO rows VALUES (${row.map(literal).join(', ')})`);
  const columns = ['u', 'i', 'd', 'b', 'T'].map((name) => ({ name, isDouble: name === 'd' }));
  const [count, upper, lower] = (
    await connection.runAndReadAll(digestSql(columns, 'rows'))
  ).getRows()[0] as bigint[];
  const text = (value: string | number | bigint | boolean | null): string =>
    value === null ? NULL_TEXT : typeof value === 'number' ? doubleText(value) : String(value);
  // Column names in code unit order: T, b, d, i, u.
  const texts = rows.map(([u, i, d, b, name]) => [name, b, d, i, u].map(text).join(SEPARATOR));
  t.is(count, 5n);
  t.is(digestOfSums(upper!, lower!), digestOf(texts));
  connection.closeSync();
  instance.closeSync();
});

test('doubles are written as C writes %.17e', (t) => {
  t.is(doubleText(12.34), '1.23399999999999999e+01');
  t.is(doubleText(1e-7), '9.99999999999999955e-08');
  t.is(doubleText(1e300), '1.00000000000000005e+300');
  t.is(doubleText(0), '0.00000000000000000e+00');
});
