import test from 'ava';
import {
  isObjectStoreError,
  ObjectStoreError,
  toObjectStoreError,
} from '../../../lib/objectstore/object-store-error.ts';

const s3Error = (code: string, message: string): Error => Object.assign(new Error(message), { code });

test('only timeouts, broken connections and throttling are retriable; integrity and permission are terminal', (t) => {
  t.true(new ObjectStoreError('TIMEOUT', 'x').retriable);
  t.true(new ObjectStoreError('UNREACHABLE', 'x').retriable);
  t.true(new ObjectStoreError('THROTTLED', 'x').retriable);
  for (const code of [
    'OBJECT_MISSING',
    'ACCESS_DENIED',
    'DIGEST_MISMATCH',
    'CONTENT_DRIFT',
    'ALREADY_EXISTS',
  ] as const) {
    t.false(new ObjectStoreError(code, 'x').retriable, code);
  }
});

test("the store's and the system's codes become typed ones that name the operation", (t) => {
  const cases = [
    ['NoSuchKey', 'OBJECT_MISSING'],
    ['NoSuchBucket', 'BUCKET_MISSING'],
    ['PreconditionFailed', 'ALREADY_EXISTS'],
    ['SignatureDoesNotMatch', 'ACCESS_DENIED'],
    ['ECONNREFUSED', 'UNREACHABLE'],
    ['SlowDown', 'THROTTLED'],
    ['MalformedXML', 'REQUEST_REJECTED'],
  ] as const;
  for (const [from, to] of cases) {
    const error = toObjectStoreError('get s3://b/k', s3Error(from, 'because'));
    t.is(error.code, to);
    t.regex(error.message, /^get s3:\/\/b\/k: because/);
  }
});

test('an error that passes several layers is named once', (t) => {
  const inner = toObjectStoreError('get s3://b/k', s3Error('NoSuchKey', 'gone'));
  const outer = toObjectStoreError('get s3://b/k', inner);
  t.is(outer, inner);
  const timeout = toObjectStoreError(
    'stat s3://b/k',
    new ObjectStoreError('TIMEOUT', 'no answer within 5 ms'),
  );
  t.is(timeout.message, 'stat s3://b/k: no answer within 5 ms (TIMEOUT)');
  t.true(isObjectStoreError(timeout, 'TIMEOUT'));
  t.false(isObjectStoreError(timeout, 'OBJECT_MISSING'));
});
