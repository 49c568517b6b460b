/** READY on a real broker and registry: what a consumer of the ingress topic finds. */
import test from 'ava';
import {
  Bytes,
  createAdmin,
  nativeClient,
  OFFSET_BEGINNING,
  partitionOf,
  RecordBatch,
  SchemaRegistry,
  wireSchemaId,
} from '../../lib/index.ts';
import { FrontDoor } from '../../apps/rails/index.ts';
import { eventSchema, loadPolicies, partitionKey, type Envelope } from '../../apps/rails/index.ts';
import { reemit, submitRun } from '../../apps/scenario-runner/index.ts';
import { requestFor, runnerFixture, type RunnerFixture } from './scenario-runner/runner-fixture.ts';
import { writeSealedPack } from './scenario-runner/sealed-pack.ts';

let fixture: RunnerFixture;
let registry: SchemaRegistry;
let subject: string;

test.before(async () => {
  fixture = await runnerFixture();
  const { settings } = fixture;
  registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  subject = `${settings.topics.ingress}-run.ready`;
  const admin = createAdmin({ bootstrapServers: settings.kafka.bootstrapServers });
  await admin.createTopics([
    { name: settings.topics.ingress, partitions: settings.partitions, replicationFactor: 1 },
  ]);
  await admin.close();
});
test.after.always(async () => {
  const { settings } = fixture;
  const admin = createAdmin({ bootstrapServers: settings.kafka.bootstrapServers });
  await admin.deleteTopics([settings.topics.ingress]);
  await admin.close();
  await registry.client.deleteSubject(subject);
  await fixture.remove();
});

interface Found {
  readonly partition: number;
  readonly key: string;
  readonly event: Envelope;
}

/** Reads the ingress topic until `count` records are there. */
async function readIngress(count: number): Promise<Found[]> {
  const { settings } = fixture;
  const consumer = nativeClient.createConsumer({
    'bootstrap.servers': settings.kafka.bootstrapServers,
    'group.id': 'scenario-runner-test',
  });
  consumer.assign(
    Array.from({ length: settings.partitions }, (_none, partition) => ({
      topic: settings.topics.ingress,
      partition,
      offset: OFFSET_BEGINNING,
    })),
  );
  const found: Found[] = [];
  const batch = new RecordBatch();
  const deadline = Date.now() + 30_000;
  try {
    while (found.length < count && Date.now() < deadline) {
      await consumer.wait(500);
      const polled = consumer.poll(batch);
      for (let i = 0; i < polled; i += 1) {
        const value = new Bytes(batch.data, batch.valueStart[i], batch.valueLength[i]);
        const schema = await registry.fetch(wireSchemaId(value));
        found.push({
          partition: batch.partition[i]!,
          key: new Bytes(batch.data, batch.keyStart[i], batch.keyLength[i]).text(),
          event: JSON.parse(JSON.stringify(schema.decode(value))) as Envelope,
        });
      }
    }
  } finally {
    await consumer.close();
  }
  return found;
}

test.serial('without its schema a fact is refused with the way out, and nothing is sent', async (t) => {
  const { settings } = fixture;
  const door = FrontDoor.connect({
    client: nativeClient,
    bootstrapServers: settings.kafka.bootstrapServers,
    schemas: registry,
    topic: settings.topics.ingress,
    partitioning: loadPolicies(settings.policies).partitioning,
  });
  const pack = await writeSealedPack(fixture.oracle, '41');
  const { context } = await fixture.open({ publisher: door });
  const outcome = await submitRun(context, {
    platform_run_id: 'platform_20260201T000000Z',
    pack_root: pack.root,
    request: requestFor(pack, 'unregistered'),
  });
  t.like(outcome, { state: 'READY', published: false });
  t.regex(outcome.publish_failure!, /SCHEMA_NOT_REGISTERED.*topology:apply/);
  await door.close();
});

test.serial(
  "CI-29 READY and its re-emit lie on the run's partition, in wire format, with ids of their own",
  async (t) => {
    const { settings } = fixture;
    await registry.register(subject, eventSchema('run.ready'), 'BACKWARD_TRANSITIVE');
    const pack = await writeSealedPack(fixture.oracle, '42');
    const { context } = await fixture.open();
    const outcome = await submitRun(context, {
      platform_run_id: 'platform_20260202T000000Z',
      pack_root: pack.root,
      request: requestFor(pack, 'published'),
      replay: { speedup: 0 },
    });
    t.like(outcome, { state: 'READY', published: true, publish_failure: null });
    const again = await reemit(context, {
      platform_run_id: outcome.platform_run_id,
      run_id: outcome.run_id,
      reemit_kind: 'READY_ONLY',
    });
    const found = await readIngress(2);
    const key = partitionKey(outcome.run_id);
    const partition = partitionOf(Buffer.from(key), 0, key.length, settings.partitions);
    t.deepEqual(
      found.map((record) => [record.partition, record.key, record.event.event_type]),
      [
        [partition, key, 'run.ready'],
        [partition, key, 'run.ready'],
      ],
    );
    t.deepEqual(
      found.map((record) => record.event.payload['message_id']),
      [outcome.message_id, again.message_id],
    );
    t.not(found[0]!.event.event_id, found[1]!.event.event_id);
    const rows = await fixture.query<{ ingress_partition: number; ingress_offset: string }>(
      'select ingress_partition, ingress_offset from sr_outbox where platform_run_id = $1 order by attempt',
      [outcome.platform_run_id],
    );
    t.deepEqual(rows, [
      { ingress_partition: partition, ingress_offset: '0' },
      { ingress_partition: partition, ingress_offset: '1' },
    ]);
  },
);
