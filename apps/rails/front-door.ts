/**
 * The way in for facts that the platform's own services tell: one envelope, encoded as its registered Avro record
 * and sent to the ingress topic, where the gate decides about it like about everything else.
 *
 * Facts are few, so each is published on its own and acknowledged before the next one goes; bulk replay has a
 * path of its own.
 */
import {
  KafkaError,
  OutgoingBatch,
  partitionOf,
  placeCopy,
  producerDefaults,
  SchemaRegistryError,
  SerdeError,
  type CompiledSchema,
  type KafkaClient,
  type Placement,
  type Producer,
  type SchemaSource,
} from '../../lib/index.ts';
import { envelopeProblems, type Envelope } from './envelope.ts';
import type { Partitioning } from './partitioning.ts';

export type FrontDoorErrorCode =
  /** The event type has no schema under the ingress topic. */
  | 'SCHEMA_NOT_REGISTERED'
  /** The envelope breaks its contract, or the payload does not fit the schema. */
  | 'EVENT_INVALID'
  /** The ingress topic does not exist. */
  | 'INGRESS_TOPIC_MISSING'
  /** The registry or the brokers do not answer; nothing was sent. */
  | 'SERVER_UNAVAILABLE'
  /** No acknowledgement: the event may or may not be in the log. Publish it again, unchanged. */
  | 'NOT_ACKNOWLEDGED';

export class FrontDoorError extends Error {
  override readonly name = 'FrontDoorError';
  readonly code: FrontDoorErrorCode;
  /** Publishing the same event again may succeed without anyone changing anything. */
  readonly retriable: boolean;

  constructor(code: FrontDoorErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.retriable = code === 'NOT_ACKNOWLEDGED' || code === 'SERVER_UNAVAILABLE';
  }
}

/** Where an acknowledged event lies. */
export interface FrontDoorReceipt {
  readonly topic: string;
  readonly partition: number;
  /** Absent only if the client could not tell. */
  readonly offset?: number;
}

export interface FrontDoorOptions {
  /** Idempotent and not transactional; used by this front door alone, and closed with it. */
  readonly producer: Producer;
  readonly schemas: SchemaSource;
  /** The ingress topic's full name. */
  readonly topic: string;
  /** Gives each event its key: the gate quarantines what lies on another partition than its key's. */
  readonly partitioning: Partitioning;
  /** Milliseconds to wait for metadata and for the acknowledgement. Default 30000. */
  readonly timeoutMs?: number;
}

export interface FrontDoorConnection extends Omit<FrontDoorOptions, 'producer'> {
  readonly client: KafkaClient;
  readonly bootstrapServers: string;
}

const DEFAULT_TIMEOUT_MS = 30_000;

export class FrontDoor {
  readonly topic: string;
  readonly #producer: Producer;
  readonly #schemas: SchemaSource;
  readonly #partitioning: Partitioning;
  readonly #timeoutMs: number;
  readonly #batch = new OutgoingBatch(1);
  readonly #known = new Map<string, CompiledSchema>();
  /** Publishes go one after the other, so that the last acknowledged offset is this event's. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: FrontDoorOptions) {
    this.topic = options.topic;
    this.#producer = options.producer;
    this.#schemas = options.schemas;
    this.#partitioning = options.partitioning;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  /** A front door with a producer of its own. Brokers are contacted in the background. */
  static connect(connection: FrontDoorConnection): FrontDoor {
    const timeoutMs = connection.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    const producer = connection.client.createProducer({
      ...producerDefaults,
      'bootstrap.servers': connection.bootstrapServers,
      acks: 'all',
      'linger.ms': 0,
      'message.timeout.ms': timeoutMs,
    });
    return new FrontDoor({ ...connection, producer });
  }

  /**
   * Publishes an event and resolves when all in-sync replicas have it. Events are published in the order of
   * the calls. Rejects with a FrontDoorError; after NOT_ACKNOWLEDGED the same event may be published again, because
   * the gate admits an event id once.
   */
  publish(event: Envelope): Promise<FrontDoorReceipt> {
    const publishing = this.#last.then(() => this.#publish(event));
    this.#last = publishing.catch(() => undefined);
    return publishing;
  }

