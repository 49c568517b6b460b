import test from 'ava';
import fc from 'fast-check';
import { formatLocator, joinKey, parseLocator } from '../../../lib/objectstore/locator.ts';

test('a locator survives formatting and parsing', (t) => {
  const bucket = fc.stringMatching(/^[a-z0-9][a-z0-9-]{1,20}[a-z0-9]$/);
  const key = fc.stringMatching(/^[A-Za-z0-9_=./-]{0,60}$/);
  fc.assert(
    fc.property(bucket, key, (name, path) => {
      const locator = { bucket: name, key: path };
      t.deepEqual(parseLocator(formatLocator(locator)), locator);
    }),
  );
});

test('what is not s3://bucket/key is refused with the text in the message', (t) => {
  for (const uri of ['', 'http://bucket/key', 's3://', 's3:///key', 's3://UPPER/key', '/a/path']) {
    const error = t.throws(() => parseLocator(uri), { instanceOf: RangeError });
    t.true(error.message.includes(`'${uri}'`));
  }
});

test('joined keys have single slashes, none in front, and keep a trailing one', (t) => {
  t.is(joinKey('a/', '/b', '', 'c.json'), 'a/b/c.json');
  t.is(joinKey('', 'x'), 'x');
  t.is(joinKey('a', 'b/'), 'a/b/');
  t.is(joinKey(''), '');
});
