import test from 'ava';
import fc from 'fast-check';

import { MicrosReader, MicrosWriter } from '../../../lib/replay/event-time.ts';

const micros = fc
  .tuple(fc.integer({ min: Date.UTC(1900, 0), max: Date.UTC(2200, 0) }), fc.integer({ min: 0, max: 999 }))
  .map(([ms, rest]) => ms * 1000 + rest);

test('micros text written is the ISO form with six decimals, and reads back to the same moment', (t) => {
  const writer = new MicrosWriter();
  const reader = new MicrosReader();
  fc.assert(
    fc.property(micros, (value) => {
      const text = writer.text(value);
      const ms = Math.floor(value / 1000);
      const expected = `${new Date(ms).toISOString().slice(0, 23)}${String(value - ms * 1000).padStart(3, '0')}Z`;
      return text === expected && reader.read(Buffer.from(text), 0, text.length) === value;
    }),
  );
  t.is(writer.text(0), '1970-01-01T00:00:00.000000Z');
});

for (const text of [
  '2026-01-01T00:00:00Z',
  '2026-01-01T00:00:00.000Z',
  '2026-01-01 00:00:00.000000Z',
  '2026-02-30T00:00:00.000000Z',
  '2026-01-01T24:00:00.000000Z',
  '2026-01-01T00:00:00.00000aZ',
  '2026-01-01T00:00:00.000000+',
  '',
]) {
  test(`"${text}" is not read as a time`, (t) => {
    const reader = new MicrosReader();
    t.throws(() => reader.read(Buffer.from(text), 0, text.length), { message: /COLUMN_UNSUPPORTED/ });
  });
}
