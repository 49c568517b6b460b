/**
 * Avro values on a topic: one record type with a TypeScript type (`avroSerde`), or every record type that comes
 * (`AvroReader`, `avroAnySerde`).
 */
import type avsc from 'avsc';
import type { CompiledSchema } from './compiled-schema.ts';
import { compileAvro, type AvroOptions, type AvroSchemaJson } from './compile-avro.ts';
import type { SchemaSource } from './schema-registry.ts';
import { NotReady, SerdeError, type Bytes, type Serde } from './serde.ts';
import { wireSchemaId } from './wire-format.ts';

export interface AvroSerdeOptions extends AvroOptions {
  /** The subject to write under: its latest schema, or `schema`, which must be registered there. */
  readonly subject?: string;
  /** The schema of T: what is written, and what values of older and newer writers are resolved to. */
  readonly schema?: AvroSchemaJson;
  /** Resolve what is read to this schema instead. Without any schema, values are as their writer wrote them. */
  readonly readerSchema?: AvroSchemaJson;
}

/**
 * The schema of a value in the wire format. Throws SerdeError (not the format, unknown or unusable schema) or
 * NotReady while the schema is being fetched.
 */
class SchemaLookup {
  readonly #source: SchemaSource;
  /** Runs of one type are the rule, so the last answer is tried first. */
  #last: CompiledSchema | undefined;

  constructor(source: SchemaSource) {
    this.#source = source;
  }

  schemaOf(bytes: Bytes): CompiledSchema {
    const id = wireSchemaId(bytes);
    if (this.#last?.id === id) return this.#last;
    const schema = this.#source.typeById(id);
    if (schema === undefined) throw new NotReady(`schema ${id}`, settled(this.#source.fetch(id)));
    this.#last = schema;
    return schema;
  }
}

/** Resolves also when the schema turns out to be unusable: the next try then throws that as the record's error. */
async function settled(request: Promise<unknown>): Promise<void> {
  try {
    await request;
  } catch (error) {
    if (!(error instanceof SerdeError)) throw error;
  }
}

/**
 * A serde for one record type. Reading resolves each writer's schema to the reader's once. Writing needs `subject`,
 * and `prepare()` first; it never registers a schema.
 */
export function avroSerde<T>(
  source: SchemaSource,
  options: AvroSerdeOptions,
): Serde<T> & { prepare(): Promise<void> } {
  const lookup = new SchemaLookup(source);
  const readerSchema = options.readerSchema ?? options.schema;
  const reader: avsc.Type | undefined =
    readerSchema === undefined ? undefined : compileAvro(readerSchema, options);
  const { subject } = options;
  let writer: CompiledSchema | undefined;
  return {
    deserialize: (bytes) => lookup.schemaOf(bytes).decode(bytes, reader) as T,
    serialize(value, batch, placement) {
      if (writer === undefined) {
        throw new SerdeError(
          subject === undefined
            ? 'this Avro serde only reads: give it the subject to write under'
            : `the schema of ${subject} is not resolved yet: await prepare() before the first record`,
          'UNUSABLE_SCHEMA',
        );
      }
      writer.encodeInto(value, batch, placement);
    },
    async prepare() {
      if (subject !== undefined) writer ??= await source.schemaFor(subject, options.schema);
    },
  };
}

/** A value together with the schema that it was written with. */
export interface AvroValue {
  schema: CompiledSchema;
  value: unknown;
}

/** Reads topics that carry many record types, each value as its writer wrote it. */
export class AvroReader {
  readonly #lookup: SchemaLookup;

  constructor(source: SchemaSource) {
    this.#lookup = new SchemaLookup(source);
  }

  /**
   * The schema of a value, from its header alone; then `schema.decode(bytes)` reads it. Nothing is allocated.
   * Throws SerdeError (not the format, unknown or unusable schema) or NotReady while the schema is being fetched.
   */
  schemaOf(bytes: Bytes): CompiledSchema {
    return this.#lookup.schemaOf(bytes);
  }

  /** Reads into an object of the caller's, which may be reused from record to record. */
  read(bytes: Bytes, into: AvroValue): void {
    into.schema = this.#lookup.schemaOf(bytes);
    into.value = into.schema.decode(bytes);
  }
}

/** A reader for values of whichever record type comes. */
export function avroAnyReader(source: SchemaSource): AvroReader {
  return new AvroReader(source);
}

/** AvroReader as a serde: each value comes in an object of its own, and is written with the schema it names. */
export function avroAnySerde(source: SchemaSource): Serde<AvroValue> {
  const reader = new AvroReader(source);
  return {
    deserialize(bytes) {
      const schema = reader.schemaOf(bytes);
      return { schema, value: schema.decode(bytes) };
    },
    serialize: (value, batch, placement) => value.schema.encodeInto(value.value, batch, placement),
  };
}
