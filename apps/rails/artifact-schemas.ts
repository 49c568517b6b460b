/**
 * The JSON documents the platform writes and reads, each with a schema in `schemas/artifacts/` and an entry in the
 * index there. A document is checked when it is written and again when it is read: what lies in a store may have
 * been put there by anyone.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type SchemaObject } from 'ajv';
import addFormats from 'ajv-formats';

/** One entry of `schemas/artifacts/index.json`. */
export interface ArtifactEntry {
  readonly name: string;
  /** File name of its JSON schema, beside the index. */
  readonly schema: string;
  readonly title: string;
  /** Component that writes it. */
  readonly written_by: string;
  /** Where it lies: an object key, a file, or what it is a part of. */
  readonly where: string;
  readonly write_once: boolean;
}

const FOLDER = new URL('../../schemas/artifacts/', import.meta.url);
const DEFINITIONS = 'definitions.schema.json';

function readJsonFile(file: string): unknown {
  return JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
}

let compiled: { readonly index: readonly ArtifactEntry[]; readonly ajv: Ajv } | undefined;

function schemas(): { readonly index: readonly ArtifactEntry[]; readonly ajv: Ajv } {
  if (compiled !== undefined) return compiled;
  const { artifacts } = readJsonFile('index.json') as { artifacts: readonly ArtifactEntry[] };
  const ajv = new Ajv({ allErrors: true, strict: true, allowUnionTypes: true, strictRequired: false });
  addFormats.default(ajv);
  ajv.addSchema(readJsonFile(DEFINITIONS) as SchemaObject);
  // All before the first is compiled: they refer to each other.
  for (const { schema } of artifacts) ajv.addSchema(readJsonFile(schema) as SchemaObject);
  compiled = { index: artifacts, ajv };
  return compiled;
}

/** Every artifact there is, as the index lists them. */
export function artifactIndex(): readonly ArtifactEntry[] {
  return schemas().index;
}

/** What is wrong with a document, by path; empty when it is a valid `name`. Throws a RangeError on an unknown name. */
export function artifactProblems(name: string, document: unknown): readonly string[] {
  const validate = schemas().ajv.getSchema(`${name}.schema.json`);
  if (validate === undefined) {
    const known = artifactIndex().map((entry) => entry.name);
    throw new RangeError(`there is no artifact '${name}'; there are ${known.join(', ')}`);
  }
  if (validate(document)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => {
    const extra = (params as Readonly<Record<string, unknown>>)['additionalProperty'];
    const which = typeof extra === 'string' ? ` '${extra}'` : '';
    return `${instancePath === '' ? '(document)' : instancePath} ${message ?? 'is not valid'}${which}`;
  });
}

/** A document that is not what its schema says; the message lists every fault. */
export class ArtifactError extends Error {
  override readonly name = 'ArtifactError';
  readonly code = 'ARTIFACT_SCHEMA_INVALID';
}

/** Checks a document against its schema; `where` names it in the error. Throws ArtifactError. */
export function checkArtifact(name: string, document: unknown, where: string): void {
  const problems = artifactProblems(name, document);
  if (problems.length > 0) throw new ArtifactError(`${where} is not a valid ${name}: ${problems.join('; ')}`);
}
