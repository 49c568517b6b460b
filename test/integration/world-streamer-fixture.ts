/**
 * A small sealed world on a real object store, the topics and schemas around it, and READY: what the streamer's
 * integration tests stand on. Everything has a name of its own and is deleted by `close`.
 */
import { randomBytes } from 'node:crypto';

import {
  eventSchema,
  loadPolicies,
  loadSettings,
  controlEventId,
  oraclePackId,
  outputDefinition,
  partitionKey,
  requiredGates,
  sha256Hex,
  sourceLocatorDigest,
  streamedOutputs,
  streamViewId,
  type Envelope,
  type WorldKey,
} from '../../apps/rails/index.ts';
import type { ReadyOutput } from '../../apps/world-streamer-producer/ready.ts';
import { STREAM_FACT_TYPES } from '../../apps/world-streamer-producer/stream-facts.ts';
import type { StreamerContext } from '../../apps/world-streamer-producer/streamer-context.ts';
import {
  Bytes,
  nativeClient,
  ObjectStore,
  OFFSET_BEGINNING,
  OutgoingBatch,
  partitionOf,
  producerDefaults,
  RecordBatch,
  SchemaRegistry,
  type Bucket,
  type Consumer,
} from '../../lib/index.ts';
import { createAdmin } from '../../lib/kafka/admin.ts';
import { MicrosWriter } from '../../lib/replay/event-time.ts';
import { arrowPart, type Columns } from '../lib/replay/arrow-fixture.ts';
import { viewColumns, type Row } from '../apps/world-streamer-producer/row-fixture.ts';

export const PARTITIONS = 4;
export const WORLD: WorldKey = {
  manifest_fingerprint: 'c8fd43cd60ce0ede0c63d2ceb4610f167c9b107e1d59b9b8c7d7b8d0028b05c8',
  parameter_hash: '56d45126eaabedd083a1d8428a763e0278c89efec5023cfd6cf3cab7fc8dd2d7',
  scenario_id: 'baseline_v1',
  seed: '42',
};
const ENGINE_RUN = 'c25a2675fbfbacd952b13bb594880e92';
/** Flows per record batch: up to 16,384 rows, as the view builder has them. */
const BATCH_FLOWS = 8192;
const FIRST_EVENT_MICROS = Date.UTC(2026, 0, 1) * 1000;
const micros = new MicrosWriter();

export interface SentEvent {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly envelope: Envelope;
}

function setting(name: string): string {
  const value = process.env[name] ?? '';
  if (value === '') throw new Error(`${name} is not set: start the stack and source its settings`);
  return value;
}

/** Rows of an output for the flows from … to, one flow each millisecond; an anchor shares its first event's time. */
function rowsOf(outputId: string, from: number, to: number): Row[] {
  const rows: Row[] = [];
  for (let i = from; i < to; i += 1) {
    const at = FIRST_EVENT_MICROS + i * 1000;
    const ids = { merchant_id: BigInt((i % 7) + 1), arrival_seq: BigInt(i) };
    const flow = { flow_id: 10_000_000_000n + BigInt(i), ts_utc: micros.text(at), amount: (i % 500) + 0.25 };
    const party = {
      party_id: 1n,
      account_id: 2n,
      instrument_id: 3n,
      device_id: 4n,
      ip_id: 5n,
      session_id: 6n,
    };
    const fraud = { fraud_flag: i % 50 === 0, campaign_id: i % 50 === 0 ? 'CAMPAIGN-SECRET' : null };
    if (outputId === 'arrival_events_5B') {
      const text = {
        zone_representation: 'z',
        tzid_primary: 'Europe/Berlin',
        ts_local_primary: micros.text(at),
      };
      rows.push({ ...ids, ...text, bucket_index: 0n, ts_utc: micros.text(at), is_virtual: false });
    } else if (outputId === 's1_arrival_entities_6B') {
      rows.push({ ...ids, ...party, ts_utc: micros.text(at) });
    } else if (outputId.includes('flow_anchor')) {
      rows.push({ ...flow, ...ids, ...party, ...fraud });
    } else {
      rows.push({ ...flow, ...fraud, event_seq: 0n, event_type: 'AUTH_REQUEST' });
      rows.push({
        ...flow,
        ...fraud,
        event_seq: 1n,
        event_type: 'AUTH_RESPONSE',
        ts_utc: micros.text(at + 500),
      });
    }
  }
  return rows;
}

