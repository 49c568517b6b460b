import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { eventTypes, loadSettings, platformResources, type Settings } from '../../../apps/rails/index.ts';
import { CompiledSchema, ConfigError } from '../../../lib/index.ts';
import { ENVIRONMENT } from './environment.ts';

test('the local profile gives the names that everything else relies on', (t) => {
  const settings = loadSettings(ENVIRONMENT);
  t.is(settings.profile, 'local');
  t.is(settings.partitions, 4);
  t.deepEqual(settings.topics, {
    prefix: 'fp.',
    ingress: 'fp.ingress.v1',
    traffic: 'fp.bus.traffic.v1',
    control: 'fp.bus.control.v1',
    audit: 'fp.bus.audit.v1',
    outcomes: 'fp.ig.outcomes.v1',
    cursors: 'fp.wsp.cursors.v1',
    dedupeChangelog: 'fp.ingestion-gate-dedupe-changelog',
  });
  t.deepEqual(settings.groups, {
    gate: 'fp.ingestion-gate',
    ledger: 'fp.receipt-ledger',
    worldStreamer: 'fp.world-streamer-producer',
  });
  t.is(settings.objectStore.bucket, 'fraud-platform');
  t.is(settings.oracleStore.bucket, 'oracle-store');
  t.false('writer' in settings.oracleStore);
  t.is(settings.policies.partitioningProfileId, 'ig.partitioning.v0.traffic');
});

test('one prefix isolates topics and groups; the console listens where its URL says', (t) => {
  const settings = loadSettings({
    ...ENVIRONMENT,
    FP_TOPIC_PREFIX: 'test7.',
    LAG_CONSOLE_URL: 'http://127.0.0.1:1234',
  });
  const { prefix: _prefix, ...topics } = settings.topics;
  for (const name of [...Object.values(topics), ...Object.values(settings.groups)])
    t.true(name.startsWith('test7.'));
  t.like(settings.lagConsole, { host: '127.0.0.1', port: 1234 });
});

test('oracle writers have keys of their own, both or none', (t) => {
  const both = { ORACLE_S3_ACCESS_KEY: 'w', ORACLE_S3_SECRET_KEY: 'ws' };
  t.deepEqual(loadSettings({ ...ENVIRONMENT, ...both }).oracleStore.writer, {
    accessKey: 'w',
    secretKey: 'ws',
  });
  t.throws(() => loadSettings({ ...ENVIRONMENT, ORACLE_S3_ACCESS_KEY: 'w' }), {
    message: /ORACLE_S3_SECRET_KEY is not set/,
  });
});

test('CI-96 every missing variable is named at once, with the profile that wants it', (t) => {
  for (const name of Object.keys(ENVIRONMENT)) {
    const error = t.throws(() => loadSettings({ ...ENVIRONMENT, [name]: undefined }), {
      instanceOf: ConfigError,
    });
    t.is(error.problems.length, 1);
    t.true(error.message.includes(`environment variable ${name} is not set`));
    t.regex(error.message, /profiles\/local\.yaml/);
  }
  t.is(t.throws(() => loadSettings({}), { instanceOf: ConfigError }).problems.length, 6);
});

test('CI-38 a malformed secret is refused without being shown', (t) => {
  const error = t.throws(() => loadSettings({ ...ENVIRONMENT, POSTGRES_DSN: 'mysql://u:hunter2@h/d' }));
  t.regex(error.message, /postgres\.dsn.*\[REDACTED\]/);
  t.false(error.message.includes('hunter2'));
});

test('sealed worlds may not lie in the platform bucket', (t) => {
  t.throws(() => loadSettings({ ...ENVIRONMENT, FP_ORACLE_BUCKET: 'fraud-platform' }), {
    message: /one of their own/,
  });
});

