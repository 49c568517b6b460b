/**
 * Schemas by id, compiled and cached for the hot path, over a Confluent-compatible registry.
 *
 * What is read while records flow is synchronous (`typeById`); whatever may wait for the network happens beforehand or
 * with the partition paused (`fetch`). An id never changes its schema, so what is cached stays.
 */
import { CompiledSchema } from './compiled-schema.ts';
import type { AvroOptions, AvroSchemaJson } from './compile-avro.ts';
import {
  RegistryClient,
  SchemaRegistryError,
  type Compatibility,
  type RegistryClientOptions,
  type SchemaById,
} from './registry-client.ts';
import { SerdeError } from './serde.ts';

/** Where serdes get their schemas: a registry, or a fixed set without a network (OfflineSchemas). */
export interface SchemaSource {
  /** The schema if it is at hand. Throws SerdeError when the id is known to be unusable. */
  typeById(id: number): CompiledSchema | undefined;
  /**
   * Gets a schema. Rejects with a SerdeError when no schema has the id or it is unusable (terminal; `typeById`
   * then throws the same), and with a retriable SchemaRegistryError when the registry did not answer.
   */
  fetch(id: number): Promise<CompiledSchema>;
  /** The schema to write a subject with: the one given, which must be registered there, or the latest. */
  schemaFor(subject: string, schema?: AvroSchemaJson): Promise<CompiledSchema>;
}

export interface SchemaRegistryOptions extends RegistryClientOptions, AvroOptions {
  /** Milliseconds for which "no schema has this id" is believed before the registry is asked again. Default 10000. */
  readonly unknownIdTtlMs?: number;
}

export class SchemaRegistry implements SchemaSource {
  readonly client: RegistryClient;
  readonly #options: SchemaRegistryOptions;
  readonly #byId = new Map<number, CompiledSchema>();
  readonly #fetching = new Map<number, Promise<CompiledSchema>>();
  readonly #unusable = new Map<number, { readonly error: SerdeError; readonly until: number }>();
  /** Lookups by subject and schema text: single-flight, and kept once they succeed. */
  readonly #written = new Map<string, Promise<CompiledSchema>>();

  constructor(options: SchemaRegistryOptions) {
    this.#options = options;
    this.client = new RegistryClient(options);
  }

  typeById(id: number): CompiledSchema | undefined {
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const unusable = this.#unusable.get(id);
    if (unusable !== undefined) {
      if (unusable.until > Date.now()) throw unusable.error;
      this.#unusable.delete(id);
    }
    return undefined;
  }

  fetch(id: number): Promise<CompiledSchema> {
    const known = this.#byId.get(id);
    if (known !== undefined) return Promise.resolve(known);
    let request = this.#fetching.get(id);
    if (request === undefined) {
      request = this.#fetch(id).finally(() => this.#fetching.delete(id));
      this.#fetching.set(id, request);
    }
    return request;
  }

