/**
 * JSON to the value that an Avro schema takes, strictly: unknown fields, missing fields and wrong types are refused by
 * name, and nothing is converted that could lose a bit. 64-bit ids and amounts are strings in the schemas, so a
 * JSON number in their place is refused; a long beyond 2^53 is not representable here and is refused too.
 *
 * A nullable field may be left out. Bytes are base64 text.
 */
import { SerdeError, type AvroSchemaJson, type AvroSchemaObject } from '../../../lib/index.ts';
import type { FieldProblem } from './problem.ts';

/** Appends what is wrong and returns undefined then; otherwise the Avro value. */
type Mapper = (value: unknown, path: string, problems: FieldProblem[]) => unknown;

/** Most problems that are worth naming of one event. */
const MOST_PROBLEMS = 20;

export type MappedEvent =
  | { readonly value: Readonly<Record<string, unknown>>; readonly problems?: undefined }
  | { readonly problems: readonly FieldProblem[] };

/** Compiles a record schema. Throws SerdeError UNUSABLE_SCHEMA for a construct that JSON cannot be mapped to. */
export function compileJsonToAvro(schema: AvroSchemaJson): (json: unknown) => MappedEvent {
  const map = compile(schema, new Map(), '');
  return (json) => {
    const problems: FieldProblem[] = [];
    const value = map(json, '', problems);
    return problems.length > 0
      ? { problems: problems.slice(0, MOST_PROBLEMS) }
      : { value: value as Readonly<Record<string, unknown>> };
  };
}

const at = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

function refuse(problems: FieldProblem[], path: string, expected: string, value: unknown): undefined {
  if (problems.length <= MOST_PROBLEMS) {
    const field = path === '' ? '(event)' : path;
    problems.push({ field, message: `must be ${expected}, is ${kindOf(value)}` });
  }
  return undefined;
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value);
  return `${typeof value} ${text.length > 64 ? `${text.slice(0, 64)}…` : text}`;
}

const integer =
  (least: number, most: number, name: string): Mapper =>
  (value, path, problems) =>
    typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most
      ? value
      : refuse(problems, path, name, value);

const decimal: Mapper = (value, path, problems) =>
  typeof value === 'number' && Number.isFinite(value) ? value : refuse(problems, path, 'a number', value);

const LONE_SURROGATE = /\p{Surrogate}/u;

const PRIMITIVES: Readonly<Record<string, Mapper>> = {
  null: (value, path, problems) => (value === null ? null : refuse(problems, path, 'null', value)),
  boolean: (value, path, problems) =>
    typeof value === 'boolean' ? value : refuse(problems, path, 'true or false', value),
  int: integer(-(2 ** 31), 2 ** 31 - 1, 'an integer of 32 bits'),
  long: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 'an integer within ±(2^53 - 1)'),
  float: decimal,
  double: decimal,
  // A lone surrogate has no UTF-8: it would reach the bus as another character.
  string: (value, path, problems) =>
    typeof value === 'string' && !LONE_SURROGATE.test(value)
      ? value
      : refuse(problems, path, 'Unicode text (ids, amounts and times are text too)', value),
  bytes: (value, path, problems) =>
    typeof value === 'string' &&
    /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)
      ? Buffer.from(value, 'base64')
      : refuse(problems, path, 'base64 text', value),
};

function compile(schema: AvroSchemaJson, named: Map<string, Mapper>, namespace: string): Mapper {
  if (typeof schema === 'string') {
    const known = PRIMITIVES[schema] ?? named.get(schema) ?? named.get(`${namespace}.${schema}`);
    if (known !== undefined) return known;
    throw unusable(`the type ${schema}`);
  }
  if (Array.isArray(schema)) return compileUnion(schema as readonly AvroSchemaJson[], named, namespace);
  const object = schema as AvroSchemaObject;
  switch (object.type) {
    case 'record':
      return compileRecord(object, named, namespace);
    case 'array':
      return compileArray(compile(object['items'] as AvroSchemaJson, named, namespace));
    case 'map':
      return compileMap(compile(object['values'] as AvroSchemaJson, named, namespace));
    case 'enum': {
      const symbols = object['symbols'] as readonly string[];
      const map: Mapper = (value, path, problems) =>
        typeof value === 'string' && symbols.includes(value)
          ? value
          : refuse(problems, path, `one of ${symbols.join(', ')}`, value);
      name(object, namespace, named, map);
      return map;
    }
    case 'fixed':
      throw unusable('fixed');
    default:
      return compile(object.type as AvroSchemaJson, named, namespace);
  }
}

function compileUnion(
  branches: readonly AvroSchemaJson[],
  named: Map<string, Mapper>,
  namespace: string,
): Mapper {
  const others = branches.filter((branch) => branch !== 'null');
  if (others.length === branches.length || others.length !== 1)
    throw unusable('a union of more than null and a type');
  const map = compile(others[0]!, named, namespace);
  return (value, path, problems) =>
    value === null || value === undefined ? null : map(value, path, problems);
}

function compileArray(item: Mapper): Mapper {
  return (value, path, problems) =>
    Array.isArray(value)
      ? value.map((member: unknown, i) => item(member, `${path}[${i}]`, problems))
      : refuse(problems, path, 'an array', value);
}

function compileMap(member: Mapper): Mapper {
  return (value, path, problems) =>
    isObject(value)
      ? Object.fromEntries(
          Object.entries(value).map(([key, one]) => [key, member(one, at(path, key), problems)]),
        )
      : refuse(problems, path, 'an object', value);
}

function compileRecord(record: AvroSchemaObject, named: Map<string, Mapper>, inherited: string): Mapper {
  const namespace = record.namespace ?? inherited;
  const fields: { readonly name: string; readonly map: Mapper; readonly fallback: unknown }[] = [];
  const names = new Set<string>();
  const map: Mapper = (value, path, problems) => {
    if (!isObject(value)) {
      refuse(problems, path, 'an object', value);
      return;
    }
    for (const key of Object.keys(value)) {
      if (!names.has(key) && problems.length <= MOST_PROBLEMS)
        problems.push({ field: at(path, key), message: 'is not a field of the schema' });
    }
    const mapped: Record<string, unknown> = {};
    for (const field of fields) {
      const given = Object.hasOwn(value, field.name) ? value[field.name] : field.fallback;
      mapped[field.name] = field.map(given, at(path, field.name), problems);
    }
    return mapped;
  };
  // Before the fields, which may refer to it.
  name(record, inherited, named, map);
  for (const field of record['fields'] as readonly {
    name: string;
    type: AvroSchemaJson;
    default?: unknown;
  }[]) {
    fields.push({ name: field.name, map: compile(field.type, named, namespace), fallback: field.default });
    names.add(field.name);
  }
  return map;
}

function name(schema: AvroSchemaObject, inherited: string, named: Map<string, Mapper>, map: Mapper): void {
  const namespace = schema.namespace ?? inherited;
  named.set(namespace === '' ? schema.name! : `${namespace}.${schema.name!}`, map);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unusable(what: string): SerdeError {
  return new SerdeError(`JSON cannot be mapped to ${what}`, 'UNUSABLE_SCHEMA');
}
