import test from 'ava';
import fc from 'fast-check';
import { CompiledSchema } from '../../../lib/serde/compiled-schema.ts';
import { compileAvro } from '../../../lib/serde/compile-avro.ts';
import { SerdeError } from '../../../lib/serde/serde.ts';
import { inSlab } from './slab.ts';

const LONG_EDGES = [
  0n,
  1n,
  -1n,
  63n,
  64n,
  -64n,
  -65n,
  2n ** 27n,
  -(2n ** 27n) - 1n,
  2n ** 28n,
  2n ** 31n,
  2n ** 52n,
]
  .concat([
    2n ** 52n + 1n,
    -(2n ** 52n),
    -(2n ** 52n) - 1n,
    2n ** 53n - 1n,
    -(2n ** 53n) + 1n,
    2n ** 53n,
    -(2n ** 53n),
  ])
  .concat([2n ** 55n - 1n, 2n ** 55n, 2n ** 56n, 2n ** 62n, 2n ** 63n - 1n, -(2n ** 63n), -(2n ** 63n) + 1n]);

/** The specification's zigzag varint, written for clarity. */
function varint(value: bigint): Buffer {
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
  const bytes: number[] = [];
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const big = compileAvro('long', { longs: 'bigint' });
const exact = compileAvro('long');
const aLong = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.constantFrom(...LONG_EDGES));

test('bigint longs hold every 64-bit integer, in the bytes that the specification gives', (t) => {
  fc.assert(
    fc.property(aLong, (value) => {
      const bytes = varint(value);
      t.deepEqual(big.toBuffer(value), bytes);
      t.is(big.fromBuffer(bytes), value);
    }),
    { numRuns: 1000 },
  );
});

test('number longs are exact within ±(2^53 - 1) and refuse the rest', (t) => {
  fc.assert(
    fc.property(aLong, (value) => {
      const bytes = varint(value);
      const number = Number(value);
      if (Number.isSafeInteger(number)) {
        t.deepEqual(exact.toBuffer(number), bytes);
        t.is(BigInt(exact.fromBuffer(bytes) as number), value);
      } else {
        t.throws(() => exact.fromBuffer(bytes) as unknown, {
          message: new RegExp(`^long ${value} does not fit`),
        });
        t.throws(() => exact.toBuffer(number), { message: /^invalid "long"/ });
      }
    }),
    { numRuns: 1000 },
  );
});

test('a long out of range is a SerdeError that names the value', (t) => {
  const json = { type: 'record', name: 'R', fields: [{ name: 'n', type: 'long' }] };
  const wide = new CompiledSchema(7, json, { longs: 'bigint' });
  const narrow = new CompiledSchema(7, json);
  const error = t.throws(() => narrow.decode(inSlab(wide.encode({ n: 2n ** 60n }))), {
    instanceOf: SerdeError,
  });
  t.regex(error.message, /1152921504606846976/);
  t.is(error.code, 'MALFORMED');
  t.throws(() => narrow.encode({ n: 2 ** 53 }), {
    instanceOf: SerdeError,
    message: /at n: invalid "long": 9007199254740992/,
  });
  t.throws(() => wide.encode({ n: 5 }), { instanceOf: SerdeError, message: /a bigint is expected/ });
  t.throws(() => wide.encode({ n: 2n ** 63n }), { instanceOf: SerdeError });
});

test('a varint of more than 64 bits is refused, not wrapped', (t) => {
  for (const tail of [[0x02], [0x81, 0x00], [0xff, 0x01]]) {
    const bytes = Buffer.from([...new Array<number>(9).fill(0xff), ...tail]);
    t.throws(() => big.fromBuffer(bytes) as unknown, { message: /more than 64 bits/ });
  }
});

test('the object form of long is covered too, with and without a logical type', (t) => {
  const type = compileAvro(
    {
      type: 'record',
      name: 'R',
      fields: [
        { name: 'a', type: { type: 'long' } },
        { name: 'b', type: { type: 'long', logicalType: 'timestamp-micros' } },
        { name: 'c', type: ['null', { type: 'long', logicalType: 'timestamp-millis' }] },
      ],
    },
    { longs: 'bigint' },
  );
  const value = { a: 2n ** 63n - 1n, b: -(2n ** 63n), c: 2n ** 60n };
  t.deepEqual({ ...(type.fromBuffer(type.toBuffer(value)) as object) }, value);
});

