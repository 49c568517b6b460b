/**
 * Canonical JSON straight from a decoded Avro value: the schema is walked once, key literals are sorted and
 * written once, and what remains per record is concatenation. The text is that of `canonicalJson` for the same
 * value with longs as decimal strings, bytes as lower-case hex, and record fields that are null left out: so a
 * schema that gains an optional field does not change the digest of what was said before.
 */
import type { AvroSchemaJson, AvroSchemaObject } from '../../lib/index.ts';
import { CanonicalJsonError, canonicalNumber, canonicalString } from './canonical-json.ts';
import { sha256Hex } from './digest.ts';
import type { Envelope } from './envelope.ts';

type Writer = (value: unknown) => string;

/**
 * Compiles the writer of a schema. It takes what the decoder of that schema gives; nothing is checked again. Throws
 * CanonicalJsonError for a union whose branches look alike when decoded.
 */
export function compileCanonicalAvro(schema: AvroSchemaJson): (value: unknown) => string {
  return new Compiler().writer(schema, '');
}

/**
 * Compiles `payloadHash` for events of this record schema (an envelope with a typed payload). The event type is the
 * record's full name: check that the envelope says the same before trusting the digest.
 */
export function compilePayloadHash(
  eventSchema: AvroSchemaObject,
): (event: Pick<Envelope, 'schema_version' | 'payload'>) => string {
  const { namespace, name } = nameOf(eventSchema, '');
  const payload = fieldsOf(eventSchema).find((field) => field.name === 'payload');
  if (payload === undefined) throw new CanonicalJsonError(`${name} has no payload field`);
  const write = new Compiler().writer(payload.type, namespace);
  const head = `{"event_type":${canonicalString(name)},"payload":`;
  // Versions are few: one per schema policy row.
  const tails = new Map<string | null, string>([[null, ',"schema_version":null}']]);
  return (event) => {
    let tail = tails.get(event.schema_version);
    if (tail === undefined) {
      tail = `,"schema_version":${canonicalString(event.schema_version ?? '')}}`;
      if (tails.size < MOST_TAILS) tails.set(event.schema_version, tail);
    }
    return sha256Hex(head + write(event.payload) + tail);
  };
}

/** A producer may send any version text; only so many are remembered. */
const MOST_TAILS = 16;

interface Field {
  readonly name: string;
  readonly type: AvroSchemaJson;
}

function fieldsOf(schema: AvroSchemaObject): readonly Field[] {
  return (schema['fields'] ?? []) as readonly Field[];
}

function nameOf(
  schema: AvroSchemaObject,
  enclosing: string,
): { readonly name: string; readonly namespace: string } {
  const name = schema.name ?? '';
  const dot = name.lastIndexOf('.');
  if (dot >= 0) return { name, namespace: name.slice(0, dot) };
  const namespace = schema.namespace ?? enclosing;
  return { name: namespace === '' ? name : `${namespace}.${name}`, namespace };
}

/** What a decoded value of a branch looks like to `typeof`, to tell the branches of a union apart. */
type Shape = 'null' | 'boolean' | 'number' | 'string' | 'bytes' | 'array' | 'object';

const PRIMITIVES: Readonly<Record<string, { readonly shape: Shape; readonly write: Writer }>> = {
  null: { shape: 'null', write: () => 'null' },
  boolean: { shape: 'boolean', write: (value) => (value === true ? 'true' : 'false') },
  int: { shape: 'number', write: (value) => String(value) },
  long: { shape: 'number', write: (value) => '"' + (value as number | bigint).toString() + '"' },
  float: { shape: 'number', write: (value) => canonicalNumber(value as number) },
  double: { shape: 'number', write: (value) => canonicalNumber(value as number) },
  string: { shape: 'string', write: (value) => canonicalString(value as string) },
  bytes: { shape: 'bytes', write: (value) => '"' + (value as Buffer).toString('hex') + '"' },
};

interface Branch {
  readonly shape: Shape;
  readonly write: Writer;
}

/** One walk over one schema; named types may be used again, and inside themselves. */
class Compiler {
  readonly #named = new Map<string, { shape: Shape; write: Writer }>();

  writer(schema: AvroSchemaJson, namespace: string): Writer {
    return this.#branch(schema, namespace).write;
  }

