/**
 * YAML files into one typed object: later files override earlier ones key by key, placeholders are filled from
 * the environment, and a JSON schema decides what is right. Nothing half-valid is ever returned.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject, type SchemaObject, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import { parseDocument } from 'yaml';
import { ConfigError, showValue, type ConfigProblem } from './config-error.ts';
import { resolvePlaceholders, type Environment } from './placeholders.ts';

export type { SchemaObject } from 'ajv';

export interface LoadConfigOptions<T> {
  /** Paths of YAML (or JSON) files; mappings of later files are merged into earlier ones, lists replace. */
  readonly files: readonly string[];
  /** JSON Schema (draft 7). Its `default`s are filled in. */
  readonly schema: SchemaObject;
  /** Where placeholders are filled from; null forbids placeholders altogether. Default: process.env. */
  readonly env?: Environment | null;
  /** What a schema cannot say, such as one value against another. Called when the schema is satisfied. */
  readonly check?: (config: T) => readonly Omit<ConfigProblem, 'file'>[];
}

/**
 * Loads and validates. The type is what the schema is known to describe. A number or boolean may be written as a
 * placeholder; its text is converted when the schema asks for that type. Throws ConfigError with every problem.
 */
export function loadConfig<T>(options: LoadConfigOptions<T>): T {
  const env = options.env === undefined ? process.env : options.env;
  const problems: ConfigProblem[] = [];
  const substituted = new Set<string>();
  let merged: unknown = {};
  for (const file of options.files) {
    const document = readYaml(file, problems);
    const resolved = resolvePlaceholders(document, env ?? {}, file);
    if (env === null) {
      for (const pointer of resolved.substituted) {
        problems.push({ file, path: dotted(pointer), message: 'a placeholder is not allowed here' });
      }
    } else {
      problems.push(...resolved.problems);
    }
    for (const pointer of resolved.substituted) substituted.add(pointer);
    merged = merge(merged, resolved.document);
  }
  // Values that could not be filled would only be reported twice.
  if (problems.length > 0) throw new ConfigError(problems);

  const validate = compiled(options.schema);
  if (!validate(merged) && convertSubstituted(merged, validate.errors ?? [], substituted)) validate(merged);
  const file = options.files.join(' + ');
  const errors = validate.errors ?? [];
  if (errors.length > 0) throw new ConfigError(errors.map((error) => problemOf(error, merged, file)));
  const config = merged as T;
  const inconsistent = options.check?.(config) ?? [];
  if (inconsistent.length > 0) throw new ConfigError(inconsistent.map((problem) => ({ file, ...problem })));
  return config;
}

/** Parses one YAML file without placeholders or schema. Throws ConfigError if it cannot be read or parsed. */
export function readYamlFile(file: string): unknown {
  const problems: ConfigProblem[] = [];
  const document = readYaml(file, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return document;
}

function readYaml(file: string, problems: ConfigProblem[]): unknown {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    problems.push({ file, path: '(document)', message: `cannot be read: ${(error as Error).message}` });
    return {};
  }
  const document = parseDocument(text, { strict: true, uniqueKeys: true });
  for (const error of document.errors) {
    problems.push({ file, path: '(document)', message: error.message.split('\n')[0]! });
  }
  if (document.errors.length > 0) return {};
  return document.toJS() as unknown;
}

const validators = new WeakMap<SchemaObject, ValidateFunction>();

function compiled(schema: SchemaObject): ValidateFunction {
  let validate = validators.get(schema);
  if (validate === undefined) {
    const ajv = new Ajv({ allErrors: true, useDefaults: true, strict: true, allowUnionTypes: true });
    addFormats.default(ajv);
    validate = ajv.compile(schema);
    validators.set(schema, validate);
  }
  return validate;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(base: unknown, over: unknown): unknown {
  if (!isMapping(base) || !isMapping(over)) return over;
  const result: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(over))
    result[key] = key in result ? merge(result[key], value) : value;
  return result;
}

/** Converts the substituted texts that the schema wants as numbers or booleans; says whether any was. */
function convertSubstituted(
  document: unknown,
  errors: readonly ErrorObject[],
  substituted: Set<string>,
): boolean {
  let converted = false;
  for (const error of errors) {
    if (error.keyword !== 'type' || !substituted.has(error.instancePath)) continue;
    const { container, key } = locate(document, error.instancePath);
    const text = container[key];
    const value =
      typeof text === 'string' ? parseScalar(text, [(error.params as TypeParams).type].flat()) : undefined;
    if (value === undefined) continue;
    container[key] = value;
    converted = true;
  }
  return converted;
}

interface TypeParams {
  readonly type: string | readonly string[];
}

function parseScalar(text: string, types: readonly unknown[]): number | boolean | null | undefined {
  if (types.includes('null') && text === '') return null;
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  if ((types.includes('number') || types.includes('integer')) && /^-?[0-9]+(\.[0-9]+)?$/.test(text))
    return Number(text);
  return undefined;
}

function locate(document: unknown, pointer: string): { container: Record<string, unknown>; key: string } {
  const keys = pointer.split('/').slice(1).map(unescapePointer);
  const key = keys.pop() ?? '';
  let container = document as Record<string, unknown>;
  for (const step of keys) container = container[step] as Record<string, unknown>;
  return { container, key };
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~');
}

function dotted(pointer: string): string {
  const parts = pointer.split('/').slice(1).map(unescapePointer);
  if (parts.length === 0) return '(document)';
  return parts.reduce(
    (path, part) => (/^[0-9]+$/.test(part) ? `${path}[${part}]` : path === '' ? part : `${path}.${part}`),
    '',
  );
}

function problemOf(error: ErrorObject, document: unknown, file: string): ConfigProblem {
  const path = dotted(error.instancePath);
  const params = error.params as Readonly<Record<string, unknown>>;
  if (error.keyword === 'additionalProperties') {
    const extra = String(params['additionalProperty']);
    return {
      file,
      path,
      message: `${JSON.stringify(extra)} is not a known key; remove it or check its spelling`,
    };
  }
  if (error.keyword === 'required') {
    return { file, path, message: `${JSON.stringify(params['missingProperty'])} is missing` };
  }
  let value = document;
  for (const part of error.instancePath.split('/').slice(1)) {
    value = (value as Record<string, unknown>)[unescapePointer(part)];
  }
  const allowed = error.keyword === 'enum' ? `: ${JSON.stringify(params['allowedValues'])}` : '';
  return {
    file,
    path,
    message: `${error.message ?? error.keyword}${allowed}, got ${showValue(path, value)}`,
  };
}