  schemaFor(subject: string, schema?: AvroSchemaJson): Promise<CompiledSchema> {
    if (schema === undefined) return this.latest(subject);
    const text = JSON.stringify(schema);
    const key = `${subject}\n${text}`;
    let request = this.#written.get(key);
    if (request === undefined) {
      request = this.#lookup(subject, text);
      this.#written.set(key, request);
      request.catch(() => this.#written.delete(key));
    }
    return request;
  }

  /**
   * Registers a schema under a subject and gives its id; finding it there already changes nothing. `compatibility`
   * is set on the subject first, so that the registry judges this very schema by it. Rejects with INCOMPATIBLE
   * and the registry's reason, or INVALID_SCHEMA.
   */
  async register(subject: string, schema: AvroSchemaJson, compatibility?: Compatibility): Promise<number> {
    if (compatibility !== undefined && (await this.client.compatibility(subject)) !== compatibility) {
      await this.client.setCompatibility(subject, compatibility);
    }
    return this.client.register(subject, JSON.stringify(schema));
  }

  /** The id under which a subject holds this schema; undefined when it does not. Registers nothing. */
  async idOf(subject: string, schema: AvroSchemaJson): Promise<number | undefined> {
    try {
      return (await this.client.lookup(subject, JSON.stringify(schema))).id;
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** The subject's latest schema. Rejects with SUBJECT_NOT_FOUND. Not cached: the latest changes. */
  async latest(subject: string): Promise<CompiledSchema> {
    const version = await this.client.version(subject, 'latest');
    return this.#byId.get(version.id) ?? this.#compile(version.id, version);
  }

  /**
   * Whether the schema may be the subject's next version. The registry decides; where it gives no reasons for its
   * no (Apicurio does not), they are what keeps the schema from reading the versions before.
   */
  async check(subject: string, schema: AvroSchemaJson): Promise<{ compatible: boolean; reasons: string[] }> {
    try {
      const { compatible, reasons } = await this.client.check(subject, JSON.stringify(schema));
      if (compatible) return { compatible, reasons: [] };
      return { compatible, reasons: reasons.length > 0 ? reasons : await this.#unreadable(subject, schema) };
    } catch (error) {
      if (isNotFound(error)) return { compatible: true, reasons: [] };
      throw error;
    }
  }

  async #unreadable(subject: string, schema: AvroSchemaJson): Promise<string[]> {
    const reader = new CompiledSchema(0, schema, this.#options);
    const reasons: string[] = [];
    for (const version of await this.client.versions(subject)) {
      const { id } = await this.client.version(subject, version);
      const reason = (await this.fetch(id)).unreadableBy(reader.type);
      if (reason !== undefined) reasons.push(`version ${version}: ${reason}`);
    }
    return reasons;
  }

  async #fetch(id: number): Promise<CompiledSchema> {
    try {
      return await this.#compile(id, await this.client.schemaById(id));
    } catch (error) {
      const unusable =
        error instanceof SchemaRegistryError && error.code === 'SCHEMA_NOT_FOUND'
          ? new SerdeError(`no schema has the id ${id} in ${this.client.url}`, 'UNKNOWN_SCHEMA', {
              cause: error,
            })
          : error;
      if (unusable instanceof SerdeError) {
        const until = Date.now() + (this.#options.unknownIdTtlMs ?? 10_000);
        this.#unusable.set(id, { error: unusable, until });
      }
      throw unusable;
    }
  }

  async #compile(id: number, found: SchemaById): Promise<CompiledSchema> {
    if (found.schemaType !== undefined && found.schemaType !== 'AVRO') {
      throw new SerdeError(`schema ${id} is ${found.schemaType}, not AVRO`, 'UNUSABLE_SCHEMA');
    }
    const references = await this.#references(found, new Set());
    const compiled = new CompiledSchema(id, parseSchema(found.schema), this.#options, references);
    this.#byId.set(id, compiled);
    return compiled;
  }

  /** Referenced schemas, each after those it refers to itself. */
  async #references(schema: SchemaById, seen: Set<string>): Promise<AvroSchemaJson[]> {
    const all: AvroSchemaJson[] = [];
    for (const { subject, version } of schema.references ?? []) {
      const key = `${subject}/${version}`;
      if (seen.has(key)) continue;
      seen.add(key);
      const found = await this.client.version(subject, version);
      all.push(...(await this.#references(found, seen)), parseSchema(found.schema));
    }
    return all;
  }

  async #lookup(subject: string, schema: string): Promise<CompiledSchema> {
    try {
      return await this.fetch((await this.client.lookup(subject, schema)).id);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new SchemaRegistryError(
        `${this.client.url} does not hold this schema under the subject ${subject}: register it before writing with it`,
        'SCHEMA_NOT_FOUND',
        { cause: error },
      );
    }
  }
}

/** A registry's schema text: JSON, or (as some registries store primitives) a bare type name. */
function parseSchema(text: string): AvroSchemaJson {
  try {
    return JSON.parse(text) as AvroSchemaJson;
  } catch {
    return text;
  }
}

function isNotFound(error: unknown): boolean {
  return (
    error instanceof SchemaRegistryError &&
    (error.code === 'SCHEMA_NOT_FOUND' || error.code === 'SUBJECT_NOT_FOUND')
  );
}
