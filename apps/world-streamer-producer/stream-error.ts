/** Why a run is not streamed: one typed list of codes, each terminal or worth another try. */

/** Terminal: the same READY would fail again. A re-emitted READY (the next attempt) starts over. */
export const TERMINAL_CODES = [
  // READY and facts
  'READY_INVALID',
  'RUN_FACTS_INVALID',
  'PLATFORM_RUN_ID_MISSING',
  'PLATFORM_RUN_ID_MISMATCH',
  'SCENARIO_RUN_ID_MISSING',
  'SCENARIO_RUN_ID_MISMATCH',
  'BUNDLE_HASH_MISMATCH',
  // World
  'ENGINE_ROOT_MISSING',
  'RUN_RECEIPT_UNREADABLE',
  'SCENARIO_ID_MISSING',
  'WORLD_KEY_MISSING',
  'WORLD_KEY_MISMATCH',
  'PACK_MANIFEST_MISSING',
  'PACK_MANIFEST_INVALID',
  'PACK_NOT_SEALED',
  'PACK_TOMBSTONED',
  'GATE_PASS_MISSING',
  // Outputs
  'NO_TRAFFIC_OUTPUTS',
  'OUTPUT_NOT_STREAMABLE',
  // Producer
  'PRODUCER_ID_MISSING',
  'PRODUCER_ALLOWLIST_EMPTY',
  'PRODUCER_NOT_ALLOWED',
  // Stream views
  'STREAM_VIEW_MISSING',
  'STREAM_VIEW_RECEIPT_BAD',
  'STREAM_VIEW_ID_MISMATCH',
  'STREAM_VIEW_OUTPUT_MISMATCH',
  'STREAM_VIEW_EMPTY',
  'STREAM_VIEW_DIGEST_MISMATCH',
  'STREAM_VIEW_PAYLOAD_MISSING',
  'STREAM_VIEW_UNREADABLE',
  'PRIMARY_KEY_MISSING',
  'SCHEMA_UNSUITABLE',
  'CURSOR_INVALID',
  // Operators
  'COMMAND_INVALID',
  'COMMAND_RUN_UNKNOWN',
  'COMMAND_TOO_LATE',
] as const;

/** Retried with backoff, without a restart. */
export const RETRIABLE_CODES = [
  'OBJECT_STORE_UNAVAILABLE',
  'SCHEMA_REGISTRY_UNAVAILABLE',
  'KAFKA_UNAVAILABLE',
  /** Anything unforeseen: it stays visible in the log and is tried again. */
  'STREAM_FAILED',
] as const;

export type TerminalCode = (typeof TERMINAL_CODES)[number];
export type RetriableCode = (typeof RETRIABLE_CODES)[number];
export type StreamErrorCode = TerminalCode | RetriableCode;

export class StreamError extends Error {
  override readonly name = 'StreamError';
  readonly code: StreamErrorCode;

  constructor(code: StreamErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }

  get retriable(): boolean {
    return (RETRIABLE_CODES as readonly string[]).includes(this.code);
  }
}
