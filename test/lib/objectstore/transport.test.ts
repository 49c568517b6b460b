import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { ObjectStore, type ObjectStoreOptions } from '../../../lib/objectstore/object-store.ts';

async function listen(handler: RequestListener): Promise<{ server: Server; endpoint: string }> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

function connect(endpoint: string, options: Partial<ObjectStoreOptions> = {}): ObjectStore {
  return ObjectStore.connect({
    endpoint,
    accessKey: 'key',
    secretKey: 'very-secret-value',
    maxAttempts: 3,
    ...options,
  });
}

test('a store with passing faults is asked again, up to the configured attempts', async (t) => {
  let requests = 0;
  const { server, endpoint } = await listen((request, response) => {
    requests += 1;
    request.resume();
    response.statusCode = requests < 3 ? 503 : 200;
    response.end(requests < 3 ? '' : 'content');
  });
  t.teardown(() => server.close());
  const store = connect(endpoint);
  t.teardown(() => store.close());
  t.is((await store.bucket('bucket').get('key')).toString(), 'content');
  t.is(requests, 3);
});

test('lasting faults end as THROTTLED after exactly maxAttempts requests', async (t) => {
  let requests = 0;
  const { server, endpoint } = await listen((request, response) => {
    requests += 1;
    request.resume();
    response.statusCode = 500;
    response.end();
  });
  t.teardown(() => server.close());
  const store = connect(endpoint, { maxAttempts: 2 });
  t.teardown(() => store.close());
  await t.throwsAsync(store.bucket('bucket').get('key'), { code: 'THROTTLED', message: /HTTP 500/ });
  t.is(requests, 2);
});

test('silence before the answer is a TIMEOUT, and so is silence in the middle of it', async (t) => {
  const { server, endpoint } = await listen((request, response) => {
    if (request.url?.endsWith('/half') === true) {
      response.writeHead(200, { 'content-length': '100' });
      response.write('the first half');
    }
  });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const store = connect(endpoint, { readTimeoutMs: 60, maxAttempts: 1 });
  t.teardown(() => store.close());
  await t.throwsAsync(store.bucket('bucket').get('never'), {
    code: 'TIMEOUT',
    message: /no answer within 60 ms/,
  });
  await t.throwsAsync(store.bucket('bucket').get('half'), { code: 'TIMEOUT', message: /no data for 60 ms/ });
});

test('a refused connection is UNREACHABLE, and no error shows the secret key', async (t) => {
  const { server, endpoint } = await listen(() => undefined);
  await new Promise((resolve) => server.close(resolve));
  const store = connect(endpoint, { maxAttempts: 1 });
  const error = await t.throwsAsync(store.bucket('bucket').get('key'), { code: 'UNREACHABLE' });
  t.false(`${error.message}${error.stack ?? ''}`.includes('very-secret-value'));
});

test('a write-once put whose first answer was lost succeeds when the stored bytes are its own', async (t) => {
  let stored: Buffer | undefined;
  const { server, endpoint } = await listen((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (request.method === 'PUT' && stored === undefined) {
        stored = Buffer.concat(chunks);
        response.socket?.destroy();
      } else if (request.method === 'PUT') {
        response.statusCode = 412;
        response.end('<Error><Code>PreconditionFailed</Code><Message>exists</Message></Error>');
      } else {
        response.setHeader('content-length', stored?.length ?? 0);
        response.setHeader('last-modified', new Date(0).toUTCString());
        response.end(request.method === 'HEAD' ? undefined : stored);
      }
    });
  });
  t.teardown(() => server.close());
  const store = connect(endpoint);
  t.teardown(() => store.close());
  const bucket = store.bucket('bucket');
  t.is((await bucket.putOnce('key', Buffer.from('mine'))).bytes, 4);
  t.is(stored?.toString(), 'mine');
  await t.throwsAsync(bucket.putOnce('key', Buffer.from('else')), { code: 'ALREADY_EXISTS' });
});

test('a bad endpoint or setting is refused by name before anything is sent', (t) => {
  t.throws(() => connect('localhost:9000'), { instanceOf: RangeError, message: /localhost:9000/ });
  const options = { endpoint: 'http://127.0.0.1:1', accessKey: 'a', secretKey: 'b' };
  t.throws(() => ObjectStore.connect(options, { OBJECT_STORE_READ_TIMEOUT: 'soon' }), {
    message: /OBJECT_STORE_READ_TIMEOUT='soon'/,
  });
  t.throws(() => ObjectStore.connect(options, { OBJECT_STORE_MAX_ATTEMPTS: '0' }), {
    message: /OBJECT_STORE_MAX_ATTEMPTS/,
  });
});
