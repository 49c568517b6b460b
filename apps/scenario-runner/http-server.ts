/**
 * The runner over HTTP. Errors are problem details (RFC 9457) whose `code` is the runner's; the header X-SR-Actor
 * says who asks. Whoever puts it on the network puts something in front that authenticates callers and sets the header.
 */
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { artifactProblems, isPlatformRunId, scenarioRunId } from '../rails/index.ts';
import { authorize } from './authorize.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import { reemit, type ReemitRequest } from './reemit.ts';
import { canonicalRunRequest, type RunRequest } from './run-request.ts';
import { isFinal, RUN_STATES, type RunState } from './run-state.ts';
import type { Run } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';
import { runStatus, submitRun, type RunOutcome, type RunSubmission } from './submit.ts';

/** Body of `POST /runs`. */
type SubmissionBody = Omit<RunSubmission, 'wait_seconds'>;

const SUBMISSION_FIELDS = ['platform_run_id', 'pack_root', 'request', 'replay'];
const MOST_BYTES = 256 * 1024;
const DEFAULT_LIMIT = 20;
const MOST_LISTED = 500;

const STATUS_OF: Partial<Readonly<Record<ReasonCode, number>>> = {
  AUTH_DENIED: 403,
  RUN_NOT_FOUND: 404,
  REEMIT_NOT_FOUND: 404,
  FACTS_VIEW_MISSING: 404,
  EQUIV_KEY_COLLISION: 409,
  ORACLE_PACK_MISMATCH: 409,
  PLAN_DRIFT: 409,
  RUN_CLOSED: 409,
  RUN_STATE_CONFLICT: 409,
  LEASE_LOST: 409,
  REEMIT_BUSY: 409,
  REEMIT_NOT_APPLICABLE: 409,
  REEMIT_READY_ONLY_MISMATCH: 409,
  REEMIT_TERMINAL_ONLY_MISMATCH: 409,
  CROSS_RUN_OVERRIDE_REQUIRED: 403,
  CROSS_RUN_OVERRIDE_REASON_NOT_ALLOWED: 403,
  CROSS_RUN_OVERRIDE_EVIDENCE_MISSING: 403,
  REEMIT_RATE_LIMIT: 429,
  READY_PUBLISH_FAILED: 503,
  TERMINAL_PUBLISH_FAILED: 503,
  CLOSE_PUBLISH_FAILED: 503,
  ARTIFACT_SCHEMA_INVALID: 500,
};

