/** The console over HTTP: the API, the metrics, and the page (plain files, no build step). */
import { readFileSync } from 'node:fs';
import fastify, { type FastifyInstance } from 'fastify';
import type { LagMetrics } from './lag-metrics.ts';
import type { RunView } from './run-reconciliation.ts';
import type { GroupView, Snapshot } from './snapshot.ts';

export interface LagConsoleData {
  snapshot(): Snapshot | undefined;
  /** Why the latest reading failed; undefined when it did not. */
  problem(): string | undefined;
  /** Runs known to the ledger or the control topic, the latest first. */
  runs(): Promise<readonly string[]>;
  run(platformRunId: string): Promise<RunView>;
}

const PAGE: Readonly<Record<string, readonly [file: string, contentType: string]>> = {
  '/': ['index.html', 'text/html; charset=utf-8'],
  '/console.css': ['console.css', 'text/css; charset=utf-8'],
  '/console.js': ['console.js', 'text/javascript; charset=utf-8'],
  '/format.js': ['format.js', 'text/javascript; charset=utf-8'],
  '/dom.js': ['dom.js', 'text/javascript; charset=utf-8'],
  '/groups.js': ['groups.js', 'text/javascript; charset=utf-8'],
  '/topics.js': ['topics.js', 'text/javascript; charset=utf-8'],
  '/run.js': ['run.js', 'text/javascript; charset=utf-8'],
};

const RUN_ID = /^platform_[0-9]{8}T[0-9]{6}Z$/;

export function lagConsoleServer(data: LagConsoleData, metrics: LagMetrics): FastifyInstance {
  const server = fastify({ logger: false });
  server.addHook('onSend', async (_request, reply) => {
    void reply.headers({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'self'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    });
    await Promise.resolve();
  });

  for (const [path, [file, contentType]] of Object.entries(PAGE)) {
    const content = readFileSync(new URL(`./page/${file}`, import.meta.url));
    server.get(path, (_request, reply) => reply.type(contentType).send(content));
  }

  const reading = (): Snapshot => {
    const snapshot = data.snapshot();
    if (snapshot !== undefined) return snapshot;
    throw Object.assign(new Error(`no reading of the cluster yet: ${data.problem() ?? 'starting'}`), {
      statusCode: 503,
    });
  };

  server.get('/api/groups', () => {
    const { at, bootstrapServers, groups } = reading();
    return { at, bootstrapServers, problem: data.problem() ?? null, groups: groups.map(withoutPartitions) };
  });
  server.get<{ Params: { group: string } }>('/api/groups/:group', (request) => {
    const group = reading().groups.find((each) => each.group === request.params.group);
    if (group !== undefined) return group;
    throw Object.assign(new Error(`no group '${request.params.group}'; GET /api/groups lists them`), {
      statusCode: 404,
    });
  });
  server.get('/api/topics', () => {
    const { at, topics } = reading();
    return { at, topics };
  });
  server.get('/api/runs', async () => ({ runs: await data.runs() }));
  server.get<{ Params: { platform_run_id: string } }>('/api/runs/:platform_run_id', async (request) => {
    const run = request.params.platform_run_id;
    if (RUN_ID.test(run)) return data.run(run);
    throw Object.assign(new Error(`'${run}' is not a platform run id; GET /api/runs lists them`), {
      statusCode: 400,
    });
  });
  server.get('/metrics', async (_request, reply) =>
    reply.type(metrics.contentType).send(await metrics.exposition()),
  );
  server.get('/healthz', (_request, reply) => {
    const problem = data.problem();
    return reply
      .code(problem === undefined ? 200 : 503)
      .send({ ok: problem === undefined, problem: problem ?? null });
  });
  return server;
}

function withoutPartitions({
  partitions: _partitions,
  ...group
}: GroupView & { readonly partitions: unknown }): GroupView {
  return group;
}