  #branch(schema: AvroSchemaJson, namespace: string): Branch {
    if (typeof schema === 'string') return this.#reference(schema, namespace);
    if (isUnion(schema)) return this.#union(schema, namespace);
    const { type } = schema;
    switch (type) {
      case 'record':
        return this.#record(schema, namespace);
      case 'enum':
        return this.#define(schema, namespace, 'string', PRIMITIVES['string']!.write);
      case 'fixed':
        return this.#define(schema, namespace, 'bytes', PRIMITIVES['bytes']!.write);
      case 'array':
        return {
          shape: 'array',
          write: arrayWriter(this.writer(schema['items'] as AvroSchemaJson, namespace)),
        };
      case 'map':
        return {
          shape: 'object',
          write: mapWriter(this.writer(schema['values'] as AvroSchemaJson, namespace)),
        };
      default:
        return this.#branch(type as AvroSchemaJson, namespace);
    }
  }

  #reference(name: string, namespace: string): Branch {
    const primitive = PRIMITIVES[name];
    if (primitive !== undefined) return primitive;
    const named = this.#named.get(name.includes('.') || namespace === '' ? name : `${namespace}.${name}`);
    if (named === undefined) throw new CanonicalJsonError(`the schema uses ${name} before it is defined`);
    // Looked up when called: inside its own definition the type has no writer yet.
    return { shape: named.shape, write: (value) => named.write(value) };
  }

  #define(schema: AvroSchemaObject, namespace: string, shape: Shape, write: Writer): Branch {
    const branch = { shape, write };
    this.#named.set(nameOf(schema, namespace).name, branch);
    return branch;
  }

  #record(schema: AvroSchemaObject, enclosing: string): Branch {
    const { name, namespace } = nameOf(schema, enclosing);
    const branch: { shape: Shape; write: Writer } = { shape: 'object', write: () => '' };
    this.#named.set(name, branch);
    const fields = fieldsOf(schema).map((field) => ({
      name: field.name,
      write: this.writer(field.type, namespace),
    }));
    branch.write = recordWriter(fields);
    return branch;
  }

  #union(branches: readonly AvroSchemaJson[], namespace: string): Branch {
    const compiled = branches.map((branch) => this.#branch(branch, namespace));
    const others = compiled.filter((branch) => branch.shape !== 'null');
    const only = others[0];
    if (only === undefined) return PRIMITIVES['null']!;
    if (others.length === 1) {
      const write: Writer = (value) => (value === null ? 'null' : only.write(value));
      return { shape: only.shape, write };
    }
    const byShape = new Map(compiled.map((branch) => [branch.shape, branch.write]));
    if (byShape.size !== compiled.length) {
      throw new CanonicalJsonError(`a union's branches look alike when decoded: ${JSON.stringify(branches)}`);
    }
    return { shape: 'object', write: (value) => byShape.get(shapeOf(value))!(value) };
  }
}

function isUnion(schema: AvroSchemaJson): schema is readonly AvroSchemaJson[] {
  return Array.isArray(schema);
}

function shapeOf(value: unknown): Shape {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (value instanceof Uint8Array) return 'bytes';
  switch (typeof value) {
    case 'boolean':
      return 'boolean';
    case 'number':
    case 'bigint':
      return 'number';
    case 'string':
      return 'string';
    default:
      return 'object';
  }
}

function recordWriter(fields: readonly { readonly name: string; readonly write: Writer }[]): Writer {
  const sorted = [...fields].sort((a, b) => (a.name < b.name ? -1 : 1));
  const names = sorted.map((field) => field.name);
  const writers = sorted.map((field) => field.write);
  const literals = names.map((name) => canonicalString(name) + ':');
  const following = literals.map((literal) => ',' + literal);
  const count = names.length;
  return (value) => {
    const record = value as Readonly<Record<string, unknown>>;
    let text = '{';
    let first = true;
    for (let i = 0; i < count; i += 1) {
      const member = record[names[i]!];
      if (member === null || member === undefined) continue;
      text += (first ? literals[i]! : following[i]!) + writers[i]!(member);
      first = false;
    }
    return text + '}';
  };
}

function arrayWriter(item: Writer): Writer {
  return (value) => '[' + (value as readonly unknown[]).map(item).join(',') + ']';
}

function mapWriter(member: Writer): Writer {
  return (value) => {
    const map = value as Readonly<Record<string, unknown>>;
    const members = Object.keys(map).sort();
    return '{' + members.map((key) => canonicalString(key) + ':' + member(map[key])).join(',') + '}';
  };
}
