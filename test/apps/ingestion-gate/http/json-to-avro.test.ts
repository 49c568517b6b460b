import test from 'ava';
import fc from 'fast-check';
import { compileJsonToAvro } from '../../../../apps/ingestion-gate/http/json-to-avro.ts';
import { eventSchema, eventTypes } from '../../../../apps/rails/index.ts';
import { CompiledSchema, type AvroSchemaObject } from '../../../../lib/index.ts';

const RECORD: AvroSchemaObject = {
  type: 'record',
  name: 'reading',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'count', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null },
    {
      name: 'parts',
      type: { type: 'array', items: { type: 'record', name: 'part', fields: [{ name: 'n', type: 'int' }] } },
    },
    { name: 'tags', type: { type: 'map', values: 'boolean' } },
    { name: 'body', type: 'bytes' },
    { name: 'kind', type: { type: 'enum', name: 'kind', symbols: ['A', 'B'] } },
  ],
};
const map = compileJsonToAvro(RECORD);
const valid = { id: '7', count: 3, parts: [{ n: 1 }], tags: { x: true }, body: 'AAE=', kind: 'A' };

const fieldsAtFault = (json: unknown): string[] => (map(json).problems ?? []).map(({ field }) => field);

test('a value that fits becomes the Avro value, with absent nullable fields null and bytes from base64', (t) => {
  const mapped = map(valid);
  t.is(mapped.problems, undefined);
  const schema = new CompiledSchema(1, RECORD);
  t.true(schema.encode((mapped as { value: unknown }).value).length > 0);
  t.like((mapped as { value: unknown }).value, { note: null, body: Buffer.from([0, 1]) });
});

test('every fault is named by its path', (t) => {
  t.deepEqual(fieldsAtFault({ ...valid, colour: 'red' }), ['colour']);
  t.deepEqual(fieldsAtFault({ ...valid, id: undefined }), ['id']);
  t.deepEqual(fieldsAtFault({ ...valid, id: 7, count: '3' }), ['id', 'count']);
  t.deepEqual(fieldsAtFault({ ...valid, parts: [{ n: 1 }, { n: 2 ** 31 }, { m: 1 }] }), [
    'parts[1].n',
    'parts[2].m',
    'parts[2].n',
  ]);
  t.deepEqual(fieldsAtFault({ ...valid, tags: { x: 'yes' }, body: 'no base64!', kind: 'C' }), [
    'tags.x',
    'body',
    'kind',
  ]);
  t.deepEqual(fieldsAtFault([]), ['(event)']);
  t.deepEqual(fieldsAtFault(JSON.parse('{"__proto__": {}}')).includes('__proto__'), true);
});

test('a long that JSON has rounded already and text without UTF-8 are refused', (t) => {
  t.deepEqual(fieldsAtFault({ ...valid, count: 2 ** 53 }), ['count']);
  t.deepEqual(fieldsAtFault({ ...valid, count: 1.5 }), ['count']);
  t.deepEqual(fieldsAtFault({ ...valid, id: '\ud800' }), ['id']);
});

test('a hostile event does not make its own answer long', (t) => {
  const many = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`f${i}`, i]));
  t.true(fieldsAtFault(many).length <= 20);
});

test('every event type has a mapping', (t) => {
  for (const type of eventTypes()) t.notThrows(() => compileJsonToAvro(eventSchema(type)), type);
});

test('whatever JSON comes, it is mapped to what its schema encodes and decodes back, or refused with a reason', (t) => {
  const schema = new CompiledSchema(1, RECORD);
  const part = fc.record({ n: fc.oneof(fc.integer(), fc.double(), fc.string()) });
  const value = fc.record(
    {
      id: fc.oneof(fc.string({ unit: 'binary' }), fc.integer()),
      count: fc.oneof(fc.maxSafeInteger(), fc.double()),
      note: fc.oneof(fc.string(), fc.constant(null)),
      parts: fc.array(part),
      tags: fc.dictionary(fc.string(), fc.boolean()),
      body: fc.base64String(),
      kind: fc.constantFrom('A', 'B', 'C'),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(value, (json) => {
      const mapped = map(json);
      if (mapped.problems !== undefined) return mapped.problems.length > 0;
      schema.encode(mapped.value);
      return mapped.value['id'] === json.id && mapped.value['count'] === json.count;
    }),
  );
  t.pass();
});
