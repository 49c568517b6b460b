/** The serde against a real Confluent-compatible registry, and against a registry client that is not ours. */
import { randomBytes } from 'node:crypto';
import { SchemaRegistry as ForeignRegistry, SchemaType } from '@kafkajs/confluent-schema-registry';
import test from 'ava';
import { avroAnyReader, avroSerde } from '../../lib/serde/avro.ts';
import { SchemaRegistryError } from '../../lib/serde/registry-client.ts';
import { SchemaRegistry } from '../../lib/serde/schema-registry.ts';
import { NotReady, SerdeError } from '../../lib/serde/serde.ts';
import { inSlab, placed } from '../lib/serde/slab.ts';

const url = process.env['SCHEMA_REGISTRY_URL'] ?? '';
if (url === '') throw new Error('SCHEMA_REGISTRY_URL is not set: start the stack and source its settings');

const run = randomBytes(4).toString('hex');
const used = new Set<string>();
const name = (text: string): string => {
  const subject = `it-serde-${run}-${text}`;
  used.add(subject);
  return subject;
};
const registry = new SchemaRegistry({ url });

/** The field set makes every run's schemas its own, so that ids are new. */
const schema = (record: string, ...more: object[]): { type: string; name: string; fields: object[] } => ({
  type: 'record',
  name: `it_${run}.${record}`,
  fields: [{ name: 'id', type: 'string' }, { name: 'count', type: 'long' }, ...more],
});
const NOTE = { name: 'note', type: ['null', 'string'], default: null };

test.after.always(async () => {
  const { client } = registry;
  for (const subject of await client.subjects()) {
    if (!used.has(subject)) continue;
    await client.deleteSubject(subject);
    await client.deleteSubject(subject, true);
  }
});

test('CI-84 a subject evolves by its compatibility, and an incompatible schema is refused with a reason', async (t) => {
  const subject = name('evolve');
  const first = await registry.register(subject, schema('Evolve'), 'BACKWARD_TRANSITIVE');
  t.is(await registry.client.compatibility(subject), 'BACKWARD_TRANSITIVE');
  t.is(await registry.register(subject, schema('Evolve'), 'BACKWARD_TRANSITIVE'), first);
  t.deepEqual(await registry.check(subject, schema('Evolve', NOTE)), { compatible: true, reasons: [] });
  const second = await registry.register(subject, schema('Evolve', NOTE));
  t.not(second, first);
  t.deepEqual(await registry.client.versions(subject), [1, 2]);

  const broken = schema('Evolve', { name: 'needed', type: 'string' });
  const { compatible, reasons } = await registry.check(subject, broken);
  t.false(compatible);
  t.regex(reasons.join(), /needed/);
  const error = await t.throwsAsync(registry.register(subject, broken), { instanceOf: SchemaRegistryError });
  t.is(error.code, 'INCOMPATIBLE');
  t.false(error.retriable);
  t.is((await registry.latest(subject)).id, second);
  t.is(await registry.idOf(subject, schema('Evolve')), first);
  t.is(await registry.idOf(subject, broken), undefined);
  t.true((await registry.client.subjects()).includes(subject));
});

test('CI-84 one schema has one id under every subject', async (t) => {
  const subjects = ['in', 'bus', 'outcomes'].map((topic) => name(`${topic}-Same`));
  const ids = await Promise.all(
    subjects.map((subject) => registry.register(subject, schema('Same'), 'BACKWARD_TRANSITIVE')),
  );
  t.is(new Set(ids).size, 1);
});

test('an unknown id and an absent subject are terminal, as this registry says them', async (t) => {
  const fresh = new SchemaRegistry({ url });
  const reader = avroAnyReader(fresh);
  const bytes = inSlab(Buffer.from([0, 0x7f, 0xff, 0xff, 0xfe, 1, 2, 3]));
  const waiting = t.throws(() => reader.schemaOf(bytes), { instanceOf: NotReady });
  await waiting.ready;
  t.is(t.throws(() => reader.schemaOf(bytes), { instanceOf: SerdeError }).code, 'UNKNOWN_SCHEMA');
  const absent = await t.throwsAsync(fresh.latest(name('absent')), { instanceOf: SchemaRegistryError });
  t.is(absent.code, 'SUBJECT_NOT_FOUND');
  t.is(await fresh.client.compatibility(name('absent')), undefined);
  t.deepEqual(await fresh.check(name('absent'), schema('Absent')), { compatible: true, reasons: [] });
});

test('a schema that is none is refused as invalid', async (t) => {
  const nonsense = { type: 'record', name: 'x', fields: [{ name: 'a', type: 'no.such.type' }] };
  const error = await t.throwsAsync(registry.register(name('nonsense'), nonsense), {
    instanceOf: SchemaRegistryError,
  });
  t.false(error.retriable);
});

test('what is written here reads with another client from the registry alone, and the reverse', async (t) => {
  const subject = name('foreign');
  const written = schema('Foreign', NOTE);
  await registry.register(subject, written, 'BACKWARD_TRANSITIVE');
  const foreign = new ForeignRegistry({ host: url });
  const serde = avroSerde<{ id: string; count: number; note: string | null }>(registry, {
    subject,
    schema: written,
  });
  await serde.prepare();
  const value = { id: 'größer', count: 2 ** 40, note: null };
  const ours = placed((batch, placement) => {
    serde.serialize(value, batch, placement);
  }).copy();
  t.deepEqual({ ...((await foreign.decode(ours)) as object) }, value);
  const id = await foreign.getRegistryIdBySchema(subject, {
    type: SchemaType.AVRO,
    schema: JSON.stringify(written),
  });
  const theirs = await foreign.encode(id, value);
  t.deepEqual(theirs, ours);
  t.deepEqual({ ...serde.deserialize(inSlab(theirs)) }, value);
});
