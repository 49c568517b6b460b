/**
 * Everything about a writer schema that is the same for all its records, worked out once per schema id: its event
 * type, class, rules and compiled recipes. The per-record path only reads it.
 */
import type { AvroSchemaObject, CompiledSchema } from '../../../lib/index.ts';
import {
  compileEngineEventId,
  compilePayloadHash,
  ENVELOPE_FIELDS,
  OUTPUT_CATALOGUE,
  type EngineEventId,
  type Envelope,
  type EventClass,
  type PartitioningProfile,
  type Policies,
} from '../../rails/index.ts';

export interface EventKind {
  readonly schema: CompiledSchema;
  /** False when the record is no envelope at all: nothing else is meaningful then. */
  readonly isEnvelope: boolean;
  readonly eventType: string;
  readonly eventClass: EventClass;
  readonly profile: PartitioningProfile;
  readonly payloadHash: (event: Pick<Envelope, 'schema_version' | 'payload'>) => string;
  /** Only for engine rows, whose ids follow from their primary key. */
  readonly engineEventId: EngineEventId | null;
}

export class EventKinds {
  readonly #policies: Policies;
  readonly #bySchema = new Map<CompiledSchema, EventKind>();

  constructor(policies: Policies) {
    this.#policies = policies;
  }

  of(schema: CompiledSchema): EventKind {
    let kind = this.#bySchema.get(schema);
    if (kind === undefined) {
      kind = this.#compile(schema);
      this.#bySchema.set(schema, kind);
    }
    return kind;
  }

  #compile(schema: CompiledSchema): EventKind {
    const eventType = schema.recordName;
    const record = schema.json as AvroSchemaObject;
    const output = OUTPUT_CATALOGUE.get(eventType);
    const isEnvelope = hasEnvelopeFields(record);
    return {
      schema,
      isEnvelope,
      eventType,
      eventClass: this.#policies.classMap.classOf(eventType),
      profile: this.#policies.partitioning.profileOf(eventType),
      payloadHash: isEnvelope ? compilePayloadHash(record) : () => '',
      engineEventId: output === undefined ? null : compileEngineEventId(output),
    };
  }
}

function hasEnvelopeFields(record: AvroSchemaObject): boolean {
  const fields = record['fields'] as readonly { readonly name: string }[] | undefined;
  return fields !== undefined && ENVELOPE_FIELDS.every((name, i) => fields[i]?.name === name);
}
