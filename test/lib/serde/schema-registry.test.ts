import test from 'ava';
import { avroAnyReader, avroSerde } from '../../../lib/serde/avro.ts';
import { SchemaRegistry } from '../../../lib/serde/schema-registry.ts';
import { SchemaRegistryError } from '../../../lib/serde/registry-client.ts';
import { NotReady, SerdeError } from '../../../lib/serde/serde.ts';
import { RegistryServer } from './registry-server.ts';
import { inSlab, placed } from './slab.ts';

const V1 = { type: 'record', name: 'run.ready', fields: [{ name: 'id', type: 'string' }] };
const V2 = { ...V1, fields: [...V1.fields, { name: 'note', type: ['null', 'string'], default: null }] };
const value = (id: number, text: string): Buffer =>
  Buffer.concat([Buffer.from([0, 0, 0, 0, id, text.length * 2]), Buffer.from(text)]);

const options = { timeoutMs: 2000, attempts: 2, retryBackoffMs: 1 };

test('many readers of one unknown id make one request, and the cache makes none', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 'topic-run.ready', V1);
  const registry = new SchemaRegistry({ url: server.url, ...options });
  t.is(registry.typeById(5), undefined);
  const schemas = await Promise.all(Array.from({ length: 20 }, () => registry.fetch(5)));
  t.is(new Set(schemas).size, 1);
  t.is(registry.typeById(5), schemas[0]!);
  t.is(await registry.fetch(5), schemas[0]!);
  t.deepEqual(server.requests, ['GET /schemas/ids/5']);
  t.is(schemas[0]!.recordName, 'run.ready');
  t.deepEqual(schemas[0]!.json, V1);
});

test('looking one schema up many times makes one request', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 'topic-run.ready', V1);
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const found = await Promise.all(
    Array.from({ length: 10 }, () => registry.schemaFor('topic-run.ready', V1)),
  );
  t.is(new Set(found).size, 1);
  t.deepEqual(server.requests, ['POST /subjects/topic-run.ready', 'GET /schemas/ids/5']);
});

test('an id that the registry does not have is terminal: the record is at fault', async (t) => {
  const server = await RegistryServer.start(t);
  const registry = new SchemaRegistry({ url: server.url, ...options, unknownIdTtlMs: 60_000 });
  const reader = avroAnyReader(registry);
  const waiting = t.throws(() => reader.schemaOf(inSlab(value(9, 'x'))), { instanceOf: NotReady });
  await t.notThrowsAsync(waiting.ready);
  const error = t.throws(() => reader.schemaOf(inSlab(value(9, 'x'))), { instanceOf: SerdeError });
  t.is(error.code, 'UNKNOWN_SCHEMA');
  t.regex(error.message, /no schema has the id 9 in http/);
  await t.throwsAsync(registry.fetch(9), { instanceOf: SerdeError });
});

test('"no such id" is asked again after a while, because registries replicate', async (t) => {
  const server = await RegistryServer.start(t);
  const registry = new SchemaRegistry({ url: server.url, ...options, unknownIdTtlMs: 0 });
  await t.throwsAsync(registry.fetch(9), { instanceOf: SerdeError });
  server.add(9, 's', V1);
  t.is(registry.typeById(9), undefined);
  t.is((await registry.fetch(9)).id, 9);
});

const unavailable: Record<string, (response: import('node:http').ServerResponse) => void> = {
  'a 503': (response) => response.writeHead(503).end('busy'),
  'a 500 with a registry code': (response) =>
    response.writeHead(500).end('{"error_code":50001,"message":"store"}'),
  'a 404 page that is not the registry': (response) =>
    response.writeHead(404).end('<html>nothing here</html>'),
  'a 429': (response) => response.writeHead(429).end('{"error_code":429,"message":"slow down"}'),
  'a cut connection': (response) => response.destroy(),
};
for (const [what, fault] of Object.entries(unavailable)) {
  test(`${what} is retried, then a retriable error, never an unknown id`, async (t) => {
    const server = await RegistryServer.start(t);
    server.add(5, 's', V1);
    const registry = new SchemaRegistry({ url: server.url, ...options });
    const reader = avroAnyReader(registry);
    server.faults.push(fault, fault);
    const waiting = t.throws(() => reader.schemaOf(inSlab(value(5, 'x'))), { instanceOf: NotReady });
    const error = await t.throwsAsync(waiting.ready, { instanceOf: SchemaRegistryError });
    t.is(error.code, 'UNAVAILABLE');
    t.true(error.retriable);
    t.is(server.requests.length, 2);
    const again = t.throws(() => reader.schemaOf(inSlab(value(5, 'x'))), { instanceOf: NotReady });
    await again.ready;
    t.is(reader.schemaOf(inSlab(value(5, 'x'))).id, 5);
  });
}

test('a refused connection says which registry did not answer', async (t) => {
  const registry = new SchemaRegistry({ url: 'http://someone:pass-word@127.0.0.1:1/api', ...options });
  const error = await t.throwsAsync(registry.fetch(1), { instanceOf: SchemaRegistryError });
  t.true(error.retriable);
  t.regex(error.message, /schema registry at http:\/\/127\.0\.0\.1:1\/api: GET \/schemas\/ids\/1: no answer/);
  t.notRegex(error.message, /pass-word|someone/);
});

test('a registry that accepts and never answers is unavailable after the timeout', async (t) => {
  const server = await RegistryServer.start(t);
  server.faults.push(
    () => undefined,
    () => undefined,
  );
  const registry = new SchemaRegistry({ url: server.url, ...options, timeoutMs: 50 });
  const error = await t.throwsAsync(registry.fetch(1), { instanceOf: SchemaRegistryError });
  t.is(error.code, 'UNAVAILABLE');
});

