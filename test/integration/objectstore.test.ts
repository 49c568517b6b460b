import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ObjectStore, readJson, writeOnceJson, type Bucket } from '../../lib/objectstore/index.ts';

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined || value === '')
    throw new Error(`${name} is not set: these tests need a running stack`);
  return value;
}

const name = `fraud-platform-os-${randomUUID().slice(0, 8)}`;
let store: ObjectStore;
let bucket: Bucket;

test.before(async () => {
  store = ObjectStore.connect({
    endpoint: required('S3_ENDPOINT'),
    accessKey: required('S3_ACCESS_KEY'),
    secretKey: required('S3_SECRET_KEY'),
  });
  await store.ensureBucket(name);
  await store.ensureBucket(name);
  bucket = store.bucket(name);
});

test.after.always(async () => {
  for await (const { key } of bucket.list('')) await bucket.remove(key);
  await store.removeBucket(name);
  store.close();
});

const sha256 = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

test('what is put comes back byte for byte, with size, digest and metadata', async (t) => {
  const content = randomBytes(100_000);
  const put = await bucket.put('put/a b+ü.bin', content, { metadata: { origin: 'test' } });
  t.is(put.sha256, sha256(content));
  t.deepEqual(await bucket.get('put/a b+ü.bin', { expectSha256: put.sha256 }), content);
  const stat = await bucket.stat('put/a b+ü.bin');
  t.like(stat, { bytes: 100_000, sha256: put.sha256 });
  t.is(stat.metadata['origin'], 'test');
  t.deepEqual(await bucket.range('put/a b+ü.bin', 10, 5), content.subarray(10, 15));
  t.deepEqual(await bucket.range('put/a b+ü.bin', 0, 1), content.subarray(0, 1));
  await t.throwsAsync(bucket.range('put/a b+ü.bin', 99_999, 2), { code: 'RANGE_INVALID' });
  await t.throwsAsync(bucket.range('put/a b+ü.bin', 200_000, 2), { code: 'RANGE_INVALID' });
  await t.throwsAsync(bucket.get('put/a b+ü.bin', { expectSha256: 'f'.repeat(64) }), {
    code: 'DIGEST_MISMATCH',
  });
});

test('an empty object is an object', async (t) => {
  await bucket.put('empty', Buffer.alloc(0));
  t.is((await bucket.get('empty')).length, 0);
});

test('missing objects, missing buckets and refused keys have their codes', async (t) => {
  await t.throwsAsync(bucket.get('nowhere'), { code: 'OBJECT_MISSING' });
  await t.throwsAsync(bucket.stat('nowhere'), { code: 'OBJECT_MISSING' });
  t.is(await bucket.find('nowhere'), undefined);
  await t.throwsAsync(store.bucket(`${name}-not`).get('x'), { code: 'BUCKET_MISSING' });
  const stranger = ObjectStore.connect({
    endpoint: required('S3_ENDPOINT'),
    accessKey: required('S3_ACCESS_KEY'),
    secretKey: 'a-wrong-secret',
  });
  t.teardown(() => stranger.close());
  await t.throwsAsync(stranger.bucket(name).get('x'), { code: 'ACCESS_DENIED' });
  await bucket.remove('nowhere');
});

test('of several write-once puts exactly one wins, and nothing is overwritten', async (t) => {
  const attempts = Array.from({ length: 6 }, async (_, i) => {
    try {
      await bucket.putOnce('once/x', Buffer.from(`writer ${i}`));
      return i;
    } catch (error) {
      t.like(error, { code: 'ALREADY_EXISTS' });
      return -1;
    }
  });
  const winners = (await Promise.all(attempts)).filter((i) => i >= 0);
  t.is(winners.length, 1);
  t.is((await bucket.get('once/x')).toString(), `writer ${winners[0]!}`);
});

test('a write-once document may be written again with the same identity, never with another', async (t) => {
  interface Doc {
    readonly content: string;
    readonly at: string;
  }
  const identity = ({ content }: Doc): string => content;
  const first = await writeOnceJson<Doc>(bucket, 'doc.json', { content: 'a', at: 'monday' }, { identity });
  t.true(first.created);
  const second = await writeOnceJson<Doc>(bucket, 'doc.json', { content: 'a', at: 'friday' }, { identity });
  t.deepEqual(second, { created: false, document: { content: 'a', at: 'monday' } });
  await t.throwsAsync(writeOnceJson<Doc>(bucket, 'doc.json', { content: 'b', at: 'monday' }, { identity }), {
    code: 'CONTENT_DRIFT',
    message: /doc\.json/,
  });
  t.deepEqual(await readJson<Doc>(bucket, 'doc.json'), { content: 'a', at: 'monday' });
  await bucket.put('not.json', Buffer.from('{'));
  await t.throwsAsync(readJson(bucket, 'not.json'), { code: 'CONTENT_INVALID' });
});

test('listing pages through everything in key order', async (t) => {
  const keys = Array.from({ length: 1100 }, (_, i) => `list/${String(i).padStart(5, '0')}`);
  for (let at = 0; at < keys.length; at += 100) {
    await Promise.all(keys.slice(at, at + 100).map((key) => bucket.put(key, Buffer.from(key))));
  }
  const seen: string[] = [];
  for await (const item of bucket.list('list/')) seen.push(item.key);
  t.deepEqual(seen, keys);
});

for (const size of [0, 1, 16 * 1024 * 1024, 16 * 1024 * 1024 + 1, 40 * 1024 * 1024]) {
  test(`a stream and a file of ${size} bytes arrive whole, digested on the way`, async (t) => {
    const content = randomBytes(size);
    const pieces = function* (): Generator<Buffer> {
      for (let at = 0; at < size; at += 3_000_001) yield content.subarray(at, at + 3_000_001);
    };
    const put = await bucket.putStream(`stream/${size}`, toAsync(pieces()));
    t.like(put, { bytes: size, sha256: sha256(content) });
    t.true((await bucket.get(`stream/${size}`)).equals(content));

    const folder = await mkdtemp(join(tmpdir(), 'objectstore-'));
    t.teardown(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'file'), content);
    await bucket.putFile(`file/${size}`, join(folder, 'file'));
    t.like(await bucket.stat(`file/${size}`), { bytes: size, sha256: sha256(content) });
    t.true((await bucket.get(`file/${size}`)).equals(content));
  });
}

test('a stream that fails half-way leaves no object', async (t) => {
  async function* broken(): AsyncGenerator<Buffer> {
    yield randomBytes(20 * 1024 * 1024);
    await Promise.resolve();
    throw new Error('the source broke');
  }
  await t.throwsAsync(bucket.putStream('broken', broken()), { message: 'the source broke' });
  t.is(await bucket.find('broken'), undefined);
});

async function* toAsync<T>(items: Iterable<T>): AsyncGenerator<T> {
  for (const item of items) yield await Promise.resolve(item);
}
