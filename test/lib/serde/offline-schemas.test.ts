import test from 'ava';
import { avroAnySerde, avroSerde } from '../../../lib/serde/avro.ts';
import { OfflineSchemas } from '../../../lib/serde/offline-schemas.ts';
import { SchemaRegistryError } from '../../../lib/serde/registry-client.ts';
import { SerdeError } from '../../../lib/serde/serde.ts';
import { inSlab, placed } from './slab.ts';

const record = (name: string): { type: string; name: string; fields: object[] } => ({
  type: 'record',
  name,
  fields: [{ name: 'id', type: 'string' }],
});

test('CI-84 schema ids resolve offline: equal schemas have one id over all subjects', async (t) => {
  const schemas = new OfflineSchemas();
  const first = schemas.register('in-a', record('a'));
  t.is(schemas.register('out-a', record('a')), first);
  const second = schemas.register('in-b', record('b'));
  t.not(second, first);
  t.is(schemas.typeById(second).recordName, 'b');
  t.is((await schemas.schemaFor('out-a', record('a'))).id, first);
  t.is((await schemas.schemaFor('in-b')).id, second);
});

test('ids of a real registry can be fixed, and never collide', (t) => {
  const schemas = new OfflineSchemas();
  t.is(schemas.register('s', record('a'), 17), 17);
  t.is(schemas.register('s', record('b')), 18);
  t.throws(() => schemas.register('s', record('c'), 17), { instanceOf: SerdeError, message: /17 is a's/ });
});

test('what the set lacks is said', async (t) => {
  const schemas = new OfflineSchemas();
  schemas.register('s', record('a'));
  t.is(t.throws(() => schemas.typeById(9), { instanceOf: SerdeError }).code, 'UNKNOWN_SCHEMA');
  await t.throwsAsync(schemas.fetch(9), { instanceOf: SerdeError });
  await t.throwsAsync(schemas.schemaFor('s', record('b')), {
    instanceOf: SchemaRegistryError,
    message: /lacks/,
  });
  await t.throwsAsync(schemas.schemaFor('t'), {
    instanceOf: SchemaRegistryError,
    message: /not in this set/,
  });
});

test('one serde carries every record type of a topic', (t) => {
  const schemas = new OfflineSchemas();
  const serde = avroAnySerde(schemas);
  const kept = ['a', 'b', 'a'].map((name) => {
    const schema = schemas.typeById(schemas.register(`t-${name}`, record(name)));
    const range = placed((batch, placement) => {
      serde.serialize({ schema, value: { id: name } }, batch, placement);
    });
    return serde.deserialize(inSlab(range.copy()));
  });
  t.deepEqual(
    kept.map(({ schema, value }) => [schema.recordName, { ...(value as object) }]),
    [
      ['a', { id: 'a' }],
      ['b', { id: 'b' }],
      ['a', { id: 'a' }],
    ],
  );
});

test('a serde without a subject, or not prepared, refuses to write and says what is missing', (t) => {
  const schemas = new OfflineSchemas();
  const write = (options: { subject?: string }): string =>
    t.throws(() =>
      placed((batch, placement) => {
        avroSerde(schemas, { schema: record('a'), ...options }).serialize({ id: '' }, batch, placement);
      }),
    ).message;
  t.regex(write({}), /give it the subject/);
  t.regex(write({ subject: 's' }), /await prepare\(\)/);
});
