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

/** Why a pack could not be made, or is not to be trusted. */
export const ORACLE_REASON_CODES = [
  'SCENARIO_ID_MISSING',
  'SCENARIO_ID_AMBIGUOUS',
  'PACK_ROOT_NOT_FOUND',
  'WORLD_KEY_MISSING',
  'MANIFEST_MISMATCH',
  'SEAL_MISMATCH',
  'RUN_RECEIPT_UNREADABLE',
  'RUN_RECEIPT_INVALID',
  'GATE_RECEIPT_MISSING',
  'OUTPUT_UNKNOWN',
  'OUTPUT_TEMPLATE_MISSING',
  'OUTPUT_MISSING',
  'TEMPLATE_TOKEN_MISSING',
  'PACK_NOT_SEALED',
  'PACK_SEALED_FAILED',
  'PACK_MANIFEST_MISSING',
  'PACK_MANIFEST_INVALID',
  'PACK_TOMBSTONED',
  'DIGEST_MISMATCH',
  'STREAM_RECEIPT_MISSING',
  'STREAM_RECEIPT_MISMATCH',
  'STREAM_VIEW_PARTIAL_EXISTS',
  'MISSING_SORT_KEY',
  'MISSING_TS_UTC',
  'OUTPUT_PATHS_EMPTY',
  'OUTPUT_IDS_MISSING',
  'PARTITION_GRANULARITY_UNSUPPORTED',
  'STREAM_SORT_TS_RANGE_MISSING',
  'STREAM_SORT_STATS_EMPTY',
  'STREAM_SORT_STATS_RETRY_FAILED',
  'STREAM_SORT_OUTPUT_EMPTY',
  'STREAM_SORT_VALIDATION_FAILED',
  'STREAM_VIEW_PART_RENAME_COLLISION',
] as const;

export type OracleReasonCode = (typeof ORACLE_REASON_CODES)[number];

/** Why the replayer refused or stopped a run. */
export const STREAMER_REASON_CODES = [
  'RUN_FACTS_INVALID',
  'PLATFORM_RUN_ID_MISSING',
  'PLATFORM_RUN_ID_MISMATCH',
  'SCENARIO_RUN_ID_MISSING',
  'SCENARIO_RUN_ID_MISMATCH',
  'ENGINE_ROOT_MISSING',
  'RUN_RECEIPT_UNREADABLE',
  'SCENARIO_ID_MISSING',
  'WORLD_KEY_MISSING',
  'WORLD_KEY_MISMATCH',
  'PACK_MANIFEST_MISSING',
  'PACK_MANIFEST_INVALID',
  'PACK_NOT_SEALED',
  'NO_TRAFFIC_OUTPUTS',
  'GATE_PASS_MISSING',
  'PRODUCER_ID_MISSING',
  'PRODUCER_NOT_ALLOWED',
  'STREAM_VIEW_MISSING',
  'STREAM_VIEW_RECEIPT_BAD',
  'STREAM_VIEW_ID_MISMATCH',
  'STREAM_VIEW_OUTPUT_MISMATCH',
  'STREAM_VIEW_EMPTY',
  'STREAM_VIEW_PAYLOAD_MISSING',
  'PRIMARY_KEY_MISSING',
  'STREAM_FAILED',
] as const;

export type StreamerReasonCode = (typeof STREAMER_REASON_CODES)[number];