test('a refusal is not retried', async (t) => {
  const server = await RegistryServer.start(t);
  server.faults.push((response) => response.writeHead(401).end('{"error_code":401,"message":"who are you"}'));
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const error = await t.throwsAsync(registry.fetch(1), { instanceOf: SchemaRegistryError });
  t.is(error.code, 'UNAUTHORIZED');
  t.false(error.retriable);
  t.is(server.requests.length, 1);
});

test('credentials in the URL become basic authentication', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 's', V1);
  const url = server.url.replace('http://', 'http://user:p%40ss@');
  await new SchemaRegistry({ url, ...options }).fetch(5);
  t.deepEqual(server.authorizations, [`Basic ${Buffer.from('user:p@ss').toString('base64')}`]);
});

test('a schema that is not Avro is unusable, not unknown', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 's', { type: 'object' }, { schemaType: 'JSON' });
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const error = await t.throwsAsync(registry.fetch(5), { instanceOf: SerdeError });
  t.is(error.code, 'UNUSABLE_SCHEMA');
  t.throws(() => registry.typeById(5), { is: error });
});

test('references are fetched, each before the schema that names it', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(1, 'inner', { type: 'record', name: 'x.Inner', fields: [{ name: 'a', type: 'int' }] });
  const middle = { type: 'record', name: 'x.Middle', fields: [{ name: 'inner', type: 'x.Inner' }] };
  server.add(2, 'middle', middle, { references: [{ name: 'x.Inner', subject: 'inner', version: 1 }] });
  const outer = {
    type: 'record',
    name: 'x.Outer',
    fields: [
      { name: 'm', type: 'x.Middle' },
      { name: 'i', type: 'x.Inner' },
    ],
  };
  server.add(3, 'outer', outer, {
    references: [
      { name: 'x.Middle', subject: 'middle', version: 1 },
      { name: 'x.Inner', subject: 'inner', version: 1 },
    ],
  });
  const schema = await new SchemaRegistry({ url: server.url, ...options }).fetch(3);
  const range = inSlab(schema.encode({ m: { inner: { a: 1 } }, i: { a: 2 } }));
  t.like(schema.decode(range), { m: { inner: { a: 1 } }, i: { a: 2 } });
});

test('a serde writes with the id of its own schema, looked up and never registered', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 'topic-run.ready', V1);
  server.add(6, 'topic-run.ready', V2);
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const serde = avroSerde<{ id: string }>(registry, { subject: 'topic-run.ready', schema: V1 });
  await serde.prepare();
  const range = placed((batch, placement) => {
    serde.serialize({ id: 'r' }, batch, placement);
  });
  t.deepEqual(range.copy(), value(5, 'r'));
  const latest = avroSerde<{ id: string; note: null }>(registry, { subject: 'topic-run.ready' });
  await latest.prepare();
  const newer = placed((batch, placement) => {
    latest.serialize({ id: 'r', note: null }, batch, placement);
  });
  t.is(newer.view()[4], 6);
  t.false(server.requests.some((line) => line.includes('/versions') && line.startsWith('POST')));
});

test('a serde without its schema registered says where it must be registered', async (t) => {
  const server = await RegistryServer.start(t);
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const serde = avroSerde(registry, { subject: 'topic-run.ready', schema: V1 });
  const error = await t.throwsAsync(serde.prepare(), { instanceOf: SchemaRegistryError });
  t.is(error.code, 'SCHEMA_NOT_FOUND');
  t.regex(error.message, /subject topic-run\.ready: register it/);
  t.false(error.retriable);
});

test('a serde reads older and newer writers as its own schema', async (t) => {
  const server = await RegistryServer.start(t);
  server.add(5, 's', V1);
  server.add(6, 's', V2);
  const registry = new SchemaRegistry({ url: server.url, ...options });
  const [v1, v2] = [await registry.fetch(5), await registry.fetch(6)];
  const newer = avroSerde<{ id: string; note: string | null }>(registry, { schema: V2 });
  const older = avroSerde<{ id: string }>(registry, { schema: V1 });
  t.deepEqual({ ...newer.deserialize(inSlab(v1.encode({ id: 'a' }))) }, { id: 'a', note: null });
  t.deepEqual({ ...newer.deserialize(inSlab(v2.encode({ id: 'b', note: 'n' }))) }, { id: 'b', note: 'n' });
  t.deepEqual({ ...older.deserialize(inSlab(v2.encode({ id: 'c', note: 'n' }))) }, { id: 'c' });
  t.deepEqual({ ...older.deserialize(inSlab(v1.encode({ id: 'd' }))) }, { id: 'd' });
});

test('what is not in the wire format is a SerdeError', async (t) => {
  const server = await RegistryServer.start(t);
  const reader = avroAnyReader(new SchemaRegistry({ url: server.url, ...options }));
  const code = (content: Buffer): string =>
    t.throws(() => reader.schemaOf(inSlab(content, Buffer.alloc(20))), { instanceOf: SerdeError }).code;
  t.is(code(Buffer.alloc(0)), 'TRUNCATED');
  t.is(code(Buffer.from([0, 0, 0, 1])), 'TRUNCATED');
  t.is(code(Buffer.from('{"a":1}')), 'MALFORMED');
  t.is(code(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 0])), 'MALFORMED');
  t.deepEqual(server.requests, []);
});
