import test from 'ava';
import { applyResources, planResources, ResourcesRefused } from '../../../lib/resources/apply.ts';
import type { DesiredResources } from '../../../lib/resources/desired.ts';
import { planExitCode } from '../../../lib/resources/render.ts';
import { MemoryCluster, MemoryRegistry } from './fixtures.ts';

const SCHEMA = { type: 'record', name: 'a', fields: [] };
const subject = (name: string): DesiredResources['subjects'][number] => ({
  subject: name,
  schemaType: 'AVRO',
  schema: SCHEMA,
  compatibility: 'BACKWARD_TRANSITIVE',
  group: 'a',
});
const DESIRED: DesiredResources = {
  topics: [
    { name: 'in', partitions: 4, configs: { 'retention.ms': '5', 'segment.ms': '6' }, fixedPartitions: true },
    { name: 'out', partitions: 4, configs: {} },
  ],
  subjects: [subject('in-a'), subject('out-a')],
};

test('CI-82 applying twice changes nothing the second time', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  const seen: string[] = [];
  const { schemaIds } = await applyResources(DESIRED, cluster, registry, {
    onChange: ({ kind }) => seen.push(kind),
  });
  t.deepEqual(cluster.calls, ['create in out']);
  t.deepEqual(registry.calls, [
    'level in-a BACKWARD_TRANSITIVE',
    'register in-a',
    'level out-a BACKWARD_TRANSITIVE',
    'register out-a',
  ]);
  t.deepEqual([...schemaIds].sort(), [
    ['in-a', 1],
    ['out-a', 1],
  ]);
  t.is(seen.length, 6);
  cluster.calls.length = 0;
  registry.calls.length = 0;
  t.is(planExitCode(await planResources(DESIRED, cluster, registry)), 0);
  await applyResources(DESIRED, cluster, registry);
  t.deepEqual([...cluster.calls, ...registry.calls], []);
});

test('drift is corrected in one call per topic, and unlisted keys stay', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  await applyResources(DESIRED, cluster, registry);
  await cluster.alterConfigs('in', { 'retention.ms': '1', 'segment.ms': '1', 'compression.type': 'lz4' });
  cluster.calls.length = 0;
  await applyResources(DESIRED, cluster, registry);
  t.deepEqual(cluster.calls, ['alter in {"retention.ms":"5","segment.ms":"6"}']);
  t.is(cluster.topics.get('in')?.configs['compression.type'], 'lz4');
});

test('one refusal holds everything back', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  await cluster.createTopics([{ name: 'in', partitions: 2, configs: {} }]);
  cluster.calls.length = 0;
  const error = await t.throwsAsync(applyResources(DESIRED, cluster, registry), {
    instanceOf: ResourcesRefused,
  });
  t.deepEqual(
    error.refusals.map(({ code }) => code),
    ['PARTITIONS_FIXED'],
  );
  t.regex(error.message, /in has 2 partitions, 4 are desired/);
  t.deepEqual([...cluster.calls, ...registry.calls], []);
});

test('a registry that refuses only when registering is heard too', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  registry.refusing.set('in-a', 'field x has no default');
  registry.checksPass = true;
  const error = await t.throwsAsync(applyResources(DESIRED, cluster, registry), {
    instanceOf: ResourcesRefused,
  });
  t.deepEqual(error.refusals, [
    { code: 'INCOMPATIBLE_SCHEMA', resource: 'in-a', message: 'field x has no default' },
  ]);
});

test('CI-84 a schema that got another id in a second subject is refused, not carried on with', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  registry.hold('in-a', SCHEMA, 99);
  const error = await t.throwsAsync(applyResources(DESIRED, cluster, registry), {
    instanceOf: ResourcesRefused,
  });
  t.is(error.refusals[0]?.code, 'SCHEMA_IDS_DIFFER');
  t.regex(error.message, /in-a 99, out-a 1/);
});

test('it waits until new topics are seen with all partitions, and says which are not', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  cluster.hiddenFor = 2;
  await applyResources(DESIRED, cluster, registry);
  const never = new MemoryCluster();
  never.hiddenFor = 1000;
  await t.throwsAsync(applyResources(DESIRED, never, new MemoryRegistry(), { visibleTimeoutMs: 0 }), {
    message: /not visible after 0 ms with all partitions: in \(0 of 4\), out \(0 of 4\)/,
  });
});

test('what is deleted by name is gone, the rest of the undesired stays', async (t) => {
  const [cluster, registry] = [new MemoryCluster(), new MemoryRegistry()];
  await cluster.createTopics(['x', 'y'].map((name) => ({ name, partitions: 1, configs: {} })));
  registry.hold('x-a', SCHEMA, 1);
  await applyResources(DESIRED, cluster, registry, { allowDelete: ['x', 'x-a'] });
  t.false(cluster.topics.has('x'));
  t.true(cluster.topics.has('y'));
  t.false(registry.schemas.has('x-a'));
  const { plan } = await applyResources(DESIRED, cluster, registry, { allowDelete: ['x', 'x-a'] });
  t.deepEqual(plan.changes, []);
  t.deepEqual(plan.unmanaged, { topics: ['y'], subjects: [] });
});