export class WorldStreamerFixture {
  readonly prefix: string;
  readonly topics: { readonly ingress: string; readonly control: string; readonly cursors: string };
  readonly platformBucket: string;
  readonly oracleBucket: string;
  readonly store: ObjectStore;
  readonly schemas = new SchemaRegistry({ url: setting('SCHEMA_REGISTRY_URL') });
  readonly outputs: ReadyOutput[] = [];
  readonly #oracle: ObjectStore;
  readonly #admin = createAdmin({ bootstrapServers: setting('KAFKA_BOOTSTRAP_SERVERS') });
  #packId = '';

  /** @param name of a fixture that another process has opened; by default a new one */
  constructor(name = `it-wsp-${randomBytes(4).toString('hex')}`) {
    this.prefix = `${name}.`;
    this.topics = {
      ingress: `${name}.ingress.v1`,
      control: `${name}.bus.control.v1`,
      cursors: `${name}.wsp.cursors.v1`,
    };
    this.platformBucket = `fraud-platform-${name}`;
    this.oracleBucket = `oracle-store-${name}`;
    const endpoint = setting('S3_ENDPOINT');
    const keys = (access: string, secret: string) => ({
      accessKey: setting(access),
      secretKey: setting(secret),
    });
    this.store = ObjectStore.connect({ endpoint, ...keys('S3_ACCESS_KEY', 'S3_SECRET_KEY') });
    this.#oracle = ObjectStore.connect({ endpoint, ...keys('ORACLE_S3_ACCESS_KEY', 'ORACLE_S3_SECRET_KEY') });
  }

  /** @param partFlows flows per part; by default half of them */
  async open(flows: number, partFlows = Math.ceil(flows / 2)): Promise<void> {
    const topics = Object.values(this.topics).map((name) => ({ name, partitions: PARTITIONS, configs: {} }));
    await this.#admin.createTopics(topics);
    for (const eventType of this.#eventTypes()) {
      await this.schemas.register(`${this.topics.ingress}-${eventType}`, eventSchema(eventType));
    }
    await this.store.ensureBucket(this.platformBucket);
    await this.#oracle.ensureBucket(this.oracleBucket);
    await this.#writeWorld(flows, partFlows);
  }

