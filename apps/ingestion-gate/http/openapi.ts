/**
 * The front door's contract as an OpenAPI 3.1 document, served at /openapi.json. A test holds every answer of the real
 * server against it, and every route and status against the document.
 */
import { API_KEY_HEADER } from './authentication.ts';
import type { FrontDoorPolicy } from './front-door-policy.ts';
import { HEALTH_REASONS } from './health.ts';
import { DOOR_CODES, type DoorCode } from './problem.ts';

type Schema = Readonly<Record<string, unknown>>;

const text: Schema = { type: 'string' };
const textOrNull: Schema = { type: ['string', 'null'] };
const integer: Schema = { type: 'integer' };
const micros: Schema = { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}\\.\\d{6}Z$' };
const microsOrNull: Schema = { anyOf: [micros, { type: 'null' }] };
const decision: Schema = { enum: ['ADMIT', 'DUPLICATE', 'QUARANTINE'] };
const ref = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });
const orNull = (schema: Schema): Schema => ({ anyOf: [schema, { type: 'null' }] });
const list = (items: Schema): Schema => ({ type: 'array', items });

function closed(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  return {
    type: 'object',
    additionalProperties: false,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    properties,
  };
}

const place = closed({ topic: text, partition: integer, offset: integer });
const policyRev = closed({ policy_id: text, revision: text });
const evidence = list(closed({ kind: text, ref: text }));
const identity = {
  receipt_id: { type: 'string', pattern: '^[a-f0-9]{32}$' },
  decision,
  reason_codes: list(text),
  event_id: textOrNull,
  event_type: textOrNull,
  event_class: textOrNull,
  platform_run_id: textOrNull,
  scenario_run_id: textOrNull,
  payload_hash: textOrNull,
  dedupe_key: textOrNull,
  partition_key: textOrNull,
  partitioning_profile_id: textOrNull,
} satisfies Record<string, Schema>;

const reingestion = closed({
  receipt_id: textOrNull,
  requested_by: text,
  reason: text,
  requested_at_utc: micros,
});

const ebRef = (offset: Schema): Schema =>
  closed({
    topic: text,
    partition: integer,
    offset,
    offset_kind: { const: 'kafka_offset' },
    published_at_utc: micros,
  });

const schemas: Readonly<Record<string, Schema>> = {
  Place: place,
  PushReceipt: closed({
    ...identity,
    reason_detail: textOrNull,
    retryable: { type: 'boolean' },
    policy_rev: policyRev,
    ingress: ref('Place'),
    eb_ref: orNull(ebRef(integer)),
    admitted_at_utc: microsOrNull,
    decided_at_utc: micros,
    original: orNull(closed({ receipt_id: text, ingress: ref('Place') })),
    evidence_refs: evidence,
  }),
  LedgerReceipt: closed({
    ...identity,
    policy_rev: orNull(policyRev),
    ingress: ref('Place'),
    eb_ref: orNull(ebRef(text)),
    admitted_at_utc: microsOrNull,
    decided_at_utc: micros,
    receipt_ref: text,
    evidence_refs: evidence,
    supersedes: orNull(reingestion),
    superseded_by: list(reingestion),
  }),
  Admitted: closed({
    decision: { enum: ['ADMIT', 'DUPLICATE'] },
    receipt: ref('PushReceipt'),
    receipt_ref: text,
  }),
  Problem: closed(
    {
      type: text,
      title: text,
      status: integer,
      detail: text,
      code: { enum: Object.keys(DOOR_CODES) },
      retryable: { type: 'boolean' },
      errors: list(closed({ field: text, message: text })),
      decision: { const: 'QUARANTINE' },
      receipt: ref('PushReceipt'),
      receipt_ref: text,
      ingress: ref('Place'),
      lookup: text,
      health: ref('Health'),
    },
    ['errors', 'decision', 'receipt', 'receipt_ref', 'ingress', 'lookup', 'health'],
  ),
  BatchAnswer: closed({
    events: integer,
    counts: { type: 'object', additionalProperties: integer },
    answers: list({
      type: 'object',
      additionalProperties: false,
      required: ['status', 'body'],
      properties: { status: integer, body: { anyOf: [ref('Admitted'), ref('Problem')] } },
    }),
  }),
  Health: closed({
    state: { enum: ['GREEN', 'AMBER', 'RED'] },
    reasons: list(closed({ code: { enum: Object.keys(HEALTH_REASONS) }, detail: text })),
    checked_at_utc: textOrNull,
  }),
  Lookup: closed({ receipts: list(ref('LedgerReceipt')) }),
  Event: {
    type: 'object',
    description: 'An envelope: its fields are those of the Avro record registered for its event_type.',
    required: ['event_id', 'event_type', 'ts_utc', 'manifest_fingerprint', 'payload'],
    properties: {
      event_id: text,
      event_type: text,
      ts_utc: micros,
      manifest_fingerprint: text,
      payload: { type: 'object' },
    },
  },
};

const PROBLEM_TYPE = 'application/problem+json';

