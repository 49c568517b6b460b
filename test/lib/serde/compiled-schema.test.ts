import assert from 'node:assert/strict';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { OutgoingBatch } from '../../../lib/kafka/outgoing-batch.ts';
import { CompiledSchema } from '../../../lib/serde/compiled-schema.ts';
import { Bytes, SerdeError } from '../../../lib/serde/serde.ts';
import { inSlab, placed } from './slab.ts';

/** One of everything: nested and recursive records, arrays and maps of records, unions, every primitive. */
const ORDER = {
  type: 'record',
  name: 'Order',
  namespace: 'shop.v1',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'count', type: 'int' },
    { name: 'sequence', type: 'long' },
    { name: 'weight', type: 'float' },
    { name: 'price', type: 'double' },
    { name: 'paid', type: 'boolean' },
    { name: 'digest', type: { type: 'fixed', name: 'Digest', size: 4 } },
    { name: 'blob', type: 'bytes' },
    { name: 'state', type: { type: 'enum', name: 'State', symbols: ['OPEN', 'SHIPPED', 'CLOSED'] } },
    { name: 'note', type: ['null', 'string'], default: null },
    { name: 'quantity', type: ['null', 'int', 'string'], default: null },
    {
      name: 'lines',
      type: {
        type: 'array',
        items: {
          type: 'record',
          name: 'Line',
          fields: [
            { name: 'sku', type: 'string' },
            { name: 'n', type: 'long' },
          ],
        },
      },
    },
    { name: 'labels', type: { type: 'map', values: ['null', 'long'] } },
    { name: 'parent', type: ['null', 'Order'], default: null },
  ],
};
const order = new CompiledSchema(42, ORDER, { longs: 'bigint' });

const text = fc.oneof(
  fc.string({ maxLength: 80 }),
  fc.constantFrom('größer', '漢字かな', '😀'.repeat(20), '\u0000', 'x'.repeat(300)),
);
const bytes = (length?: number): fc.Arbitrary<Buffer> =>
  fc
    .uint8Array(length === undefined ? { maxLength: 100 } : { minLength: length, maxLength: length })
    .map((content) => Buffer.from(content));
const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const int64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });

const anOrder = fc.letrec<{ order: object }>((tie) => ({
  order: fc.record({
    id: text,
    count: int32,
    sequence: int64,
    weight: fc.float({ noNaN: true }),
    price: fc.double({ noNaN: true }),
    paid: fc.boolean(),
    digest: bytes(4),
    blob: bytes(),
    state: fc.constantFrom('OPEN', 'SHIPPED', 'CLOSED'),
    note: fc.option(text),
    quantity: fc.option(fc.oneof(int32, text)),
    lines: fc.array(fc.record({ sku: text, n: int64 }), { maxLength: 4 }),
    labels: fc.dictionary(text, fc.option(int64), { maxKeys: 4 }).map((map) => ({ ...map })),
    parent: fc.option(tie('order'), { depthSize: 'small', maxDepth: 2 }),
  }),
})).order;

function holds<T>(t: ExecutionContext, property: fc.IProperty<T>, numRuns: number): void {
  t.notThrows(() => {
    fc.assert(property, { numRuns });
  });
}

/** The SerdeError that a call throws; ava's own assertions are too slow for thousands of calls. */
function serdeError(call: () => unknown): SerdeError {
  try {
    call();
  } catch (error) {
    assert.ok(error instanceof SerdeError, String(error));
    return error;
  }
  return assert.fail('nothing was thrown');
}

/** Class instances to plain objects, so that values compare by content. */
function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value) || value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plain(entry)]));
}

test('a value comes back equal from the middle of a slab, whatever stands behind it', (t) => {
  holds(
    t,
    fc.property(anOrder, bytes(), (value, neighbour) => {
      const encoded = order.encode(value);
      assert.deepEqual(encoded.subarray(0, 5), Buffer.from([0, 0, 0, 0, 42]));
      assert.deepEqual(plain(order.decode(inSlab(encoded, neighbour))), plain(value));
    }),
    300,
  );
});

test('encoding in place gives the same bytes as encoding into a buffer', (t) => {
  const batch = new OutgoingBatch();
  holds(
    t,
    fc.property(anOrder, (value) => {
      const range = placed((into, placement) => {
        order.encodeInto(value, into, placement);
      }, batch);
      assert.deepEqual(range.copy(), order.encode(value));
    }),
    100,
  );
});

test('truncation at every byte is a SerdeError, though the neighbour holds bytes that would fit', (t) => {
  holds(
    t,
    fc.property(anOrder, (value) => {
      const encoded = order.encode(value);
      for (let length = 5; length < encoded.length; length += 1) {
        // Behind the range stand exactly the bytes that were cut off: an unbounded read would succeed.
        const error = serdeError(() => order.decode(new Bytes(encoded, 0, length)));
        assert.equal(error.code, 'TRUNCATED');
      }
    }),
    30,
  );
});