  async close(): Promise<void> {
    await this.#admin.deleteTopics(Object.values(this.topics));
    await this.#admin.close();
    for (const eventType of this.#eventTypes()) {
      const subject = `${this.topics.ingress}-${eventType}`;
      await this.schemas.client.deleteSubject(subject);
      await this.schemas.client.deleteSubject(subject, true);
    }
    for (const [store, name] of [
      [this.store, this.platformBucket],
      [this.#oracle, this.oracleBucket],
    ] as const) {
      for await (const { key } of store.bucket(name).list('')) await store.bucket(name).remove(key);
      await store.removeBucket(name);
      store.close();
    }
  }

  get name(): string {
    return this.prefix.slice(0, -1);
  }

  /** The bucket that holds the world, with the writer's keys: for breaking it. */
  get world(): Bucket {
    return this.#oracle.bucket(this.oracleBucket);
  }
  packKey(file: string): string {
    return `packs/${this.#packId}/${file}`;
  }

  context(changes: Partial<StreamerContext> = {}): StreamerContext {
    const policies = loadPolicies(loadSettings().policies);
    return {
      client: nativeClient,
      kafkaConfig: { 'bootstrap.servers': setting('KAFKA_BOOTSTRAP_SERVERS') },
      store: this.store,
      schemas: this.schemas,
      partitioning: policies.partitioning,
      topics: this.topics,
      group: `${this.prefix}world-streamer-producer`,
      producerId: policies.worldStreamer.producer_id,
      producerAllowlist: policies.worldStreamer.producer_allowlist,
      schemaVersion: policies.worldStreamer.schema_version,
      laneCount: 1,
      policy: { speedup: 0, max_events: null, max_events_per_output: null },
      overrides: {},
      pacing: {},
      timeoutMs: 30_000,
      ...changes,
    };
  }

  /** Writes a run's facts and puts its READY on the control topic, as the gate would after admitting it. */
  async ready(
    runName: string,
    attempt = 1,
    changes: Readonly<Record<string, unknown>> = {},
  ): Promise<Envelope> {
    const envelope = await this.readyEnvelope(runName, attempt, changes);
    await this.control(envelope);
    return envelope;
  }

  /** Puts a fact on the control topic, as the gate would after admitting it. */
  async control(envelope: Envelope): Promise<void> {
    const schema = await this.schemas.schemaFor(`${this.topics.ingress}-${envelope.event_type}`);
    const producer = nativeClient.createProducer({ ...producerDefaults, ...this.context().kafkaConfig });
    const batch = new OutgoingBatch(1);
    const key = partitionKey(envelope.scenario_run_id!);
    batch.add({ topic: this.topics.control, key, value: schema.encode(envelope) });
    await producer.produce(batch);
    await producer.flush(30_000);
    await producer.close(30_000);
  }

  /** Deletes every record of the cursor topic: what an operator's slip or a lost disk would do. */
  async loseCursors(): Promise<void> {
    const offsets = await this.#admin.topicOffsets(this.topics.cursors);
    await this.#admin.deleteRecords(
      this.topics.cursors,
      offsets.map(({ partition, high }) => ({ partition, offset: high })),
    );
  }

