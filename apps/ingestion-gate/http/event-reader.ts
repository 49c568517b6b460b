/**
 * From the bytes of one pushed event to the ingress record that carries it. What fits its registered schema becomes the
 * Avro record; what does not is sent as it came, so that the gate leaves evidence of it, and the answer names the
 * fields at fault.
 */
import { isUtf8 } from 'node:buffer';
import {
  partitionOf,
  SchemaRegistryError,
  SerdeError,
  type CompiledSchema,
  type SchemaSource,
} from '../../../lib/index.ts';
import type { Envelope, Partitioning } from '../../rails/index.ts';
import { compileJsonToAvro, type MappedEvent } from './json-to-avro.ts';
import { DoorError, type FieldProblem } from './problem.ts';

export interface IngressRecord {
  readonly partition: number;
  readonly key: string | null;
  readonly value: Buffer;
  /** True when the value is base64 text of what came: only Avro may begin with a zero byte on ingress. */
  readonly base64: boolean;
  /** What keeps the event from its schema; empty when it is the Avro record. */
  readonly problems: readonly FieldProblem[];
  /** What the event says of itself, as far as it is text. */
  readonly claims: Claims;
}

export interface Claims {
  readonly event_id?: string;
  readonly event_type?: string;
  readonly platform_run_id?: string;
  readonly producer?: string;
}

export interface EventReaderOptions {
  readonly schemas: SchemaSource;
  readonly ingressTopic: string;
  readonly partitioning: Partitioning;
  /** Types that the class map knows: nothing else is asked of the registry. */
  readonly eventTypes: readonly string[];
  readonly partitions: number;
  readonly now?: () => number;
}

interface EventSchema {
  readonly schema: CompiledSchema;
  readonly map: (json: unknown) => MappedEvent;
  readonly readAt: number;
}

/** A newer version of a schema is used this long after it was registered at the latest, milliseconds. */
const SCHEMA_AGE_MS = 30_000;
const NOT_REGISTERED: ReadonlySet<string> = new Set([
  'SUBJECT_NOT_FOUND',
  'VERSION_NOT_FOUND',
  'SCHEMA_NOT_FOUND',
]);
const REGISTRY_RETRY_SECONDS = 2;

export class EventReader {
  readonly #options: EventReaderOptions;
  readonly #eventTypes: ReadonlySet<string>;
  readonly #schemas = new Map<string, EventSchema>();
  readonly #fetching = new Map<string, Promise<EventSchema | undefined>>();
  readonly #now: () => number;
  #nextPartition = 0;

  constructor(options: EventReaderOptions) {
    this.#options = options;
    this.#eventTypes = new Set(options.eventTypes);
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * `allow` is asked with what the event claims before it is mapped, and throws to refuse it. Rejects with DoorError
   * when the registry does not answer and the type's schema is not at hand.
   */
  async read(bytes: Buffer, allow: (claims: Claims) => void): Promise<IngressRecord> {
    if (!isUtf8(bytes)) return this.#raw(bytes, {}, '(event)', 'must be UTF-8');
    let json: unknown;
    try {
      json = JSON.parse(bytes.toString('utf8'));
    } catch (error) {
      return this.#raw(bytes, {}, '(event)', `must be JSON: ${(error as Error).message}`);
    }
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      return this.#raw(bytes, {}, '(event)', 'must be a JSON object');
    const claims = claimsOf(json as Readonly<Record<string, unknown>>);
    allow(claims);
    const eventType = claims.event_type;
    if (eventType === undefined) return this.#raw(bytes, claims, 'event_type', 'must be text');
    const found = this.#eventTypes.has(eventType) ? await this.#schemaOf(eventType) : undefined;
    if (found === undefined)
      return this.#raw(
        bytes,
        claims,
        'event_type',
        `no schema is registered for ${JSON.stringify(eventType)}`,
      );
    const mapped = found.map(json);
    if (mapped.problems !== undefined) return this.#rawRecord(bytes, claims, mapped.problems);
    let value: Buffer;
    try {
      value = found.schema.encode(mapped.value);
    } catch (error) {
      if (error instanceof SerdeError) return this.#raw(bytes, claims, '(event)', error.message);
      throw error;
    }
    const envelope = mapped.value as unknown as Envelope;
    const key = this.#options.partitioning.profileOf(eventType).key(envelope);
    return {
      partition: key === undefined ? this.#anyPartition() : partitionOfKey(key, this.#options.partitions),
      key: key ?? null,
      value,
      base64: false,
      problems: [],
      claims,
    };
  }

  #raw(bytes: Buffer, claims: Claims, field: string, message: string): IngressRecord {
    return this.#rawRecord(bytes, claims, [{ field, message }]);
  }

  #rawRecord(bytes: Buffer, claims: Claims, problems: readonly FieldProblem[]): IngressRecord {
    // Five bytes beginning with zero would be read as an Avro record, past every check of this door.
    const base64 = bytes[0] === 0;
    return {
      partition: this.#anyPartition(),
      key: null,
      value: base64 ? Buffer.from(bytes.toString('base64')) : bytes,
      base64,
      problems,
      claims,
    };
  }

  #anyPartition(): number {
    this.#nextPartition = (this.#nextPartition + 1) % this.#options.partitions;
    return this.#nextPartition;
  }

  /** The type's latest schema; undefined when none is registered. A registry that is down leaves the known one in use. */
  async #schemaOf(eventType: string): Promise<EventSchema | undefined> {
    const known = this.#schemas.get(eventType);
    if (known !== undefined && this.#now() - known.readAt < SCHEMA_AGE_MS) return known;
    let fetching = this.#fetching.get(eventType);
    if (fetching === undefined) {
      fetching = this.#fetch(eventType).finally(() => this.#fetching.delete(eventType));
      this.#fetching.set(eventType, fetching);
    }
    try {
      return await fetching;
    } catch (error) {
      if (known !== undefined) return known;
      throw new DoorError(
        'SCHEMA_REGISTRY_UNAVAILABLE',
        `the schema of ${eventType}: ${(error as Error).message}`,
        {
          retryAfter: REGISTRY_RETRY_SECONDS,
        },
      );
    }
  }

  async #fetch(eventType: string): Promise<EventSchema | undefined> {
    try {
      const schema = await this.#options.schemas.schemaFor(`${this.#options.ingressTopic}-${eventType}`);
      const known = this.#schemas.get(eventType);
      const map = known?.schema.id === schema.id ? known.map : compileJsonToAvro(schema.json);
      const read = { schema, map, readAt: this.#now() };
      this.#schemas.set(eventType, read);
      return read;
    } catch (error) {
      if (error instanceof SchemaRegistryError && NOT_REGISTERED.has(error.code)) return undefined;
      throw error;
    }
  }
}

/** Where the gate expects a record of this key. */
export function partitionOfKey(key: string, partitions: number): number {
  const bytes = Buffer.from(key);
  return partitionOf(bytes, 0, bytes.length, partitions);
}

const MOST_CLAIM_CHARACTERS = 256;

function claimsOf(event: Readonly<Record<string, unknown>>): Claims {
  const claims: { -readonly [K in keyof Claims]: Claims[K] } = {};
  for (const name of ['event_id', 'event_type', 'platform_run_id', 'producer'] as const) {
    const value = Object.hasOwn(event, name) ? event[name] : undefined;
    if (typeof value === 'string' && value.length <= MOST_CLAIM_CHARACTERS) claims[name] = value;
  }
  return claims;
}