test('bytes behind the value within its range are a SerdeError', (t) => {
  holds(
    t,
    fc.property(anOrder, fc.integer({ min: 1, max: 20 }), (value, more) => {
      const encoded = Buffer.concat([order.encode(value), Buffer.alloc(more)]);
      const error = serdeError(() => order.decode(inSlab(encoded)));
      assert.equal(error.code, 'TRAILING_BYTES');
      assert.match(
        error.message,
        new RegExp(`^${more} bytes follow the end of shop.v1.Order \\(schema 42\\)$`),
      );
    }),
    30,
  );
});

test('garbage is a SerdeError or a value that ends exactly: nothing else is thrown, nothing hangs', (t) => {
  holds(
    t,
    fc.property(bytes(), bytes(), (garbage, neighbour) => {
      const content = Buffer.concat([Buffer.from([0, 0, 0, 0, 42]), garbage]);
      let value: unknown;
      try {
        value = order.decode(inSlab(content, neighbour));
      } catch (error) {
        assert.ok(error instanceof SerdeError, String(error));
        return;
      }
      order.encode(value);
    }),
    2000,
  );
});

test('one flipped byte never throws anything but a SerdeError', (t) => {
  holds(
    t,
    fc.property(anOrder, fc.nat(), fc.integer({ min: 1, max: 255 }), (value, at, flip) => {
      const encoded = order.encode(value);
      encoded[5 + (at % (encoded.length - 5))]! ^= flip;
      try {
        order.decode(inSlab(encoded));
      } catch (error) {
        assert.ok(error instanceof SerdeError, String(error));
      }
    }),
    500,
  );
});

const HUGE = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f];

for (const [shape, schema] of [
  ['an array', { type: 'array', items: 'int' }],
  ['an array of nulls', { type: 'array', items: 'null' }],
  ['a map', { type: 'map', values: 'null' }],
] as const) {
  test(`${shape} that claims 2^54 items is refused at once, read or skipped`, (t) => {
    const json = { type: 'record', name: 'R', fields: [{ name: 'many', type: schema }] };
    const writer = new CompiledSchema(1, json);
    const content = Buffer.from([0, 0, 0, 0, 1, ...HUGE, 0, 0]);
    t.throws(() => writer.decode(inSlab(content)), {
      instanceOf: SerdeError,
      message: /a block of \d+ items/,
    });
    const skipping = new CompiledSchema(2, {
      type: 'record',
      name: 'R',
      fields: [{ name: 'other', type: 'int', default: 1 }],
    });
    t.throws(() => writer.decode(inSlab(content), skipping.type), { instanceOf: SerdeError });
  });
}

test('a negative block size does not send a skip backwards', (t) => {
  const array = { type: 'array', items: 'int' };
  const writer = new CompiledSchema(1, {
    type: 'record',
    name: 'R',
    fields: [
      { name: 'many', type: array },
      { name: 'last', type: 'int' },
    ],
  });
  const reader = new CompiledSchema(2, {
    type: 'record',
    name: 'R',
    fields: [{ name: 'last', type: 'int' }],
  });
  const content = Buffer.from([0, 0, 0, 0, 1, 0x01, 0x03, 0x00, 0x02]);
  const error = t.throws(() => writer.decode(inSlab(content), reader.type), { instanceOf: SerdeError });
  t.regex(error.message, /negative size/);
});

test('blocks with a byte size, as other writers make them, are read and skipped', (t) => {
  const fields = [
    { name: 'many', type: { type: 'array', items: 'int' } },
    { name: 'by', type: { type: 'map', values: 'int' } },
    { name: 'last', type: 'int' },
  ];
  const writer = new CompiledSchema(1, { type: 'record', name: 'R', fields });
  const sized = [0x03, 0x04, 0x02, 0x04, 0x02, 0x06, 0x00]; // 2 items in 2 bytes: 1, 2; then 1 item: 3; end
  const map = [0x01, 0x06, 0x02, 0x61, 0x08, 0x00]; // 1 entry in 3 bytes: "a" -> 4; end
  const content = Buffer.from([0, 0, 0, 0, 1, ...sized, ...map, 0x0a]);
  t.deepEqual(plain(writer.decode(inSlab(content))), { many: [1, 2, 3], by: { a: 4 }, last: 5 });
  const reader = new CompiledSchema(2, { type: 'record', name: 'R', fields: fields.slice(2) });
  t.deepEqual(plain(writer.decode(inSlab(content), reader.type)), { last: 5 });
});

