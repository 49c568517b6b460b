/** A fixed set of schemas in memory: what a test without servers, or a reader of an archive, decodes with. */
import { CompiledSchema } from './compiled-schema.ts';
import type { AvroOptions, AvroSchemaJson } from './compile-avro.ts';
import { SchemaRegistryError } from './registry-client.ts';
import type { SchemaSource } from './schema-registry.ts';
import { SerdeError } from './serde.ts';

export class OfflineSchemas implements SchemaSource {
  readonly #options: AvroOptions;
  readonly #byId = new Map<number, CompiledSchema>();
  readonly #idByText = new Map<string, number>();
  /** Ids by subject, oldest version first. */
  readonly #subjects = new Map<string, number[]>();
  #nextId = 1;

  constructor(options: AvroOptions = {}) {
    this.#options = options;
  }

  /**
   * Adds a schema to a subject and gives its id. Like a registry's, equal schemas share one id over all subjects;
   * `id` fixes it, to decode what a real registry numbered. Throws SerdeError when the schema does not compile or
   * the id is taken.
   */
  register(subject: string, schema: AvroSchemaJson, id?: number): number {
    const text = JSON.stringify(schema);
    const known = this.#idByText.get(text);
    const used = id ?? known ?? this.#nextId;
    if (known !== used) {
      const other = this.#byId.get(used);
      if (other !== undefined)
        throw new SerdeError(`the id ${used} is ${other.recordName}'s`, 'UNUSABLE_SCHEMA');
      this.#byId.set(used, new CompiledSchema(used, schema, this.#options));
      this.#idByText.set(text, used);
      this.#nextId = Math.max(this.#nextId, used + 1);
    }
    const versions = this.#subjects.get(subject) ?? [];
    if (!versions.includes(used)) this.#subjects.set(subject, [...versions, used]);
    return used;
  }

  typeById(id: number): CompiledSchema {
    const schema = this.#byId.get(id);
    if (schema === undefined)
      throw new SerdeError(`no schema has the id ${id} in this set`, 'UNKNOWN_SCHEMA');
    return schema;
  }

  fetch(id: number): Promise<CompiledSchema> {
    return new Promise((resolve) => {
      resolve(this.typeById(id));
    });
  }

  schemaFor(subject: string, schema?: AvroSchemaJson): Promise<CompiledSchema> {
    const versions = this.#subjects.get(subject);
    const id = schema === undefined ? versions?.at(-1) : this.#idByText.get(JSON.stringify(schema));
    if (id === undefined || versions?.includes(id) !== true) {
      const message = `the subject ${subject} ${versions === undefined ? 'is not in this set' : 'lacks this schema'}`;
      return Promise.reject(new SchemaRegistryError(message, 'SCHEMA_NOT_FOUND'));
    }
    return this.fetch(id);
  }
}
