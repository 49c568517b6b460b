import test from 'ava';
import {
  outputDefinition,
  outputPath,
  sourceLocatorDigest,
  streamedOutputs,
  type WorldKey,
} from '../../../apps/rails/index.ts';
import { locatorFault, pathTokens } from '../../../apps/scenario-runner/locator-check.ts';
import type { OutputLocator } from '../../../apps/scenario-runner/run-artifacts.ts';

const WORLD: WorldKey = {
  manifest_fingerprint: 'a'.repeat(64),
  parameter_hash: 'b'.repeat(64),
  scenario_id: 'baseline_v1',
  seed: '18446744073709551615',
};
const OUTPUT = 's2_event_stream_baseline_6B';
const PARTS = [{ path: 'data/part-000000.parquet', sha256: 'c'.repeat(64) }];
const GOOD: OutputLocator = {
  output_id: OUTPUT,
  path: outputPath(outputDefinition(OUTPUT), WORLD),
  ...WORLD,
  content_digest: { algo: 'sha256', hex: sourceLocatorDigest(PARTS) },
};
const { content_digest: _digest, ...withoutDigest } = GOOD;
const SEED = `seed=${WORLD.seed}`;
const HASH = `parameter_hash=${WORLD.parameter_hash}`;

test('the locator of every streamed output passes', (t) => {
  for (const mode of ['fraud', 'baseline'] as const) {
    for (const output of streamedOutputs(mode)) {
      const locator = { ...GOOD, output_id: output.output_id, path: outputPath(output, WORLD) };
      t.is(locatorFault(locator, { world: WORLD, parts: PARTS }), undefined);
    }
  }
});

test('tokens stand in the order seed, parameter hash, fingerprint, scenario', (t) => {
  t.deepEqual(pathTokens(outputDefinition(OUTPUT)), [
    'seed',
    'parameter_hash',
    'manifest_fingerprint',
    'scenario_id',
  ]);
  t.deepEqual(pathTokens(outputDefinition('arrival_events_5B')), [
    'seed',
    'manifest_fingerprint',
    'scenario_id',
  ]);
});

const FAULTS: readonly (readonly [what: string, locator: object, code: string])[] = [
  ['with a field the contract does not have', { ...GOOD, url: 'x' }, 'LOCATOR_SCHEMA_INVALID'],
  ['of an output nobody knows', { ...GOOD, output_id: 'no_such_output' }, 'UNKNOWN_OUTPUT_ID'],
  [
    "on another output's path",
    { ...GOOD, path: outputPath(outputDefinition('s3_event_stream_with_fraud_6B'), WORLD) },
    'LOCATOR_TEMPLATE_MISMATCH',
  ],
  [
    'that climbs out of its root',
    { ...GOOD, path: GOOD.path.replace(SEED, `../${SEED}`) },
    'LOCATOR_TEMPLATE_MISMATCH',
  ],
  [
    'with a token its output does not have',
    { ...GOOD, path: GOOD.path.replace(SEED, `${SEED}/utc_day=2026-01-01`) },
    'LOCATOR_TOKEN_UNKNOWN',
  ],
  [
    'with its tokens in another order',
    { ...GOOD, path: GOOD.path.replace(`${SEED}/${HASH}`, `${HASH}/${SEED}`) },
    'LOCATOR_TOKEN_ORDER',
  ],
  ['with a token left out', { ...GOOD, path: GOOD.path.replace(`${SEED}/`, '') }, 'LOCATOR_TOKEN_ORDER'],
  [
    'whose path names another seed',
    { ...GOOD, path: GOOD.path.replace(SEED, 'seed=7') },
    'LOCATOR_PIN_MISMATCH',
  ],
  [
    'of another world throughout',
    { ...GOOD, seed: '7', path: GOOD.path.replace(SEED, 'seed=7') },
    'LOCATOR_PIN_MISMATCH',
  ],
  ['without a content digest', withoutDigest, 'INSTANCE_DIGEST_MISSING'],
  [
    'whose digest is of other parts',
    { ...GOOD, content_digest: { algo: 'sha256', hex: 'd'.repeat(64) } },
    'LOCATOR_DIGEST_MISMATCH',
  ],
];

for (const [what, locator, code] of FAULTS) {
  test(`a locator ${what} is refused with ${code}`, (t) => {
    t.is(locatorFault(locator, { world: WORLD, parts: PARTS })?.code, code as never);
  });
}