test('a map key __proto__ is a key', (t) => {
  const schema = new CompiledSchema(1, { type: 'map', values: { type: 'map', values: 'int' } });
  const content = Buffer.concat([
    Buffer.from([0, 0, 0, 0, 1, 2, 18]),
    Buffer.from('__proto__'),
    Buffer.from([0, 0]),
  ]);
  const value = schema.decode(inSlab(content)) as object;
  t.deepEqual(Object.keys(value), ['__proto__']);
  t.is(Object.getPrototypeOf(value), Object.prototype);
});

test('evolution: added defaults, dropped fields, aliases, promoted numbers and nested records', (t) => {
  const writer = new CompiledSchema(1, {
    type: 'record',
    name: 'a.Reading',
    fields: [
      { name: 'gone', type: { type: 'array', items: 'string' } },
      { name: 'celsius', type: 'int' },
      { name: 'count', type: 'long' },
      { name: 'place', type: 'string' },
      { name: 'at', type: { type: 'record', name: 'Position', fields: [{ name: 'x', type: 'float' }] } },
    ],
  });
  const reader = new CompiledSchema(2, {
    type: 'record',
    name: 'a.Reading',
    fields: [
      { name: 'unit', type: 'string', default: 'C' },
      { name: 'temperature', aliases: ['celsius'], type: 'double' },
      { name: 'count', type: ['null', 'long'], default: null },
      { name: 'place', type: ['null', 'string'], default: null },
      {
        name: 'at',
        type: {
          type: 'record',
          name: 'Position',
          fields: [
            { name: 'x', type: 'double' },
            { name: 'y', type: 'double', default: 0 },
          ],
        },
      },
    ],
  });
  const value = { gone: ['x', 'y'], celsius: -5, count: 2 ** 52 + 1, place: 'here', at: { x: 0.5 } };
  const expected = { unit: 'C', temperature: -5, count: 2 ** 52 + 1, place: 'here', at: { x: 0.5, y: 0 } };
  for (let round = 0; round < 2; round += 1) {
    t.deepEqual(plain(writer.decode(inSlab(writer.encode(value)), reader.type)), expected);
  }
  const truncated = writer.encode(value);
  for (let length = 5; length < truncated.length; length += 1) {
    t.throws(() => writer.decode(new Bytes(truncated, 0, length), reader.type), { instanceOf: SerdeError });
  }
});

test('a writer that cannot be read as the reader says which and why', (t) => {
  const writer = new CompiledSchema(3, {
    type: 'record',
    name: 'R',
    fields: [{ name: 'a', type: 'string' }],
  });
  const reader = new CompiledSchema(4, {
    type: 'record',
    name: 'R',
    fields: [{ name: 'b', type: 'string' }],
  });
  const error = t.throws(() => writer.decode(inSlab(writer.encode({ a: '' })), reader.type), {
    instanceOf: SerdeError,
  });
  t.is(error.code, 'UNUSABLE_SCHEMA');
  t.regex(error.message, /schema 3 \(R\) cannot be read as R: .*R\.b/);
});

test('a value that does not fit names its field, and the batch takes the next one', (t) => {
  const batch = new OutgoingBatch();
  const good = { ...fc.sample(anOrder, { numRuns: 1, seed: 1 })[0] };
  const bad = {
    ...good,
    lines: [
      { sku: 'a', n: 1n },
      { sku: 'b', n: 'two' },
    ],
  };
  const error = t.throws(
    () => {
      order.encodeInto(bad, batch, { source: 0, start: 0, length: 0 });
    },
    { instanceOf: SerdeError },
  );
  t.is(error.code, 'INVALID_VALUE');
  t.regex(error.message, /no shop\.v1\.Order \(schema 42\) at lines\.1\.n/);
  const range = placed((into, placement) => {
    order.encodeInto(good, into, placement);
  }, batch);
  t.deepEqual(range.copy(), order.encode(good));
});

test('values that do not fit the rest of the arena move to the next one, whole; larger ones than an arena too', (t) => {
  const schema = new CompiledSchema(9, {
    type: 'record',
    name: 'R',
    fields: [{ name: 's', type: 'string' }],
  });
  const batch = new OutgoingBatch();
  const lengths = [1, 400_000, 500_000, 200_000, 10, 3_000_000, 7, 1_048_570, 1_048_560];
  const ranges = lengths.map((length, i) => {
    const value = { s: String.fromCharCode(97 + i).repeat(length) };
    return { value, range: placed((into, placement) => schema.encodeInto(value, into, placement), batch) };
  });
  for (const { value, range } of ranges)
    t.true(range.view().equals(schema.encode(value)), value.s.slice(0, 1));
});

test('a schema that does not compile is a SerdeError', (t) => {
  const error = t.throws(
    () => new CompiledSchema(1, { type: 'record', name: 'R', fields: [{ name: 'a', type: 'Nope' }] }),
    {
      instanceOf: SerdeError,
    },
  );
  t.is(error.code, 'UNUSABLE_SCHEMA');
  t.regex(error.message, /Nope/);
});
