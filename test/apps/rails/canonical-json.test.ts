import test from 'ava';
import fc from 'fast-check';
import {
  CanonicalJsonError,
  canonicalJson,
  compileCanonicalAvro,
  compilePayloadHash,
  eventSchema,
  eventTypes,
  payloadHash,
  sha256Hex,
  type CanonicalValue,
} from '../../../apps/rails/index.ts';
import { CompiledSchema, type AvroSchemaJson, type AvroSchemaObject } from '../../../lib/index.ts';
import { readVectors } from './vectors.ts';

interface Vector {
  readonly name: string;
  readonly input: CanonicalValue;
  readonly canonical: string;
  readonly sha256: string;
}

for (const vector of readVectors('canonical-json.json') as readonly Vector[]) {
  test(`CI-102 canonical JSON vector: ${vector.name}`, (t) => {
    t.is(canonicalJson(vector.input), vector.canonical);
    t.is(sha256Hex(vector.canonical), vector.sha256);
  });
}

/** JSON values whose strings are well formed; numbers are doubles that are not whole beyond 2^53. */
const exactNumber = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .filter((value) => !Number.isInteger(value) || Number.isSafeInteger(value));
const text = fc.string({ unit: 'grapheme' });
const { value: json } = fc.letrec<{ value: CanonicalValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    fc.constant(null),
    fc.boolean(),
    exactNumber,
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(text, tie('value'), { maxKeys: 4 }),
  ),
}));

test('canonical JSON is read back as the same value, and written again as the same text', (t) => {
  fc.assert(
    fc.property(json, (value) => {
      const written = canonicalJson(value);
      t.deepEqual(JSON.parse(written), JSON.parse(JSON.stringify(value)));
      t.is(canonicalJson(JSON.parse(written) as CanonicalValue), written);
    }),
  );
});

test('the order in which keys were set does not show', (t) => {
  fc.assert(
    fc.property(fc.dictionary(text, json, { maxKeys: 8 }), (value) => {
      const reversed = Object.fromEntries(Object.entries(value).reverse());
      t.is(canonicalJson(reversed), canonicalJson(value));
    }),
  );
});

test('a bigint and its decimal string are one value; undefined members are left out', (t) => {
  t.is(canonicalJson({ id: 18446744073709551615n }), canonicalJson({ id: '18446744073709551615' }));
  t.is(canonicalJson({ b: undefined, a: 1 }), '{"a":1}');
});

test('what has no exact form is refused with its place', (t) => {
  for (const value of [NaN, Infinity, 2 ** 53, -(2 ** 60)]) {
    t.throws(() => canonicalJson({ a: [value] }), { instanceOf: CanonicalJsonError, message: /^\$\.a\[0\]/ });
  }
  t.throws(() => canonicalJson('\ud800'), { instanceOf: CanonicalJsonError, message: /lone surrogate/ });
  t.throws(() => canonicalJson({ '\udc00x': 1 }), { instanceOf: CanonicalJsonError });
  t.throws(() => canonicalJson({ at: new Date(0) } as never), { message: /\$\.at: Date has no JSON form/ });
});

/** An independent reading of the rule: longs as decimal strings, null fields of records left out. */
function plain(schema: AvroSchemaJson, value: unknown): CanonicalValue {
  if (value === null) return null;
  if (Array.isArray(schema)) {
    return plain(
      (schema as AvroSchemaJson[]).find((branch) => branch !== 'null')!,
      value,
    );
  }
  if (typeof schema === 'string')
    return schema === 'long' ? (value as number).toString() : (value as CanonicalValue);
  const { type, fields, items } = schema as AvroSchemaObject;
  if (type === 'record') {
    const members = (fields as { name: string; type: AvroSchemaJson }[]).map((field) => [
      field.name,
      plain(field.type, (value as Record<string, unknown>)[field.name]),
    ]);
    return Object.fromEntries(members.filter(([, member]) => member !== null)) as CanonicalValue;
  }
  if (type === 'array') return (value as unknown[]).map((item) => plain(items as AvroSchemaJson, item));
  return plain(type as AvroSchemaJson, value);
}

