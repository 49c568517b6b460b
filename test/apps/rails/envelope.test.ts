import test from 'ava';
import fc from 'fast-check';
import {
  ENVELOPE_FIELDS,
  envelopeProblems,
  epochMicrosToMicros,
  epochMillisToMicros,
  isId64,
  isMicros,
  isUint64,
  microsToEpochMicros,
  microsToEpochMillis,
  missingPins,
  type Envelope,
} from '../../../apps/rails/index.ts';

const VALID: Envelope = {
  event_id: 'a'.repeat(64),
  event_type: 's3_event_stream_with_fraud_6B',
  ts_utc: '2026-01-01T00:00:00.000001Z',
  manifest_fingerprint: 'b'.repeat(64),
  parameter_hash: 'c'.repeat(64),
  seed: '18446744073709551615',
  scenario_id: 'baseline_v1',
  run_id: 'd'.repeat(32),
  platform_run_id: 'platform_20260101T000000Z',
  scenario_run_id: 'e'.repeat(32),
  schema_version: 'v1',
  emitted_at_utc: '2026-01-01T00:00:00.000000Z',
  producer: 'svc:world_stream_producer',
  trace_id: 't',
  span_id: 's',
  parent_event_id: 'p',
  payload: {},
};

test('CI-58 a well-formed envelope has no problems, with and without its optional fields', (t) => {
  t.deepEqual(envelopeProblems(VALID), []);
  const bare = Object.fromEntries(
    ENVELOPE_FIELDS.map((field, i) => [field, i < 4 || field === 'payload' ? VALID[field] : null]),
  ) as unknown as Envelope;
  t.deepEqual(envelopeProblems(bare), []);
});

const WRONG: Readonly<Partial<Record<keyof Envelope, readonly string[]>>> = {
  event_id: ['', 'x'.repeat(257), 'a\u0000b'],
  event_type: ['', 'x'.repeat(257)],
  ts_utc: [
    '',
    '2026-01-01T00:00:00Z',
    '2026-01-01T00:00:00.000Z',
    '2026-01-01T00:00:00.000000',
    '2026-01-01T00:00:00.000000+00:00',
    '2026-01-01 00:00:00.000000Z',
    '2026-13-01T00:00:00.000000Z',
    '2026-02-29T00:00:00.000000Z',
    '2026-01-01T24:00:00.000000Z',
    '2026-01-01T00:00:60.000000Z',
    '2026-01-01T00:00:00.00000aZ',
    '2026-01-01T00:00:00.000000Z\n',
  ],
  manifest_fingerprint: ['', 'B'.repeat(64), 'b'.repeat(63), 'b'.repeat(65), 'g'.repeat(64)],
  parameter_hash: ['', 'c'.repeat(32)],
  seed: ['', '-1', '01', '1.0', '1e3', ' 1', '18446744073709551616', '99999999999999999999', '0x1'],
  scenario_id: ['', '\u0000'],
  run_id: ['', 'd'.repeat(64), 'D'.repeat(32)],
  platform_run_id: [
    '',
    'platform_2026',
    'platform_20260101T000000Z\n',
    'fraud-platform/platform_20260101T000000Z',
  ],
  scenario_run_id: ['', 'e'.repeat(31)],
  schema_version: ['', 'v'.repeat(65)],
  emitted_at_utc: ['now'],
  producer: ['', 'p'.repeat(129)],
  trace_id: ['', '\u0000'],
  span_id: [''],
  parent_event_id: [''],
};

test('CI-58 each malformed field is refused by name, and only that field', (t) => {
  for (const [field, values] of Object.entries(WRONG)) {
    for (const value of values) {
      const problems = envelopeProblems({ ...VALID, [field]: value });
      t.is(problems.length, 1, `${field} ${JSON.stringify(value)}`);
      t.true(problems[0]?.startsWith(`${field}: `), problems[0]);
    }
  }
});

test('CI-58 every problem is reported, and a long value is cut', (t) => {
  const problems = envelopeProblems({ ...VALID, seed: '9'.repeat(5000), ts_utc: '\u0007' });
  t.is(problems.length, 2);
  t.true(problems.every((problem) => problem.length < 200));
  t.regex(problems[0]!, /^ts_utc: "\\u0007"/);
});

test('CI-59 the pins a class requires and a record lacks are named in the order required', (t) => {
  t.deepEqual(missingPins(VALID, ['platform_run_id', 'run_id']), []);
  const lacking = { ...VALID, seed: null, run_id: '' };
  t.deepEqual(missingPins(lacking, ['run_id', 'platform_run_id', 'seed']), ['run_id', 'seed']);
  t.deepEqual(missingPins(lacking, ['platform_run_id']), []);
});

test('a uint64 is a canonical decimal up to 2^64 - 1, and an id64 is not zero', (t) => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 65n }), (value) => {
      t.is(isUint64(value.toString()), value < 2n ** 64n);
    }),
  );
  t.true(isUint64('0'));
  t.false(isId64('0'));
  t.true(isId64('1'));
});

test('CI-46 micros text and microseconds since the epoch are one another, to the microsecond', (t) => {
  const first = -62_167_219_200_000_000n;
  const last = 253_402_300_799_999_999n;
  fc.assert(
    fc.property(fc.bigInt({ min: first, max: last }), (micros) => {
      const written = epochMicrosToMicros(micros);
      t.true(isMicros(written));
      t.is(microsToEpochMicros(written), micros);
      t.is(microsToEpochMillis(written), Date.parse(written.slice(0, 23) + 'Z'));
    }),
  );
  t.throws(() => epochMicrosToMicros(last + 1n), { instanceOf: RangeError });
  t.is(epochMillisToMicros(0), '1970-01-01T00:00:00.000000Z');
});
