/** What each of the gate's reasons means to an operator: the rule that failed, and the way out. */
import type { GateReasonCode } from '../../rails/index.ts';

export interface Explanation {
  readonly rule: string;
  readonly wayOut: string;
}

const RESEND = 'Mend the event at its producer and send it again; it has not been admitted.';

export const EXPLANATIONS: Readonly<Partial<Record<GateReasonCode, Explanation>>> = {
  DUPLICATE: {
    rule: 'An event is admitted once per platform run.',
    wayOut: 'Nothing to do: the evidence points at the receipt of the admitted record.',
  },
  VALUE_MISSING: {
    rule: 'A record must have a value.',
    wayOut: 'A tombstone cannot be an event; stop sending it.',
  },
  RECORD_TOO_LARGE: {
    rule: 'A record is at most as long as the policy allows.',
    wayOut: 'Send a smaller event; its bytes were not kept, only their digest and place on ingress.',
  },
  UNPARSEABLE: {
    rule: 'A record is Avro in the registry’s wire format and ends where its schema ends.',
    wayOut: `Over HTTP, the answer named the fields at fault. ${RESEND}`,
  },
  SCHEMA_ID_UNKNOWN: {
    rule: 'The schema id must be registered.',
    wayOut: 'Register the schema (`npm run topology:apply`), then re-ingest this record.',
  },
  ENVELOPE_INVALID: { rule: 'Every field of the envelope has its exact form.', wayOut: RESEND },
  EVENT_TYPE_MISMATCH: {
    rule: 'event_type is the full name of the record’s schema.',
    wayOut: 'Serialise the event with the schema of its own type.',
  },
  PINS_MISSING: { rule: 'The class of an event says which pins it must carry.', wayOut: RESEND },
  SCHEMA_POLICY_MISSING: {
    rule: 'Only event types that the schema policy lists are admitted.',
    wayOut:
      'List the type in the class map, partitioning and schema policies, restart the gate, then re-ingest.',
  },
  SCHEMA_VERSION_REQUIRED: { rule: 'This event type must say its schema version.', wayOut: RESEND },
  SCHEMA_VERSION_NOT_ALLOWED: {
    rule: 'The schema policy lists the versions that are admitted.',
    wayOut: 'Allow the version in the policy and re-ingest, or send an allowed version.',
  },
  SCHEMA_FAIL: { rule: 'The bytes must be what their schema says, to the last one.', wayOut: RESEND },
  EVENT_ID_MISMATCH: {
    rule: 'The id of an engine row is the hash of its primary key and world.',
    wayOut: 'Compute the id by the recipe; the detail shows the right one.',
  },
  PAYLOAD_HASH_MISMATCH: {
    rule: 'An event id stands for one payload.',
    wayOut: 'A correction is a new event with an id of its own that names this one as parent_event_id.',
  },
  PARTITION_KEY_MISSING: { rule: 'An event must carry a field that its key is made of.', wayOut: RESEND },
  WRONG_PARTITION: {
    rule: 'A record lies on the ingress partition that murmur2 of its key gives.',
    wayOut:
      'Set the producer’s partitioner to murmur2 (librdkafka: murmur2_random); re-ingest puts this one right.',
  },
  INTERNAL_ERROR: {
    rule: 'The gate itself failed on this record.',
    wayOut: 'Report the detail; when the gate is mended, re-ingest.',
  },
};

const UNKNOWN: Explanation = {
  rule: 'A rule of a newer gate.',
  wayOut: 'The reason detail says what was found.',
};

export function explanationOf(code: string): Explanation {
  return (EXPLANATIONS as Readonly<Record<string, Explanation | undefined>>)[code] ?? UNKNOWN;
}