/** Codes for which the same request may succeed later. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 503]);
const RETRY_AFTER_SECONDS = '5';

type Query = Readonly<Partial<Record<'platform_run_id' | 'state' | 'limit', string>>>;
interface OneRun {
  Params: { readonly run_id: string };
  Querystring: Query;
}

export function runnerServer(context: RunnerContext): FastifyInstance {
  const server = fastify({ logger: false, bodyLimit: MOST_BYTES });
  server.addHook('onSend', async (_request, reply) => {
    void reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
    await Promise.resolve();
  });
  server.setErrorHandler((error: Error & { statusCode?: number }, request, reply) => {
    sendProblem(context, error, request, reply);
  });
  server.setNotFoundHandler((request, reply) => {
    sendProblem(
      context,
      Object.assign(new Error(`there is no ${request.url}`), { statusCode: 404 }),
      request,
      reply,
    );
  });

  server.get('/health', async () => {
    await context.store.pool.query('select 1');
    return { status: 'ok' };
  });

  server.post('/runs', async (request, reply) => {
    const actor = actorOf(request);
    const body = submissionOf(request.body);
    // Checked before it is known who asks for what: a refusal of the actor names a run.
    const { run_equivalence_key: key } = canonicalRunRequest(body.request);
    const run = { platformRunId: body.platform_run_id, runId: scenarioRunId(key) };
    await authorize(context, 'submit', actor, run);
    const asked: RunRequest =
      actor === null || body.request.invoker !== undefined
        ? body.request
        : { ...body.request, invoker: actor };
    const outcome = await submitRun(context, { ...body, request: asked, wait_seconds: 0 });
    return reply.code(isFinal(outcome.state) ? 200 : 202).send(summaryOf(outcome));
  });

  server.post<OneRun>('/runs/:run_id/reemit', async (request) => {
    const actor = actorOf(request);
    const body = reemitOf(request.body, request.params.run_id);
    const run = { platformRunId: body.platform_run_id, runId: body.run_id };
    await authorize(context, 'reemit', actor, run);
    const outcome = await reemit(
      context,
      actor === null || body.requested_by !== undefined ? body : { ...body, requested_by: actor },
    );
    return {
      run_id: outcome.run_id,
      platform_run_id: outcome.emit_platform_run_id,
      status_state: outcome.status_state,
      published: outcome.published ? [outcome.event_type] : [],
      attempt: outcome.attempt,
      message_id: outcome.message_id,
      message: outcome.published ? 'emitted' : 'nothing was emitted: a dry run',
    };
  });

  server.get<{ Querystring: Query }>('/runs', async (request) => {
    const { state } = request.query;
    if (state !== undefined && !isRunState(state))
      throw badRequest(`${state} is no state; there are ${RUN_STATES.join(', ')}`);
    const limit = Number(request.query.limit ?? DEFAULT_LIMIT);
    if (!Number.isInteger(limit) || limit < 1 || limit > MOST_LISTED) {
      throw badRequest(`limit is a whole number from 1 to ${MOST_LISTED}`);
    }
    const runs = await context.store.list({
      ...platformRunOf(request.query),
      ...(state === undefined ? {} : { state }),
      limit,
    });
    return {
      runs: runs.map((run) => ({ platform_run_id: run.platformRunId, ...context.objects.statusOf(run) })),
    };
  });
  server.get<OneRun>('/runs/:run_id', async (request) => runStatus(context, await oneRun(context, request)));
  server.get<OneRun>('/runs/:run_id/facts', async (request) =>
    context.objects.readFactsView(await oneRun(context, request)),
  );
  return server;
}

function actorOf(request: FastifyRequest): string | null {
  const header = request.headers['x-sr-actor'];
  const actor = (Array.isArray(header) ? header.join(',') : (header ?? '')).trim();
  if (actor === '') return null;
  // Also what a request's invoker may be.
  if (actor.length > 128) throw badRequest('X-SR-Actor is longer than 128 characters');
  return actor;
}

function submissionOf(body: unknown): SubmissionBody {
  if (typeof body !== 'object' || body === null)
    throw badRequest('the body is a submission as a JSON object');
  const unknown = Object.keys(body).filter((field) => !SUBMISSION_FIELDS.includes(field));
  if (unknown.length > 0) {
    throw badRequest(
      `${unknown.join(', ')} is no field of a submission; it has ${SUBMISSION_FIELDS.join(', ')}`,
    );
  }
  const {
    platform_run_id: platformRunId,
    pack_root: packRoot,
    replay,
  } = body as Readonly<Record<string, unknown>>;
  if (typeof platformRunId !== 'string' || !isPlatformRunId(platformRunId)) {
    throw badRequest('platform_run_id is missing or is not one; get one from `fp run new`');
  }
  if (packRoot !== undefined && typeof packRoot !== 'string') throw badRequest('pack_root is text');
  if (replay !== undefined && (typeof replay !== 'object' || replay === null))
    throw badRequest('replay is an object');
  return body as SubmissionBody;
}

function reemitOf(body: unknown, runId: string): ReemitRequest {
  const asked = { ...(body as object | null), run_id: runId };
  const problems = artifactProblems('reemit_request', asked);
  if (problems.length > 0) throw new ScenarioRunnerError('REEMIT_REQUEST_INVALID', problems.join('; '));
  return asked as ReemitRequest;
}

/** The run of an id in the platform run that is named, or in the latest that has it. */
async function oneRun(context: RunnerContext, request: FastifyRequest<OneRun>): Promise<Run> {
  const { run_id: runId } = request.params;
  const [run] = await context.store.list({ ...platformRunOf(request.query), runId, limit: 1 });
  if (run !== undefined) return run;
  throw new ScenarioRunnerError('RUN_NOT_FOUND', `there is no run ${runId}`);
}

function platformRunOf({ platform_run_id: id }: Query): { platformRunId?: string } {
  return id === undefined ? {} : { platformRunId: id };
}

function isRunState(text: string): text is RunState {
  return RUN_STATES.some((state) => state === text);
}

function summaryOf(outcome: RunOutcome): object {
  const message =
    outcome.publish_failure ?? outcome.reason ?? (outcome.leader ? 'done' : 'another process leads this run');
  return {
    run_id: outcome.run_id,
    platform_run_id: outcome.platform_run_id,
    state: outcome.state,
    reason_code: outcome.reason_code,
    status_ref: outcome.status_ref,
    record_ref: outcome.record_ref,
    facts_view_ref: outcome.facts_view_ref,
    published: outcome.published,
    message_id: outcome.message_id,
    message,
  };
}

function badRequest(reason: string): ScenarioRunnerError {
  return new ScenarioRunnerError('RUN_REQUEST_INVALID', reason);
}

function sendProblem(
  context: RunnerContext,
  error: Error & { readonly statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const known = error instanceof ScenarioRunnerError;
  const status = known ? (STATUS_OF[error.code] ?? 422) : (error.statusCode ?? 500);
  if (status >= 500) {
    context.logger.error(
      { error: error.message, method: request.method, url: request.url },
      'a request failed',
    );
  }
  if (RETRYABLE.has(status)) void reply.header('retry-after', RETRY_AFTER_SECONDS);
  const isOurs = known || status < 500;
  void reply
    .code(status)
    .type('application/problem+json')
    .send({
      type: 'about:blank',
      title: known ? error.code : status < 500 ? 'Bad request' : 'Internal error',
      status,
      ...(known ? { code: error.code } : {}),
      // What a server or a driver says may hold addresses: it is logged, not told.
      detail: isOurs ? error.message : 'something this service needs did not answer; its log says what',
      retryable: RETRYABLE.has(status) || status === 500,
    });
}