test('longs promoted to double keep their sign and value', (t) => {
  for (const value of LONG_EDGES) {
    for (const [reader, expected] of [
      ['double', Number(value)],
      ['float', Number(value)],
    ] as const) {
      const readerType = compileAvro(reader);
      const resolver = readerType.createResolver(exact);
      t.is(readerType.fromBuffer(varint(value), resolver) as number, expected);
    }
  }
});

test('an int beyond 32 bits is refused', (t) => {
  const type = compileAvro('int');
  for (const value of [2n ** 31n - 1n, -(2n ** 31n), 0n, -1n]) {
    t.is(type.fromBuffer(varint(value)) as number, Number(value));
  }
  for (const value of [2n ** 31n, -(2n ** 31n) - 1n, 2n ** 32n, 2n ** 63n - 1n]) {
    t.throws(() => type.fromBuffer(varint(value)) as unknown, { message: `int ${value} is beyond 32 bits` });
  }
});

test('writer int reads as long, in both representations', (t) => {
  const writer = compileAvro('int');
  const bytes = writer.toBuffer(-123456);
  t.is(exact.fromBuffer(bytes, exact.createResolver(writer)) as number, -123456);
  t.is(big.fromBuffer(bytes, big.createResolver(writer)) as bigint, -123456n);
});

test('timestamp-micros is a bigint only when asked for', (t) => {
  const schema = { type: 'long', logicalType: 'timestamp-micros' };
  t.is(compileAvro(schema).fromBuffer(varint(1_700_000_000_000_000n)) as number, 1_700_000_000_000_000);
  const type = compileAvro(schema, { logicalTypes: ['timestamp-micros'] });
  t.is(type.fromBuffer(varint(2n ** 60n)) as bigint, 2n ** 60n);
});

test('decimal is text with its scale, over bytes and fixed, for every unscaled value', (t) => {
  const logicalTypes = ['decimal'] as const;
  const decimal = { logicalType: 'decimal', precision: 20, scale: 2 };
  const bytes = compileAvro({ type: 'bytes', ...decimal }, { logicalTypes });
  const fixed = compileAvro({ type: 'fixed', name: 'D', size: 9, ...decimal }, { logicalTypes });
  const limit = 10n ** 20n - 1n;
  fc.assert(
    fc.property(
      fc.oneof(fc.bigInt({ min: -limit, max: limit }), fc.integer({ min: -300, max: 300 }).map(BigInt)),
      (unscaled) => {
        const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(3, '0');
        const text = `${unscaled < 0n ? '-' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`;
        for (const type of [bytes, fixed]) t.is(type.fromBuffer(type.toBuffer(text)) as string, text);
      },
    ),
  );
  t.deepEqual(bytes.toBuffer('1.28'), Buffer.from([4, 0x00, 0x80]));
  t.deepEqual(bytes.toBuffer('-1.28'), Buffer.from([2, 0x80]));
  t.is(bytes.fromBuffer(bytes.toBuffer('7')) as string, '7.00');
  for (const wrong of ['1.234', '1e3', 1.5, '', '.5', '01.00', '1'.repeat(19)]) {
    t.throws(() => bytes.toBuffer(wrong), undefined, String(wrong));
  }
  const narrower = compileAvro({ type: 'bytes', ...decimal, scale: 3 }, { logicalTypes });
  t.throws(() => narrower.createResolver(bytes), { message: /cannot read/ });
});

test('uuid is checked both ways', (t) => {
  const schema = { type: 'string', logicalType: 'uuid' };
  const type = compileAvro(schema, { logicalTypes: ['uuid'] });
  const text = '123e4567-e89b-12d3-a456-426614174000';
  t.is(type.fromBuffer(type.toBuffer(text)) as string, text);
  t.throws(() => type.toBuffer('no'), { message: /uuid/ });
  t.throws(() => type.fromBuffer(compileAvro('string').toBuffer('no')) as unknown, { message: /uuid/ });
  t.is(compileAvro(schema).fromBuffer(compileAvro('string').toBuffer('no')) as string, 'no');
});
