/**
 * The Avro record of every event type: the envelope, written once in `schemas/envelope.avsc`, with the type's own
 * payload from `schemas/payloads/<event_type>.avsc`. The composed record's full name is the event type.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { AvroSchemaObject } from '../../lib/index.ts';

/** A record schema as JSON, with its fields. */
export interface RecordSchema extends AvroSchemaObject {
  readonly type: 'record';
  readonly name: string;
  readonly fields: readonly {
    readonly name: string;
    readonly type: unknown;
    readonly doc?: string;
    readonly default?: unknown;
  }[];
}

/** Full name of the record on the outcomes topic; it is no event type and has no envelope. */
export const OUTCOME_RECORD = 'ig.outcome';

const SCHEMAS = fileURLToPath(new URL('../../schemas/', import.meta.url));

/** The namespace and name of an Avro full name: dots in an event type make a namespace. */
function splitName(fullName: string): { readonly namespace: string; readonly name: string } {
  const dot = fullName.lastIndexOf('.');
  return { namespace: fullName.slice(0, Math.max(dot, 0)), name: fullName.slice(dot + 1) };
}

/** The full name of a record schema. */
export function recordName(schema: RecordSchema): string {
  const { namespace } = schema;
  return namespace === undefined || namespace === '' ? schema.name : `${namespace}.${schema.name}`;
}

/**
 * One record of an envelope and a payload. Throws when the payload's record is not named `<event_type>_payload`,
 * which is what keeps files and types from being mixed up.
 */
export function composeEventSchema(
  eventType: string,
  envelope: RecordSchema,
  payload: RecordSchema,
): RecordSchema {
  if (recordName(payload) !== `${eventType}_payload`) {
    throw new Error(
      `the payload of ${eventType} is named ${recordName(payload)}; expected ${eventType}_payload`,
    );
  }
  const { namespace, name } = splitName(eventType);
  return {
    type: 'record',
    name,
    ...(namespace === '' ? {} : { namespace }),
    doc: payload['doc'],
    fields: [...envelope.fields, { name: 'payload', type: payload, doc: 'What happened, by type of event.' }],
  };
}

function readSchema(path: string): RecordSchema {
  return JSON.parse(readFileSync(SCHEMAS + path, 'utf8')) as RecordSchema;
}

const composed = new Map<string, RecordSchema>();

/** Every event type that has a payload schema, sorted. */
export function eventTypes(): readonly string[] {
  return readdirSync(`${SCHEMAS}payloads`)
    .filter((file) => file.endsWith('.avsc'))
    .map((file) => file.slice(0, -'.avsc'.length))
    .sort();
}

/** The composed record of an event type. Throws for a type without a payload schema, naming those that have one. */
export function eventSchema(eventType: string): RecordSchema {
  let schema = composed.get(eventType);
  if (schema === undefined) {
    if (!eventTypes().includes(eventType)) {
      throw new RangeError(
        `no payload schema for ${JSON.stringify(eventType)}; there are ${eventTypes().join(', ')}`,
      );
    }
    schema = composeEventSchema(
      eventType,
      readSchema('envelope.avsc'),
      readSchema(`payloads/${eventType}.avsc`),
    );
    composed.set(eventType, schema);
  }
  return schema;
}

/** The record of the outcomes topic. */
export function outcomeSchema(): RecordSchema {
  return readSchema('outcome.avsc');
}
