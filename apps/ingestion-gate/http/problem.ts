/**
 * What the front door answers instead of an outcome: RFC 9457 problem details with a code, and whether sending the
 * very same request again can succeed.
 */

export const DOOR_CODES = {
  UNAUTHORIZED: [401, 'No valid credentials', false],
  PRODUCER_NOT_ALLOWED: [403, 'The principal is not a producer of this door', false],
  PRODUCER_MISMATCH: [403, 'The event names another producer', false],
  EVENT_TYPE_NOT_ALLOWED: [403, 'The producer may not push this event type', false],
  BODY_EMPTY: [400, 'Nothing was sent', false],
  MISSING_QUERY: [400, 'The look-up names nothing to look for', false],
  INVALID_QUERY: [400, 'A parameter of the look-up is malformed', false],
  BAD_REQUEST: [400, 'The request is not valid HTTP for this door', false],
  QUARANTINED: [400, 'The event was quarantined', false],
  NOT_FOUND: [404, 'There is no receipt', true],
  ROUTE_NOT_FOUND: [404, 'No such route', false],
  METHOD_NOT_ALLOWED: [405, 'Method not allowed', false],
  PAYLOAD_TOO_LARGE: [413, 'Larger than the door takes', false],
  BATCH_TOO_LONG: [413, 'More events than a batch may hold', false],
  MEDIA_TYPE_UNSUPPORTED: [415, 'Neither JSON nor NDJSON', false],
  RATE_LIMITED: [429, 'Too many requests', true],
  TOO_MANY_IN_FLIGHT: [429, 'Too many events are waiting for their outcome', true],
  INTERNAL_ERROR: [500, 'The front door failed', true],
  IG_UNHEALTHY: [503, 'The gate is not healthy', true],
  DRAINING: [503, 'This instance is stopping', true],
  SCHEMA_REGISTRY_UNAVAILABLE: [503, 'The schema registry does not answer', true],
  INGRESS_NOT_ACKNOWLEDGED: [503, 'The brokers did not acknowledge the event', true],
  OUTCOME_PENDING: [503, 'The event is in, its outcome is not known yet', true],
  LEDGER_UNAVAILABLE: [503, 'The receipt ledger does not answer', true],
} as const satisfies Record<string, readonly [status: number, title: string, retryable: boolean]>;

export type DoorCode = keyof typeof DOOR_CODES;

/** One thing wrong with one field; `field` is a path such as `payload.amount`. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

export interface ProblemDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly retryable: boolean;
  readonly errors?: readonly FieldProblem[];
  readonly [member: string]: unknown;
}

const TYPE_BASE = 'urn:fraud-platform:ingestion-gate:';

export function problem(
  code: DoorCode,
  detail: string,
  members: Readonly<Record<string, unknown>> = {},
): ProblemDetails {
  const [status, title, retryable] = DOOR_CODES[code];
  return {
    type: TYPE_BASE + code.toLowerCase().replaceAll('_', '-'),
    title,
    status,
    detail,
    code,
    retryable,
    ...members,
  };
}

/** A refusal on its way to the answer. */
export class DoorError extends Error {
  override readonly name = 'DoorError';
  readonly problem: ProblemDetails;
  /** Seconds for Retry-After. */
  readonly retryAfter: number | undefined;

  constructor(
    code: DoorCode,
    detail: string,
    options: { readonly retryAfter?: number; readonly members?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(`${code}: ${detail}`);
    this.problem = problem(code, detail, options.members);
    this.retryAfter = options.retryAfter;
  }
}