  /** Waits for what is being published, then closes the producer. */
  async close(): Promise<void> {
    await this.#last;
    await this.#producer.close(this.#timeoutMs);
  }

  async #publish(event: Envelope): Promise<FrontDoorReceipt> {
    const problems = envelopeProblems(event);
    if (problems.length > 0)
      throw new FrontDoorError('EVENT_INVALID', `${event.event_type}: ${problems.join('; ')}`);
    const keyText = this.#partitioning.profileOf(event.event_type).key(event);
    if (keyText === undefined) {
      throw new FrontDoorError(
        'EVENT_INVALID',
        `${event.event_type} ${event.event_id} has no field to take its key from`,
      );
    }
    const schema = await this.#schemaOf(event.event_type);
    const partitions = await this.#partitions();

    const batch = this.#batch;
    batch.reset();
    const value: Placement = { source: 0, start: 0, length: 0 };
    try {
      schema.encodeInto(event, batch, value);
    } catch (error) {
      if (error instanceof SerdeError)
        throw new FrontDoorError('EVENT_INVALID', error.message, { cause: error });
      throw error;
    }
    const keyBytes = Buffer.from(keyText);
    const partition = partitionOf(keyBytes, 0, keyBytes.length, partitions);
    const key: Placement = { source: 0, start: 0, length: 0 };
    placeCopy(keyBytes, batch, key);
    batch.append(
      batch.topicIndex(this.topic),
      partition,
      0,
      key.source,
      key.start,
      key.length,
      value.source,
      value.start,
      value.length,
      0,
      0,
      0,
      0,
    );
    try {
      await this.#producer.produce(batch);
      await this.#producer.flush(this.#timeoutMs);
    } catch (error) {
      throw new FrontDoorError(
        'NOT_ACKNOWLEDGED',
        `${event.event_type} ${event.event_id} to ${this.topic}/${partition}: ${(error as Error).message}`,
        { cause: error },
      );
    }
    const offset = this.#producer.acknowledged(this.topic, partition);
    return offset < 0 ? { topic: this.topic, partition } : { topic: this.topic, partition, offset };
  }

  async #schemaOf(eventType: string): Promise<CompiledSchema> {
    const known = this.#known.get(eventType);
    if (known !== undefined) return known;
    const subject = `${this.topic}-${eventType}`;
    try {
      const schema = await this.#schemas.schemaFor(subject);
      this.#known.set(eventType, schema);
      return schema;
    } catch (error) {
      if (error instanceof SchemaRegistryError && NOT_REGISTERED.has(error.code)) {
        throw new FrontDoorError(
          'SCHEMA_NOT_REGISTERED',
          `the registry has no subject ${subject}: run \`npm run topology:apply\``,
          { cause: error },
        );
      }
      throw new FrontDoorError('SERVER_UNAVAILABLE', `schema of ${eventType}: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  async #partitions(): Promise<number> {
    try {
      return await this.#producer.partitionCount(this.topic, this.#timeoutMs);
    } catch (error) {
      const failure = error as Error;
      if (failure instanceof KafkaError && UNKNOWN_TOPIC.has(failure.codeName)) {
        throw new FrontDoorError(
          'INGRESS_TOPIC_MISSING',
          `there is no topic ${this.topic}: run \`npm run topology:apply\``,
          { cause: failure },
        );
      }
      throw new FrontDoorError('SERVER_UNAVAILABLE', `metadata of ${this.topic}: ${failure.message}`, {
        cause: failure,
      });
    }
  }
}

/** What librdkafka calls a topic that the brokers do not know, by where it finds out. */
const UNKNOWN_TOPIC: ReadonlySet<string> = new Set(['UNKNOWN_TOPIC_OR_PART', '_UNKNOWN_TOPIC']);

const NOT_REGISTERED: ReadonlySet<string> = new Set([
  'SUBJECT_NOT_FOUND',
  'VERSION_NOT_FOUND',
  'SCHEMA_NOT_FOUND',
]);
