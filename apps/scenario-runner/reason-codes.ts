/**
 * The scenario runner's codes: why a request was refused, a run is waiting, or a run ended without READY.
 * A code is stable text for programs; the message beside it names the thing, the value and the way out.
 */

export const REASON_CODES = [
  // The request, before a run exists.
  'RUN_REQUEST_INVALID',
  'REEMIT_REQUEST_INVALID',
  'RUN_NOT_FOUND',
  'RUN_CLOSED',
  'AUTH_DENIED',
  'SR_SETTLEMENT_LOCK_FAIL_CLOSED',
  // The plan.
  'UNKNOWN_OUTPUT_ID',
  'UNKNOWN_GATE_ID',
  'PLAN_INVALID',
  // The engine.
  'ENGINE_COMMAND_MISSING',
  'ENGINE_COMMAND_TEMPLATE_UNRESOLVED',
  'ENGINE_INVOCATION_INVALID',
  'ENGINE_EXIT_NONZERO',
  'ENGINE_TIMEOUT',
  'ENGINE_RECEIPT_MISSING',
  'ENGINE_RECEIPT_INVALID',
  'ENGINE_RECEIPT_MISMATCH',
  'ATTEMPT_LIMIT_EXCEEDED',
  // Locators and instance proofs.
  'LOCATOR_SCHEMA_INVALID',
  'LOCATOR_TEMPLATE_MISMATCH',
  'LOCATOR_TOKEN_UNKNOWN',
  'LOCATOR_TOKEN_ORDER',
  'LOCATOR_PIN_MISMATCH',
  'LOCATOR_DIGEST_MISMATCH',
  'INSTANCE_DIGEST_MISSING',
  'INSTANCE_RECEIPT_SCHEMA_INVALID',
  'INSTANCE_RECEIPT_DRIFT',
  // Evidence.
  'EVIDENCE_WAITING',
  'EVIDENCE_MISSING_DEADLINE',
  'EVIDENCE_CONFLICT',
  'GATE_FAIL',
  'GATE_RECEIPT_MISSING',
  'OUTPUT_MISSING',
  'ORACLE_PACK_MISSING',
  'ORACLE_PACK_INVALID',
  'ORACLE_PACK_MISMATCH',
  'ORACLE_PACK_NOT_SEALED',
  'ORACLE_PACK_SEALED_FAILED',
  'ORACLE_PACK_TOMBSTONED',
  'ORACLE_STREAM_VIEW_OUTPUT_MISSING',
  'ORACLE_STREAM_VIEW_MANIFEST_MISSING',
  'ORACLE_STREAM_VIEW_RECEIPT_MISSING',
  'ORACLE_STREAM_VIEW_PARTS_MISSING',
  // The authority.
  'EQUIV_KEY_COLLISION',
  'RUN_STATE_CONFLICT',
  'LEASE_LOST',
  // Documents in the store.
  'ARTIFACT_SCHEMA_INVALID',
  'PLAN_DRIFT',
  'FACTS_VIEW_DRIFT',
  'READY_SIGNAL_DRIFT',
  'FACTS_VIEW_MISSING',
  // The decision stands, its fact is not on the bus yet.
  'READY_PUBLISH_FAILED',
  'TERMINAL_PUBLISH_FAILED',
  'CLOSE_PUBLISH_FAILED',
  // Emitting again.
  'REEMIT_BUSY',
  'REEMIT_NOT_FOUND',
  'REEMIT_RATE_LIMIT',
  'REEMIT_NOT_APPLICABLE',
  'REEMIT_TERMINAL_ONLY_MISMATCH',
  'REEMIT_READY_ONLY_MISMATCH',
  'CROSS_RUN_OVERRIDE_REQUIRED',
  'CROSS_RUN_OVERRIDE_REASON_NOT_ALLOWED',
  'CROSS_RUN_OVERRIDE_EVIDENCE_MISSING',
] as const;

export type ReasonCode = (typeof REASON_CODES)[number];

/** A refusal or failure with its code. `message` begins with the code, so that a log line alone suffices. */
export class ScenarioRunnerError extends Error {
  override readonly name = 'ScenarioRunnerError';
  readonly code: ReasonCode;

  constructor(code: ReasonCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
