/** The front door's routes. What it needs is given, so the routes run without servers in tests. */
import fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type HTTPMethods,
} from 'fastify';
import type { Logger } from '../../../lib/index.ts';
import type { LedgerReceipt, ReceiptQuery } from '../operations/receipt-lookup.ts';
import type { Authentication } from './authentication.ts';
import type { FrontDoorPolicy } from './front-door-policy.ts';
import type { Health } from './health.ts';
import { ndjsonLines } from './ndjson.ts';
import { openApiDocument } from './openapi.ts';
import { DoorError, problem } from './problem.ts';
import { refusal, type PushAnswer } from './push-service.ts';
import { lookupQuery } from './lookup-query.ts';
import { RequestLimits } from './request-limits.ts';

export interface DoorServerOptions {
  readonly authentication: Authentication;
  readonly policy: FrontDoorPolicy;
  readonly limits: RequestLimits;
  readonly push: (events: readonly Buffer[], principal: string) => Promise<readonly PushAnswer[]>;
  readonly health: () => Health;
  /** Rejects when the ledger does not answer. */
  readonly lookup: (query: ReceiptQuery) => Promise<readonly LedgerReceipt[]>;
  readonly logger: Logger;
}

declare module 'fastify' {
  interface FastifyRequest {
    principal: string;
  }
}

