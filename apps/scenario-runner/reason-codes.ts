/**
 * The scenario runner's codes: why a request was refused, a run is waiting, or a run ended without READY.
 * A code is stable text for programs; the message beside it names the thing, the value and the way out.
 */
import { RUNNER_REASON_CODES } from '../rails/index.ts';

export const REASON_CODES = [
  ...RUNNER_REASON_CODES,
  // The request, before a run exists.
  'RUN_REQUEST_INVALID',
  'REEMIT_REQUEST_INVALID',
  'RUN_NOT_FOUND',
  'ENGINE_COMMAND_MISSING',
  // Evidence.
  'ORACLE_PACK_SEALED_FAILED',
  'ORACLE_PACK_TOMBSTONED',
  'GATE_RECEIPT_MISSING',
  'OUTPUT_MISSING',
  // The authority.
  'RUN_STATE_CONFLICT',
  // The decision stands, its fact is not on the bus yet.
  'READY_PUBLISH_FAILED',
  'TERMINAL_PUBLISH_FAILED',
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
