/**
 * Reason codes, one typed list per component. Codes of a synchronous publish (PUBLISH_AMBIGUOUS,
 * PUBLISH_IN_FLIGHT_RETRY, PUBLISH_AMBIGUOUS_RETRY, ADMISSION_STATE_INVALID) do not exist here: the bus record is
 * the admission and commits in one transaction, so a publication is never in doubt. UNSUPPORTED_HASH_ALGO does not
 * either: there is one hash.
 */

/** Why the gate did not admit a record. */
export const GATE_REASON_CODES = [
  /** The same event with the same payload was admitted before. Not a fault. */
  'DUPLICATE',
  /** No value: a tombstone cannot be an event. */
  'VALUE_MISSING',
  /** Longer than the policy allows; its bytes are not kept. */
  'RECORD_TOO_LARGE',
  /** Not Confluent wire format, or the body is not what its schema says. */
  'UNPARSEABLE',
  /** The schema id is not registered. */
  'SCHEMA_ID_UNKNOWN',
  'ENVELOPE_INVALID',
  /** event_type is not the full name of the record's own schema. */
  'EVENT_TYPE_MISMATCH',
  'PINS_MISSING',
  'SCHEMA_POLICY_MISSING',
  'SCHEMA_VERSION_REQUIRED',
  'SCHEMA_VERSION_NOT_ALLOWED',
  'SCHEMA_FAIL',
  /** The event id is not the one its primary key gives. */
  'EVENT_ID_MISMATCH',
  /** The same event id with another payload. */
  'PAYLOAD_HASH_MISMATCH',
  'PARTITION_KEY_MISSING',
  /** The record lies on another ingress partition than its key belongs to. */
  'WRONG_PARTITION',
  'INTERNAL_ERROR',
] as const;

export type GateReasonCode = (typeof GATE_REASON_CODES)[number];

/** Sending the very same record again can succeed later. Everything else needs another record or another policy. */
export const RETRYABLE_GATE_REASONS: ReadonlySet<GateReasonCode> = new Set([
  'INTERNAL_ERROR',
  'SCHEMA_ID_UNKNOWN',
  'WRONG_PARTITION',
]);