  /** A run's name whose READY lies on this control partition. */
  nameOn(partition: number, stem: string): string {
    for (let n = 0; ; n += 1) {
      const name = `${stem}-${n}`;
      const key = Buffer.from(partitionKey(this.#runId(name)));
      if (partitionOf(key, 0, key.length, PARTITIONS) === partition) return name;
    }
  }

  #runId(runName: string): string {
    return sha256Hex(`${this.prefix}${runName}`).slice(0, 32);
  }

  async readyEnvelope(
    runName: string,
    attempt: number,
    changes: Readonly<Record<string, unknown>> = {},
  ): Promise<Envelope> {
    const runId = this.#runId(runName);
    const pins = {
      ...WORLD,
      run_id: runId,
      platform_run_id: 'platform_20260101T000000Z',
      scenario_run_id: runId,
    };
    const bundle = sha256Hex(`bundle ${runId}`);
    const factsKey = `${pins.platform_run_id}/sr/run_facts_view/${runId}.json`;
    const facts = { ...pins, pins, bundle_hash: bundle };
    await this.store.bucket(this.platformBucket).put(factsKey, Buffer.from(JSON.stringify(facts)));
    const packRoot = `s3://${this.oracleBucket}/packs/${this.#packId}/`;
    const revision = { policy_id: 'sr.policy', revision: '1', content_digest: sha256Hex('policy') };
    const payload = {
      ...pins,
      attempt,
      message_id: sha256Hex(`${runId} ${attempt}`),
      facts_view_ref: `s3://${this.platformBucket}/${factsKey}`,
      bundle_hash: bundle,
      plan_hash: null,
      run_config_digest: revision.content_digest,
      traffic_mode: 'fraud',
      outputs: this.outputs.map((output) => ({
        ...output,
        role: outputDefinition(output.output_id).role,
        content_digest: sha256Hex('content'),
        view_manifest_ref: `${packRoot}stream_view/ts_utc/output_id=${output.output_id}/_stream_view_manifest.json`,
      })),
      gates: requiredGates(this.outputs.map(({ output_id }) => output_id)).map((gate_id) => ({
        gate_id,
        status: 'PASS',
      })),
      oracle_pack_ref: {
        oracle_pack_id: this.#packId,
        manifest_ref: `${packRoot}_oracle_pack_manifest.json`,
        engine_run_root: `s3://${this.oracleBucket}/engine/${ENGINE_RUN}/`,
        oracle_root: `s3://${this.oracleBucket}/`,
        stream_view_root: `${packRoot}stream_view/ts_utc/`,
        engine_run_id: ENGINE_RUN,
        scenario_id: WORLD.scenario_id,
        engine_release: 'test-engine-1',
      },
      policy_rev: revision,
      speedup: null,
      max_events: null,
      max_events_per_output: null,
      emitted_at_utc: null,
      service_release_id: null,
      environment: null,
      provenance: null,
      ...changes,
    };
    return {
      event_id: controlEventId('run.ready', pins.platform_run_id, runId, attempt),
      event_type: 'run.ready',
      ts_utc: '2026-01-01T00:00:00.000000Z',
      ...pins,
      schema_version: 'v1',
      emitted_at_utc: null,
      producer: 'svc:scenario_runner',
      trace_id: null,
      span_id: null,
      parent_event_id: null,
      payload,
    };
  }

  /** Every committed record of the ingress topic up to its present end, in partition and offset order. */
  async ingress(): Promise<SentEvent[]> {
    const consumer = this.#reader();
    const events: SentEvent[] = [];
    const batch = new RecordBatch();
    const ended = new Set<number>();
    while (ended.size < PARTITIONS) {
      const count = consumer.poll(batch);
      for (let i = 0; i < count; i += 1) {
        const bytes = new Bytes(batch.data, batch.valueStart[i], batch.valueLength[i]);
        const schema = await this.schemas.fetch(bytes.view().readInt32BE(1));
        const keyStart = batch.keyStart[i]!;
        events.push({
          partition: batch.partition[i]!,
          offset: batch.offset[i]!,
          key: batch.data.toString('utf8', keyStart, keyStart + batch.keyLength[i]!),
          envelope: schema.decode(bytes) as Envelope,
        });
      }
      for (const event of consumer.takeEvents()) if (event.type === 'end') ended.add(event.partition);
      if (count === 0) await consumer.wait(50);
    }
    await consumer.close();
    return events.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  #reader(): Consumer {
    const consumer = nativeClient.createConsumer({
      ...this.context().kafkaConfig,
      'group.id': `${this.prefix}reader`,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
    });
    consumer.assign(
      Array.from({ length: PARTITIONS }, (_, partition) => ({
        topic: this.topics.ingress,
        partition,
        offset: OFFSET_BEGINNING,
      })),
    );
    return consumer;
  }

  #eventTypes(): string[] {
    const outputs = streamedOutputs('fraud').map(({ output_id }) => output_id);
    return [...outputs, 'run.ready', 'stream.command', ...STREAM_FACT_TYPES];
  }