function problemAnswer(...codes: DoorCode[]): Schema {
  const withRetry = codes.some((code) => [429, 503].includes(DOOR_CODES[code][0]));
  return {
    description: codes.map((code) => `${code}: ${DOOR_CODES[code][1]}`).join('. '),
    ...(withRetry
      ? { headers: { 'retry-after': { description: 'Seconds', schema: { type: 'integer', minimum: 1 } } } }
      : {}),
    content: { [PROBLEM_TYPE]: { schema: ref('Problem') } },
  };
}

const json = (name: string, description: string): Schema => ({
  description,
  content: { 'application/json': { schema: ref(name) } },
});

const query = (name: string, description: string, pattern?: string): Schema => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string', minLength: 1, maxLength: 512, ...(pattern === undefined ? {} : { pattern }) },
});

export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<
    Record<string, Readonly<Record<string, { readonly responses: Readonly<Record<string, Schema>> }>>>
  >;
  readonly [member: string]: unknown;
}

export function openApiDocument(policy: FrontDoorPolicy): OpenApiDocument {
  const { limits } = policy;
  const common = {
    400: problemAnswer('BAD_REQUEST'),
    401: problemAnswer('UNAUTHORIZED'),
    500: problemAnswer('INTERNAL_ERROR'),
  };
  const operations = {
    '/v1/ingest/push': {
      post: {
        operationId: 'push',
        summary: 'Push one event, or a batch of events as NDJSON, and learn what the gate decided',
        requestBody: {
          required: true,
          content: {
            'application/json': { schema: ref('Event') },
            'application/x-ndjson': {
              schema: {
                type: 'string',
                description: `At most ${limits.max_batch_events} events, one a line`,
              },
            },
          },
        },
        responses: {
          202: {
            description: 'ADMIT or DUPLICATE; for a batch, of every event',
            content: { 'application/json': { schema: { anyOf: [ref('Admitted'), ref('BatchAnswer')] } } },
          },
          207: json('BatchAnswer', 'A batch whose events have different outcomes: each has its own status'),
          ...common,
          400: problemAnswer('QUARANTINED', 'BODY_EMPTY', 'BAD_REQUEST'),
          403: problemAnswer('PRODUCER_NOT_ALLOWED', 'PRODUCER_MISMATCH', 'EVENT_TYPE_NOT_ALLOWED'),
          413: problemAnswer('PAYLOAD_TOO_LARGE', 'BATCH_TOO_LONG'),
          415: problemAnswer('MEDIA_TYPE_UNSUPPORTED'),
          429: problemAnswer('RATE_LIMITED', 'TOO_MANY_IN_FLIGHT'),
          503: problemAnswer(
            'IG_UNHEALTHY',
            'DRAINING',
            'SCHEMA_REGISTRY_UNAVAILABLE',
            'INGRESS_NOT_ACKNOWLEDGED',
            'OUTCOME_PENDING',
          ),
        },
      },
    },
    '/v1/ops/lookup': {
      get: {
        operationId: 'lookup',
        summary: 'What became of an event: its receipts, in the order of their decisions',
        parameters: [
          query('receipt_id', 'Receipt', '^[a-f0-9]{32}$'),
          query('event_id', 'Event; repeats have receipts of their own'),
          query('dedupe_key', 'What must not be admitted twice', '^[a-f0-9]{64}$'),
          query(
            'ingress',
            'Where the record entered: topic/partition/offset',
            '^[A-Za-z0-9._-]{1,249}/\\d{1,9}/\\d{1,15}$',
          ),
          query('platform_run_id', 'Narrows the others to one run', '^platform_[0-9]{8}T[0-9]{6}Z$'),
        ],
        responses: {
          200: json('Lookup', 'At least one receipt'),
          ...common,
          400: problemAnswer('MISSING_QUERY', 'INVALID_QUERY', 'BAD_REQUEST'),
          404: problemAnswer('NOT_FOUND'),
          503: problemAnswer('LEDGER_UNAVAILABLE'),
        },
      },
    },
    '/v1/ops/health': {
      get: {
        operationId: 'health',
        summary: 'State and reasons, as the background probes last found them',
        responses: { 200: json('Health', 'GREEN, AMBER or RED'), ...common },
      },
    },
    '/healthz': {
      get: {
        operationId: 'healthz',
        summary: 'For load balancers: whether this instance takes pushes',
        security: [],
        responses: {
          200: json('Health', 'GREEN or AMBER'),
          400: common[400],
          500: common[500],
          503: json('Health', 'RED'),
        },
      },
    },
    '/openapi.json': {
      get: {
        operationId: 'openapi',
        summary: 'This document',
        security: [],
        responses: {
          200: {
            description: 'OpenAPI 3.1',
            content: { 'application/json': { schema: { type: 'object' } } },
          },
          400: common[400],
          500: common[500],
        },
      },
    },
  };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Ingestion gate: HTTP front door',
      version: `${policy.policy_id}@${policy.revision}`,
      description:
        'Every event that is taken has exactly one outcome. Problems are RFC 9457; `retryable` says whether the same ' +
        'request can succeed later.',
    },
    security: [{ apiKey: [] }, { serviceToken: [] }],
    paths: operations,
    components: {
      securitySchemes: {
        apiKey: { type: 'apiKey', in: 'header', name: API_KEY_HEADER },
        serviceToken: { type: 'http', scheme: 'bearer', bearerFormat: 'st.v1.<principal>.<proof>' },
      },
      schemas,
    },
  };
}
