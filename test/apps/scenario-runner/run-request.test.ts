import test from 'ava';
import { intentFingerprint, scenarioSetId } from '../../../apps/rails/index.ts';
import { ScenarioRunnerError } from '../../../apps/scenario-runner/reason-codes.ts';
import { canonicalRunRequest } from '../../../apps/scenario-runner/run-request.ts';

const WINDOW = {
  window_start_utc: '2026-01-01T00:00:00Z',
  window_end_utc: '2026-01-02T00:00:00Z',
  window_tz: 'Europe/London',
};

function request(change: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    run_equivalence_key: 'key',
    manifest_fingerprint: 'a'.repeat(64),
    parameter_hash: 'b'.repeat(64),
    seed: '42',
    scenario: { scenario_id: 'baseline_v1' },
    window: WINDOW,
    ...change,
  };
}

const REFUSED: readonly (readonly [
  title: string,
  change: Readonly<Record<string, unknown>>,
  mention: RegExp,
])[] = [
  ['an unknown field', { colour: 'red' }, /'colour'/],
  ['a scenario and a set at once', { scenario: { scenario_id: 'a', scenario_set: ['a'] } }, /\/scenario/],
  ['neither scenario nor set', { scenario: {} }, /\/scenario/],
  ['an empty set', { scenario: { scenario_set: [] } }, /scenario_set/],
  [
    'a window that ends where it starts',
    { window: { ...WINDOW, window_end_utc: WINDOW.window_start_utc } },
    /ends/,
  ],
  [
    'a window in the wrong order, by instant and not by text',
    {
      window: {
        ...WINDOW,
        window_start_utc: '2026-01-01T23:30:00Z',
        window_end_utc: '2026-01-02T00:00:00+01:00',
      },
    },
    /ends/,
  ],
  [
    'an instant without offset',
    { window: { ...WINDOW, window_start_utc: '2026-01-01T00:00:00' } },
    /window_start_utc/,
  ],
  [
    'a day that does not exist',
    { window: { ...WINDOW, window_start_utc: '2026-02-30T00:00:00Z' } },
    /window_start_utc/,
  ],
  [
    'nanoseconds',
    { window: { ...WINDOW, window_start_utc: '2026-01-01T00:00:00.0000001Z' } },
    /microseconds/,
  ],
  ['a zone that is none', { window: { ...WINDOW, window_tz: 'Mars/Olympus' } }, /window_tz/],
  ['an offset for a zone', { window: { ...WINDOW, window_tz: '+01:00' } }, /window_tz/],
  ['a seed above 2^64-1', { seed: '18446744073709551616' }, /seed/],
  ['a seed that a JSON number cannot hold', { seed: 2 ** 53 }, /seed/],
  ['an output id with a slash', { output_ids: ['../truth'] }, /output_ids/],
  ['a root that is no s3 reference', { engine_run_root: '/tmp/world' }, /engine_run_root/],
  ['text that PostgreSQL cannot hold', { notes: 'a\u0000b' }, /notes/],
];

for (const [title, change, mention] of REFUSED) {
  test(`CI-16 ${title} is refused with RUN_REQUEST_INVALID`, (t) => {
    const error = t.throws(() => canonicalRunRequest(request(change)), { instanceOf: ScenarioRunnerError });
    t.is(error.code, 'RUN_REQUEST_INVALID');
    t.regex(error.message, mention);
  });
}

test('CI-16 every fault of a request is named at once', (t) => {
  const error = t.throws(() => canonicalRunRequest({ seed: -1, colour: 'red' }));
  for (const name of ['run_equivalence_key', 'manifest_fingerprint', 'window', 'seed', 'colour']) {
    t.true(error.message.includes(name), name);
  }
});

test('CI-17 spellings of one meaning have one intent', (t) => {
  const plain = canonicalRunRequest(request());
  const other = canonicalRunRequest(
    request({
      seed: 42,
      window: { ...WINDOW, window_start_utc: '2026-01-01t01:00:00.000+01:00' },
      output_ids: ['s3_event_stream_with_fraud_6B'],
      requested_strategy: 'FORCE_REUSE',
      notes: 'again',
      invoker: 'someone else',
    }),
  );
  t.is(intentFingerprint(other), intentFingerprint(plain));
  t.is(plain.window_start_utc, '2026-01-01T00:00:00.000000Z');
});

test('CI-17 another world, scenario or window is another intent', (t) => {
  const plain = intentFingerprint(canonicalRunRequest(request()));
  for (const change of [
    { seed: '43' },
    { manifest_fingerprint: 'c'.repeat(64) },
    { scenario: { scenario_id: 'other' } },
    { scenario: { scenario_set: ['baseline_v1'] } },
    { window: { ...WINDOW, window_tz: 'UTC' } },
    { window: { ...WINDOW, window_end_utc: '2026-01-02T00:00:00.000001Z' } },
  ]) {
    t.not(intentFingerprint(canonicalRunRequest(request(change))), plain);
  }
});

test('a scenario set is sorted, unique, and named by its id', (t) => {
  const canonical = canonicalRunRequest(request({ scenario: { scenario_set: ['b', 'a', 'b'] } }));
  t.deepEqual(canonical.scenario_set, ['a', 'b']);
  t.is(canonical.scenario_id, scenarioSetId(['a', 'b']));
});

test('the largest seed keeps every digit', (t) => {
  t.is(canonicalRunRequest(request({ seed: '18446744073709551615' })).seed, '18446744073709551615');
});