const JSON_TYPE = 'application/json';
const NDJSON_TYPE = 'application/x-ndjson';
const UNHEALTHY_RETRY_SECONDS = 5;
const LEDGER_RETRY_SECONDS = 5;
const METHODS: readonly HTTPMethods[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'];

export function doorServer(options: DoorServerOptions): FastifyInstance {
  const { policy, authentication, limits, logger } = options;
  const server = fastify({
    logger: false,
    bodyLimit: policy.limits.max_batch_bytes,
    exposeHeadRoutes: false,
    // Kept for as long as an answer may take.
    requestTimeout: policy.limits.outcome_timeout_ms + 30_000,
    frameworkErrors: (error, _request, reply) => {
      void sendProblem(reply, new DoorError('BAD_REQUEST', error.message));
    },
    clientErrorHandler(error, socket) {
      const body = JSON.stringify(problem('BAD_REQUEST', error.message));
      if (!socket.writable) return;
      socket.end(
        'HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/problem+json\r\n' +
          `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
      );
    },
  });
  server.addHttpMethod('TRACE');
  server.decorateRequest('principal', '');
  server.removeAllContentTypeParsers();
  server.addContentTypeParser([JSON_TYPE, NDJSON_TYPE], { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );
  server.addHook('onSend', async (_request, reply) => {
    void reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    await Promise.resolve();
  });
  server.setErrorHandler((error: Error & { code?: string; statusCode?: number }, _request, reply) =>
    sendProblem(reply, doorErrorOf(error, logger)),
  );
  server.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new DoorError('ROUTE_NOT_FOUND', `${request.method} ${request.url.split('?')[0]!}`)),
  );

  const authenticate = (request: FastifyRequest): void => {
    const principal = authentication.principalOf(request.headers);
    if (principal === undefined) {
      const needed =
        authentication.mode === 'api_key' ? 'a valid X-IG-Api-Key' : 'a valid Authorization: Bearer st.v1.…';
      throw new DoorError('UNAUTHORIZED', `the door needs ${needed}`);
    }
    request.principal = principal;
  };
  /** Before a byte of the body is read. */
  const mayPush = (request: FastifyRequest): void => {
    authenticate(request);
    const health = options.health();
    if (health.state === 'RED') {
      const draining = health.reasons.some(({ code }) => code === 'DRAINING');
      const reasons = health.reasons.map(({ code, detail }) => `${code} (${detail})`).join(', ');
      throw new DoorError(draining ? 'DRAINING' : 'IG_UNHEALTHY', reasons, {
        retryAfter: UNHEALTHY_RETRY_SECONDS,
        members: { health },
      });
    }
    if (request.headers['content-encoding'] !== undefined)
      throw new DoorError('MEDIA_TYPE_UNSUPPORTED', 'the body must not be encoded');
    limits.takeRequest();
  };

  route(server, 'POST', '/v1/ingest/push', mayPush, async (request, reply) => {
    const { body } = request;
    if (!Buffer.isBuffer(body) || body.length === 0)
      throw new DoorError('BODY_EMPTY', 'send one JSON envelope, or envelopes as NDJSON');
    const isBatch = request.headers['content-type']!.toLowerCase().startsWith(NDJSON_TYPE);
    const events = isBatch ? ndjsonLines(body) : [body];
    if (events.length === 0) throw new DoorError('BODY_EMPTY', 'the batch holds no event');
    const most = policy.limits.max_batch_events;
    if (events.length > most)
      throw new DoorError('BATCH_TOO_LONG', `${events.length} events; the limit is ${most}`);
    limits.enter(events.length);
    try {
      const answers = await options.push(events, request.principal);
      return await (isBatch ? sendBatch(reply, answers) : sendAnswer(reply, answers[0]!));
    } finally {
      limits.release(events.length);
    }
  });
  route(server, 'GET', '/v1/ops/lookup', authenticate, async (request, reply) => {
    const query = lookupQuery(request.query as Readonly<Record<string, unknown>>);
    let receipts;
    try {
      receipts = await options.lookup(query);
    } catch (error) {
      throw new DoorError('LEDGER_UNAVAILABLE', (error as Error).message, {
        retryAfter: LEDGER_RETRY_SECONDS,
      });
    }
    if (receipts.length === 0)
      throw new DoorError(
        'NOT_FOUND',
        'no receipt matches; one that was just made takes a moment to be written',
      );
    return reply.send({ receipts });
  });
  route(server, 'GET', '/v1/ops/health', authenticate, (_request, reply) => reply.send(options.health()));
  route(server, 'GET', '/healthz', undefined, (_request, reply) => {
    const health = options.health();
    return reply.code(health.state === 'RED' ? 503 : 200).send(health);
  });
  const document = openApiDocument(policy);
  route(server, 'GET', '/openapi.json', undefined, (_request, reply) => reply.send(document));
  return server;
}

/** A route, and 405 for every other method on its path. */
function route(
  server: FastifyInstance,
  method: 'GET' | 'POST',
  url: string,
  before: ((request: FastifyRequest) => void) | undefined,
  handler: (request: FastifyRequest, reply: FastifyReply) => unknown,
): void {
  server.route({
    method,
    url,
    handler,
    ...(before === undefined
      ? {}
      : {
          onRequest: (request: FastifyRequest, _reply: FastifyReply, done: (error?: Error) => void) => {
            try {
              before(request);
              done();
            } catch (error) {
              done(error as Error);
            }
          },
        }),
  });
  const refuse = (request: FastifyRequest, reply: FastifyReply): FastifyReply =>
    sendProblem(
      reply.header('allow', method),
      new DoorError('METHOD_NOT_ALLOWED', `${request.method} ${url}; use ${method}`),
    );
  server.route({
    method: METHODS.filter((each) => each !== method),
    url,
    // Before a body is parsed, whatever its type.
    onRequest: (request, reply, _done) => void refuse(request, reply),
    handler: refuse,
  });
}

function sendAnswer(reply: FastifyReply, answer: PushAnswer): FastifyReply {
  if (answer.retryAfter !== undefined) void reply.header('retry-after', answer.retryAfter);
  void reply.code(answer.status);
  return answer.status >= 400
    ? reply.type('application/problem+json').send(JSON.stringify(answer.body))
    : reply.send(answer.body);
}

function sendBatch(reply: FastifyReply, answers: readonly PushAnswer[]): FastifyReply {
  const counts: Record<string, number> = {};
  for (const { body } of answers) {
    const answer = 'decision' in body ? String(body['decision']) : String((body as { code?: string }).code);
    counts[answer] = (counts[answer] ?? 0) + 1;
  }
  return reply.code(answers.every(({ status }) => status === 202) ? 202 : 207).send({
    events: answers.length,
    counts,
    answers: answers.map(({ status, body }) => ({ status, body })),
  });
}

function sendProblem(reply: FastifyReply, error: DoorError): FastifyReply {
  return sendAnswer(reply, refusal(error));
}

function doorErrorOf(error: Error & { code?: string; statusCode?: number }, logger: Logger): DoorError {
  if (error instanceof DoorError) return error;
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new DoorError('PAYLOAD_TOO_LARGE', error.message);
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new DoorError('MEDIA_TYPE_UNSUPPORTED', `send ${JSON_TYPE} or ${NDJSON_TYPE}`);
  if (error.statusCode !== undefined && error.statusCode < 500)
    return new DoorError('BAD_REQUEST', error.message);
  logger.error({ reason: error.stack ?? String(error) }, 'a request failed');
  return new DoorError('INTERNAL_ERROR', 'the front door failed; its log says why');
}