/** Values that a schema allows. */
function arbitrary(schema: AvroSchemaJson): fc.Arbitrary<unknown> {
  if (Array.isArray(schema)) return fc.oneof(...(schema as AvroSchemaJson[]).map(arbitrary));
  switch (schema) {
    case 'null':
      return fc.constant(null);
    case 'boolean':
      return fc.boolean();
    case 'long':
      return fc.maxSafeInteger();
    case 'double':
      return exactNumber;
    case 'string':
      return fc.oneof(text, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String));
  }
  const { type, fields, items } = schema as AvroSchemaObject;
  if (type === 'record') {
    const members = fields as { name: string; type: AvroSchemaJson }[];
    return fc.record(Object.fromEntries(members.map((field) => [field.name, arbitrary(field.type)])));
  }
  if (type === 'array') return fc.array(arbitrary(items as AvroSchemaJson), { maxLength: 3 });
  return arbitrary(type as AvroSchemaJson);
}

for (const eventType of eventTypes()) {
  test(`the payload hash of a decoded ${eventType} is that of the generic recipe`, (t) => {
    const schema = eventSchema(eventType);
    const payload = schema.fields.at(-1)!.type as AvroSchemaJson;
    const compiled = compilePayloadHash(schema);
    const { type } = new CompiledSchema(1, payload);
    fc.assert(
      fc.property(arbitrary(payload), fc.constantFrom(null, 'v1', 'ü'), (value, version) => {
        const decoded = type.fromBuffer(type.toBuffer(value)) as Record<string, unknown>;
        t.is(
          compiled({ schema_version: version, payload: decoded }),
          payloadHash(eventType, version, plain(payload, value)),
        );
      }),
      { numRuns: 50 },
    );
  });
}

test('a payload that gains an optional field keeps its hash until the field says something', (t) => {
  const before: AvroSchemaObject = {
    type: 'record',
    name: 'e',
    fields: [{ name: 'payload', type: record(['b']) }],
  };
  const after: AvroSchemaObject = {
    type: 'record',
    name: 'e',
    fields: [{ name: 'payload', type: record(['b'], ['a', 'c']) }],
  };
  const hash = compilePayloadHash(before)({ schema_version: null, payload: { b: '1' } });
  const evolved = compilePayloadHash(after);
  t.is(evolved({ schema_version: null, payload: { a: null, b: '1', c: null } }), hash);
  t.not(evolved({ schema_version: null, payload: { a: 'x', b: '1', c: null } }), hash);
});

function record(required: string[], optional: string[] = []): AvroSchemaObject {
  return {
    type: 'record',
    name: 'p',
    fields: [
      ...required.map((name) => ({ name, type: 'string' })),
      ...optional.map((name) => ({ name, type: ['null', 'string'], default: null })),
    ],
  };
}

test('every Avro type has its canonical form: enums, bytes, fixed, maps, named and recursive types', (t) => {
  const schema: AvroSchemaObject = {
    type: 'record',
    name: 'n.node',
    fields: [
      { name: 'z', type: { type: 'enum', name: 'colour', symbols: ['RED'] } },
      { name: 'again', type: 'colour' },
      { name: 'raw', type: 'bytes' },
      { name: 'fixed', type: { type: 'fixed', name: 'two', size: 2 } },
      { name: 'map', type: { type: 'map', values: 'long' } },
      { name: 'any', type: ['null', 'string', 'long', 'boolean', { type: 'array', items: 'int' }] },
      { name: 'next', type: ['null', 'node'] },
    ],
  };
  const write = compileCanonicalAvro(schema);
  const leaf = {
    z: 'RED',
    again: 'RED',
    raw: Buffer.from([0, 255]),
    fixed: Buffer.from([1, 2]),
    map: {},
    next: null,
  };
  t.is(
    write({ ...leaf, map: { b: 2, a: -1 }, any: 5, next: { ...leaf, any: [1, 2] } }),
    '{"again":"RED","any":"5","fixed":"0102","map":{"a":"-1","b":"2"},"next":{"again":"RED","any":[1,2],' +
      '"fixed":"0102","map":{},"raw":"00ff","z":"RED"},"raw":"00ff","z":"RED"}',
  );
  t.throws(() => compileCanonicalAvro(['long', 'double']), { message: /look alike/ });
  t.throws(() => compileCanonicalAvro('nobody'), { message: /before it is defined/ });
});