  async #writeWorld(flows: number, partFlows: number): Promise<void> {
    const outputs = streamedOutputs('fraud');
    const digests = { catalogue_digest: sha256Hex('catalogue'), gate_map_digest: sha256Hex('gates') };
    const identity = { ...WORLD, engine_release: 'test-engine-1', ...digests };
    this.#packId = oraclePackId(identity);
    const engineParts = outputs.map(({ output_id }) => [
      { path: `data/${output_id}/part-0.parquet`, bytes: 1, sha256: sha256Hex(output_id) },
    ]);
    await this.#json(`engine/${ENGINE_RUN}/run_receipt.json`, { run_id: ENGINE_RUN, ...WORLD });
    const manifest = await this.#json(this.packKey('_oracle_pack_manifest.json'), {
      version: 'v1',
      oracle_pack_id: this.#packId,
      world_key: WORLD,
      engine_release: 'test-engine-1',
      engine_run_id: ENGINE_RUN,
      engine_run_root: `engine/${ENGINE_RUN}`,
      ...digests,
      outputs: outputs.map(({ output_id }, i) => ({ output_id, parts: engineParts[i] })),
      created_at_utc: '2026-01-01T00:00:00.000000Z',
    });
    for (const [i, { output_id }] of outputs.entries()) {
      await this.#writeView(output_id, flows, partFlows, sourceLocatorDigest(engineParts[i]!));
    }
    await this.#json(this.packKey('_SEALED.json'), {
      version: 'v1',
      oracle_pack_id: this.#packId,
      manifest_sha256: manifest,
      seal_status: 'SEALED_OK',
      sealed_at_utc: '2026-01-01T00:00:00.000000Z',
    });
  }

  async #writeView(outputId: string, flows: number, partFlows: number, source: string): Promise<void> {
    const { sort_keys: sortKeys, row_key: rowKey } = outputDefinition(outputId);
    const identity = {
      output_id: outputId,
      sort_keys: [...sortKeys, ...rowKey],
      partition_granularity: 'flat' as const,
    };
    const viewId = streamViewId({ ...identity, world: WORLD, source_locator_digest: source });
    const folder = this.packKey(`stream_view/ts_utc/output_id=${outputId}`);
    const created = { created_utc: '2026-01-01T00:00:00.000000Z' };
    const parts: {
      file: string;
      rows: number;
      bytes: number;
      sha256: string;
      min_ts_utc: string;
      max_ts_utc: string;
    }[] = [];
    // A part at a time, in record batches as the view builder cuts them: a world may be larger than memory.
    for (let from = 0; from < flows; from += partFlows) {
      const to = Math.min(flows, from + partFlows);
      const batches: Columns[] = [];
      let count = 0;
      for (let at = from; at < to; at += BATCH_FLOWS) {
        const rows = rowsOf(outputId, at, Math.min(to, at + BATCH_FLOWS));
        count += rows.length;
        batches.push(viewColumns(outputDefinition(outputId), rows));
      }
      const file = `part-${String(parts.length).padStart(6, '0')}.arrow`;
      const bytes = arrowPart(batches);
      await this.world.put(`${folder}/${file}`, bytes);
      const [first] = rowsOf(outputId, from, from + 1);
      const last = rowsOf(outputId, to - 1, to).at(-1);
      parts.push({
        file,
        rows: count,
        bytes: bytes.length,
        sha256: sha256Hex(bytes),
        min_ts_utc: String(first!['ts_utc']),
        max_ts_utc: String(last!['ts_utc']),
      });
    }
    const rowCount = parts.reduce((sum, { rows }) => sum + rows, 0);
    const range = { min_ts_utc: parts[0]!.min_ts_utc, max_ts_utc: parts.at(-1)!.max_ts_utc };
    const manifest = await this.#json(`${folder}/_stream_view_manifest.json`, {
      version: 'v1',
      stream_view_id: viewId,
      ...identity,
      oracle_pack_id: this.#packId,
      engine_run_id: ENGINE_RUN,
      scenario_id: WORLD.scenario_id,
      world_key: WORLD,
      row_count: rowCount,
      ...range,
      parts,
      ...created,
    });
    const stats = { row_count: rowCount, multiset_digest: '0'.repeat(32), ...range };
    await this.#json(`${folder}/_stream_sort_receipt.json`, {
      version: 'v1',
      status: 'OK',
      stream_view_id: viewId,
      ...identity,
      source_locator_digest: source,
      manifest_sha256: manifest,
      raw_stats: stats,
      sorted_stats: stats,
      ...created,
    });
    this.outputs.push({ output_id: outputId, row_count: rowCount, view_id: viewId });
  }

  /** Writes a document and returns the sha256 of its bytes. */
  async #json(key: string, document: object): Promise<string> {
    const bytes = Buffer.from(JSON.stringify(document));
    await this.world.put(key, bytes);
    return sha256Hex(bytes);
  }
}
