/** Plan and apply against a real broker and a real registry. */
import { randomBytes } from 'node:crypto';
import test from 'ava';
import { createAdmin } from '../../lib/kafka/admin.ts';
import { applyResources, planResources, ResourcesRefused } from '../../lib/resources/apply.ts';
import type { DesiredResources } from '../../lib/resources/desired.ts';
import { planExitCode } from '../../lib/resources/render.ts';
import { SchemaRegistry } from '../../lib/serde/schema-registry.ts';

const setting = (name: string): string => {
  const value = process.env[name] ?? '';
  if (value === '') throw new Error(`${name} is not set: start the stack and source its settings`);
  return value;
};
const admin = createAdmin({ bootstrapServers: setting('KAFKA_BOOTSTRAP_SERVERS') });
const registry = new SchemaRegistry({ url: setting('SCHEMA_REGISTRY_URL') });
const run = `it-resources-${randomBytes(4).toString('hex')}`;

/** A desired state of its own for one test: two topics that share one record type. */
function desiredFor(name: string, ...more: object[]): DesiredResources & { readonly topicNames: string[] } {
  const topicNames = ['in', 'bus'].map((topic) => `${run}-${name}-${topic}`);
  const schema = {
    type: 'record',
    name: `${run.replaceAll('-', '_')}.${name}`,
    fields: [{ name: 'id', type: 'string' }, ...more],
  };
  return {
    topicNames,
    topics: topicNames.map((topic) => ({
      name: topic,
      partitions: 3,
      replicationFactor: 1,
      configs: { 'retention.ms': '86400000', 'cleanup.policy': 'delete' },
      fixedPartitions: true,
    })),
    subjects: topicNames.map((topic) => ({
      subject: `${topic}-${schema.name}`,
      schemaType: 'AVRO',
      schema,
      compatibility: 'BACKWARD_TRANSITIVE',
      group: schema.name,
    })),
  };
}

test.after.always(async () => {
  const topics = (await admin.listTopics()).filter((name) => name.startsWith(run));
  if (topics.length > 0) await admin.deleteTopics(topics);
  for (const subject of await registry.client.subjects()) {
    if (!subject.startsWith(run)) continue;
    await registry.client.deleteSubject(subject);
    await registry.client.deleteSubject(subject, true);
  }
  await admin.close();
});

test('CI-82 plan, apply, plan: everything comes into being once, and the second plan is empty', async (t) => {
  const desired = desiredFor('once');
  const before = await planResources(desired, admin, registry);
  t.is(planExitCode(before), 3);
  t.deepEqual(
    before.changes.map(({ kind }) => kind),
    [
      'create-topic',
      'create-topic',
      'set-compatibility',
      'register-schema',
      'set-compatibility',
      'register-schema',
    ],
  );
  await applyResources(desired, admin, registry);
  const described = await admin.describeTopics(desired.topicNames);
  t.deepEqual(
    described.map(({ partitions, replicationFactor, configs }) => [
      partitions,
      replicationFactor,
      configs['retention.ms'],
    ]),
    [
      [3, 1, '86400000'],
      [3, 1, '86400000'],
    ],
  );
  const after = await planResources(desired, admin, registry);
  t.deepEqual(after.changes, []);
  t.deepEqual(after.refusals, []);
  t.is(planExitCode(after), 0);
});

test('CI-84 a schema has equal ids under both topics, and its compatibility is enforced', async (t) => {
  const desired = desiredFor('ids');
  const { schemaIds } = await applyResources(desired, admin, registry);
  t.is(schemaIds.size, 2);
  t.is(new Set(schemaIds.values()).size, 1);
  for (const { subject } of desired.subjects) {
    t.is(await registry.client.compatibility(subject), 'BACKWARD_TRANSITIVE');
  }
});