test('every profile loads and names the same policies', (t) => {
  const refs = loadSettings(ENVIRONMENT).policies;
  const named = {
    ...ENVIRONMENT,
    FP_BUCKET: 'fraud-platform',
    FP_ORACLE_BUCKET: 'oracle-store',
    LAG_CONSOLE_URL: 'https://lag.example',
  };
  for (const profile of ['local', 'local_parity', 'dev', 'prod']) {
    const settings = loadSettings({ ...named, FP_PROFILE: profile });
    t.is(settings.profile, profile as Settings['profile']);
    t.deepEqual(settings.policies, refs);
  }
  t.throws(() => loadSettings({ ...named, FP_PROFILE: '../secrets' }), {
    message: /not the name of a profile/,
  });
});

test('CI-97 a profile that decides outcomes is refused', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'profiles-'));
  try {
    const text = readFileSync(new URL('../../../config/profiles/local.yaml', import.meta.url), 'utf8');
    writeFileSync(join(directory, 'local.yaml'), `${text}\nwsp:\n  stream_speedup: 9\n`);
    t.throws(() => loadSettings(ENVIRONMENT, directory), {
      message: /wsp\.stream_speedup: this decides outcomes/,
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});

const RESOURCES = platformResources(loadSettings({ ...ENVIRONMENT, FP_TOPIC_PREFIX: 'x.' }));

test('CI-82 all topics have one partition count and the prefix, and settings name each of them', (t) => {
  const { prefix: _prefix, ...names } = loadSettings({ ...ENVIRONMENT, FP_TOPIC_PREFIX: 'x.' }).topics;
  t.deepEqual(RESOURCES.topics.map((topic) => topic.name).sort(), Object.values(names).sort());
  for (const topic of RESOURCES.topics) {
    t.is(topic.partitions, 4);
    t.true(topic.fixedPartitions);
    t.is(topic.configs['message.timestamp.type'], 'CreateTime');
    t.is(topic.configs['min.insync.replicas'], '1');
  }
  const policyOf = (name: string): string | undefined =>
    RESOURCES.topics.find((topic) => topic.name === `x.${name}`)?.configs['cleanup.policy'];
  t.is(policyOf('bus.control.v1'), 'delete');
  t.is(policyOf('wsp.cursors.v1'), 'compact');
});

test('CI-79 the dedupe memory is at least as long as ingress and traffic keep records', (t) => {
  const retention = (name: string): number =>
    Number(RESOURCES.topics.find((topic) => topic.name === `x.${name}`)?.configs['retention.ms']);
  const memory = retention('ingestion-gate-dedupe-changelog');
  t.is(memory, 7 * 86_400_000);
  t.true(memory >= retention('ingress.v1') && memory >= retention('bus.traffic.v1'));
});

test('CI-84 each event type stands under ingress and its bus topic with one schema that compiles', (t) => {
  for (const eventType of eventTypes()) {
    const subjects = RESOURCES.subjects.filter((subject) => subject.group === eventType);
    t.is(subjects.length, 2);
    t.is(subjects[0]?.subject, `x.ingress.v1-${eventType}`);
    t.deepEqual(subjects[0]?.schema, subjects[1]?.schema);
    t.is(new CompiledSchema(1, subjects[0]!.schema).recordName, eventType);
    t.is(subjects[0]?.compatibility, 'BACKWARD_TRANSITIVE');
  }
  t.true(RESOURCES.subjects.some((subject) => subject.subject === 'x.ig.outcomes.v1-ig.outcome'));
});

test('every field of every schema says what it is', (t) => {
  const undocumented: string[] = [];
  const visit = (schema: unknown, path: string): void => {
    if (typeof schema !== 'object' || schema === null) return;
    if (Array.isArray(schema)) {
      for (const branch of schema) visit(branch, path);
      return;
    }
    const { fields, items, doc } = schema as {
      fields?: { name: string; type: unknown; doc?: string }[];
      items?: unknown;
      doc?: string;
    };
    if (items !== undefined) visit(items, path);
    if (fields === undefined) return;
    if (doc === undefined) undocumented.push(path);
    for (const field of fields) {
      if (field.doc === undefined || field.doc === '') undocumented.push(`${path}.${field.name}`);
      visit(field.type, `${path}.${field.name}`);
    }
  };
  for (const subject of RESOURCES.subjects) visit(subject.schema, subject.recordName);
  t.deepEqual(undocumented, []);
});
