/** A gate without servers: the admission topology in a TestDriver, with every schema in memory. */
import {
  avroAnyReader,
  avroSerde,
  bufferSerde,
  nullable,
  OfflineSchemas,
  partitionOf,
  stringSerde,
  TestDriver,
  type CompiledSchema,
  type TestRecord,
} from '../../../lib/index.ts';
import {
  compileEngineEventId,
  eventSchema,
  eventTypes,
  loadPolicies,
  loadSettings,
  OUTCOME_RECORD,
  outcomeSchema,
  outputDefinition,
  type Envelope,
  type Outcome,
  type Policies,
  type Settings,
} from '../../../apps/rails/index.ts';
import { admissionTopology } from '../../../apps/ingestion-gate/admission-topology.ts';

const NOWHERE = {
  KAFKA_BOOTSTRAP_SERVERS: '127.0.0.1:1',
  SCHEMA_REGISTRY_URL: 'http://127.0.0.1:1',
  POSTGRES_DSN: 'postgres://nobody@127.0.0.1:1/none',
  S3_ENDPOINT: 'http://127.0.0.1:1',
  S3_ACCESS_KEY: 'none',
  S3_SECRET_KEY: 'none',
  LAG_CONSOLE_URL: 'http://127.0.0.1:1',
};

export const RUN = 'platform_20260101T000000Z';
const WORLD = {
  manifest_fingerprint: 'c8'.repeat(32),
  parameter_hash: '56'.repeat(32),
  scenario_id: 'baseline_v1',
  seed: '42',
};
const EVENTS = 's3_event_stream_with_fraud_6B';
const eventIdOf = compileEngineEventId(outputDefinition(EVENTS));

/** A valid event of the fraud stream; `flow` and `seq` make its id. */
export function event(flow: string, seq: number, change: Partial<Envelope> = {}): Envelope {
  const payload = {
    flow_id: flow,
    event_seq: seq,
    event_type: 'AUTH_REQUEST',
    ts_utc: '2025-11-22T10:00:00.000000Z',
    amount: '12.50',
  };
  return {
    event_id: eventIdOf(WORLD, payload),
    event_type: EVENTS,
    ts_utc: '2025-11-22T10:00:00.000000Z',
    ...WORLD,
    run_id: 'a1'.repeat(16),
    platform_run_id: RUN,
    scenario_run_id: 'b2'.repeat(16),
    schema_version: 'v1',
    emitted_at_utc: null,
    producer: 'svc:test',
    trace_id: null,
    span_id: null,
    parent_event_id: null,
    payload,
    ...change,
  };
}

export interface Verdicts {
  readonly bus: readonly TestRecord<string, Buffer>[];
  readonly outcomes: readonly Outcome[];
}

export class GateFixture {
  readonly settings: Settings = loadSettings(NOWHERE);
  readonly policies: Policies = loadPolicies(this.settings.policies);
  readonly schemas = new OfflineSchemas();
  readonly driver: TestDriver;
  readonly #input;
  readonly #bus;
  readonly #outcomes;

  private constructor(
    outcomeSerde: ReturnType<typeof avroSerde<Outcome>>,
    schemas: OfflineSchemas,
    now: number,
  ) {
    this.schemas = schemas;
    const { topics, partitions } = this.settings;
    const dedupeTtlMs = this.policies.gate.dedupe_ttl_days * 86_400_000;
    const rules = { policies: this.policies, reader: avroAnyReader(schemas), partitions, dedupeTtlMs };
    const topology = admissionTopology(topics, rules, outcomeSerde);
    this.driver = new TestDriver(topology, { partitions, now, applicationId: this.settings.groups.gate });
    this.#input = this.driver.input(topics.ingress, { key: stringSerde, value: bufferSerde });
    const read = { key: stringSerde, value: bufferSerde };
    this.#bus = [topics.traffic, topics.control, topics.audit].map((topic) =>
      this.driver.output(topic, read),
    );
    this.#outcomes = this.driver.output(topics.outcomes, { value: nullable(outcomeSerde) });
  }

  static async create(now = 1_780_000_000_000): Promise<GateFixture> {
    const { topics } = loadSettings(NOWHERE);
    const schemas = new OfflineSchemas();
    for (const type of eventTypes()) schemas.register(`${topics.ingress}-${type}`, eventSchema(type));
    const subject = `${topics.outcomes}-${OUTCOME_RECORD}`;
    schemas.register(subject, outcomeSchema());
    const outcomeSerde = avroSerde<Outcome>(schemas, { subject });
    await outcomeSerde.prepare();
    return new GateFixture(outcomeSerde, schemas, now);
  }

  schemaOf(eventType: string): Promise<CompiledSchema> {
    return this.schemas.schemaFor(`${this.settings.topics.ingress}-${eventType}`);
  }

  /** Sends an envelope as its own event type's record, to the partition of its key; returns its ingress offset. */
  async send(envelope: Envelope, as: string = envelope.event_type): Promise<number> {
    const schema = await this.schemaOf(as);
    return this.sendBytes(schema.encode(envelope), this.partitionOf(envelope, as));
  }

  sendBytes(value: Buffer | null, partition = 0): number {
    return this.#input.pipe({ key: null, value, partition });
  }

  partitionOf(envelope: Envelope, as: string = envelope.event_type): number {
    const key = this.policies.partitioning.profileOf(as).key(envelope) ?? '';
    return partitionOf(Buffer.from(key), 0, key.length, this.settings.partitions);
  }

  /** What came out since the last call. */
  verdicts(): Verdicts {
    return {
      bus: this.#bus.flatMap((output) => output.read()),
      outcomes: this.#outcomes.read().map((record) => record.value!),
    };
  }
}