test('CI-84 an incompatible schema is refused before anything changes, and a compatible one is the next version', async (t) => {
  await applyResources(desiredFor('evolve'), admin, registry);
  const broken = desiredFor('evolve', { name: 'needed', type: 'string' });
  const error = await t.throwsAsync(applyResources(broken, admin, registry), {
    instanceOf: ResourcesRefused,
  });
  t.deepEqual(
    error.refusals.map(({ code }) => code),
    ['INCOMPATIBLE_SCHEMA', 'INCOMPATIBLE_SCHEMA'],
  );
  t.regex(error.message, /needed/);
  t.is(planExitCode(await planResources(broken, admin, registry)), 1);
  const evolved = desiredFor('evolve', { name: 'note', type: ['null', 'string'], default: null });
  const { schemaIds } = await applyResources(evolved, admin, registry);
  t.is(new Set(schemaIds.values()).size, 1);
  for (const { subject } of evolved.subjects) t.deepEqual(await registry.client.versions(subject), [1, 2]);
});

test('drift is put right, and what is not listed keeps its value', async (t) => {
  const desired = desiredFor('drift');
  await applyResources(desired, admin, registry);
  const [topic, subject] = [desired.topicNames[0]!, desired.subjects[0]!.subject];
  await admin.alterConfigs(topic, { 'retention.ms': '1000000', 'segment.ms': '7200000' });
  await registry.client.setCompatibility(subject, 'NONE');
  const drifted = await planResources(desired, admin, registry);
  t.deepEqual(drifted.changes, [
    { kind: 'alter-config', topic, key: 'retention.ms', from: '1000000', to: '86400000' },
    { kind: 'set-compatibility', subject, from: 'NONE', to: 'BACKWARD_TRANSITIVE' },
  ]);
  await applyResources(desired, admin, registry);
  const [described] = await admin.describeTopics([topic]);
  t.is(described?.configs['retention.ms'], '86400000');
  t.is(described?.configs['segment.ms'], '7200000');
  t.deepEqual((await planResources(desired, admin, registry)).changes, []);
});

test('partition counts: raised where allowed, refused where keyed, never lowered', async (t) => {
  const desired = desiredFor('counts');
  await applyResources(desired, admin, registry);
  const withCount = (partitions: number, fixedPartitions: boolean): DesiredResources => ({
    ...desired,
    topics: desired.topics.map((topic) => ({ ...topic, partitions, fixedPartitions })),
  });
  for (const [count, fixed, code] of [
    [5, true, 'PARTITIONS_FIXED'],
    [2, false, 'PARTITIONS_DECREASE'],
  ] as const) {
    const error = await t.throwsAsync(applyResources(withCount(count, fixed), admin, registry), {
      instanceOf: ResourcesRefused,
    });
    t.is(error.refusals[0]?.code, code);
  }
  await applyResources(withCount(5, false), admin, registry);
  const described = await admin.describeTopics(desired.topicNames);
  t.deepEqual(
    described.map(({ partitions }) => partitions),
    [5, 5],
  );
});

test('another cluster is refused; undesired things are listed and deleted only by name', async (t) => {
  const desired = desiredFor('other');
  const wrong = await planResources({ ...desired, clusterId: 'another' }, admin, registry);
  t.deepEqual(
    wrong.refusals.map(({ code }) => code),
    ['WRONG_CLUSTER'],
  );
  await applyResources({ ...desired, clusterId: wrong.clusterId }, admin, registry);
  const [kept, dropped] = desired.topics;
  const less = { topics: [kept!], subjects: [desired.subjects[0]!] };
  const { plan } = await applyResources(less, admin, registry);
  t.true(plan.unmanaged.topics.includes(dropped!.name));
  t.true(plan.unmanaged.subjects.includes(desired.subjects[1]!.subject));
  await applyResources(less, admin, registry, { allowDelete: [dropped!.name] });
  t.false((await admin.listTopics()).includes(dropped!.name));
  t.true((await registry.client.subjects()).includes(desired.subjects[1]!.subject));
});
