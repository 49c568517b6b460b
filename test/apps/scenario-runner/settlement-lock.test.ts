import test from 'ava';
import { loadSettings, type Settings } from '../../../apps/rails/index.ts';
import { openScenarioRunner, ScenarioRunnerError } from '../../../apps/scenario-runner/index.ts';
import {
  assertSettled,
  packRootProblem,
  settlementProblems,
} from '../../../apps/scenario-runner/settlement-lock.ts';
import { ENVIRONMENT } from '../rails/environment.ts';

const MANAGED_ENVIRONMENT = {
  ...ENVIRONMENT,
  FP_PROFILE: 'prod',
  KAFKA_BOOTSTRAP_SERVERS: 'kafka-1.internal:9092,kafka-2.internal:9092',
  SCHEMA_REGISTRY_URL: 'http://registry.internal:8080',
  POSTGRES_DSN: 'postgres://runner@db.internal/fp',
  S3_ENDPOINT: 'https://s3.internal',
  FP_BUCKET: 'fraud-platform',
  FP_ORACLE_BUCKET: 'oracle-store',
  LAG_CONSOLE_URL: 'http://lag.internal:8095',
  FP_SERVICE_RELEASE_ID: 'release-7',
  FP_LAUNCH_REF: 'deploy/42',
  FP_SERVICE_IDENTITY: 'svc-runner',
};

function settings(change: Readonly<Record<string, string>> = {}): Settings {
  return loadSettings({ ...MANAGED_ENVIRONMENT, ...change });
}

test('CI-36 a managed profile on managed servers, with release, launch and identity, may run', (t) => {
  t.deepEqual(settlementProblems(settings()), []);
});

const LOCKED: readonly (readonly [
  what: string,
  change: Readonly<Record<string, string>>,
  mention: RegExp,
])[] = [
  [
    'a local broker among the servers',
    { KAFKA_BOOTSTRAP_SERVERS: 'kafka-1.internal:9092,localhost:9092' },
    /kafka/,
  ],
  ['a local registry', { SCHEMA_REGISTRY_URL: 'http://127.0.0.1:8080' }, /schema_registry/],
  ['a local authority', { POSTGRES_DSN: 'postgres://runner@127.0.0.1/fp' }, /postgres/],
  ['a local object store', { S3_ENDPOINT: 'http://[::1]:9000' }, /object_store/],
  ['a bucket named for whatever is latest', { FP_ORACLE_BUCKET: 'oracle-latest' }, /oracle_store\.bucket/],
  ['no release', { FP_SERVICE_RELEASE_ID: '' }, /FP_SERVICE_RELEASE_ID/],
  ['no launch reference', { FP_LAUNCH_REF: '' }, /FP_LAUNCH_REF/],
  ['no identity', { FP_SERVICE_IDENTITY: '' }, /FP_SERVICE_IDENTITY/],
];

for (const [what, change, mention] of LOCKED) {
  test(`CI-36 the lock refuses ${what}`, async (t) => {
    const error = await t.throwsAsync(openScenarioRunner(settings(change)), {
      instanceOf: ScenarioRunnerError,
    });
    t.is(error.code, 'SR_SETTLEMENT_LOCK_FAIL_CLOSED');
    t.regex(error.message, mention);
  });
}

test('CI-36 a local profile is not locked', (t) => {
  t.notThrows(() => assertSettled(loadSettings(ENVIRONMENT)));
});

test('CI-36 pack roots must name one pack: never a wildcard or the latest, and when managed by its id', (t) => {
  const id = 'a'.repeat(64);
  for (const root of [
    's3://oracle-store/packs/*/',
    's3://oracle-store/latest/',
    's3://oracle-store/packs/current/',
  ]) {
    t.not(packRootProblem(root, 'local', 'oracle-store'), undefined, root);
  }
  t.is(packRootProblem('s3://elsewhere/packs/mine/', 'local', 'oracle-store'), undefined);
  t.is(packRootProblem(`s3://oracle-store/packs/${id}/`, 'prod', 'oracle-store'), undefined);
  for (const root of [
    `s3://elsewhere/packs/${id}/`,
    's3://oracle-store/packs/mine/',
    `s3://oracle-store/${id}/`,
  ]) {
    t.not(packRootProblem(root, 'prod', 'oracle-store'), undefined, root);
  }
});
