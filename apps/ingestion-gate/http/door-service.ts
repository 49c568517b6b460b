/** The HTTP front door as a process: waits for what it needs, serves, and drains before it stops. */
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'pg';
import {
  ConfigError,
  createAdmin,
  createLogger,
  Metrics,
  nativeClient,
  ObjectStore,
  SchemaRegistry,
  serveMetrics,
  type Environment,
  type KafkaClient,
  type Logger,
} from '../../../lib/index.ts';
import { loadPolicies, type Settings } from '../../rails/index.ts';
import { findReceipts } from '../operations/receipt-lookup.ts';
import { authentication } from './authentication.ts';
import type { PushReceipt } from './committed-outcome.ts';
import { doorMetrics } from './door-metrics.ts';
import { doorServer } from './door-server.ts';
import { EventReader } from './event-reader.ts';
import { loadFrontDoorPolicy, type FrontDoorLimits } from './front-door-policy.ts';
import { HealthMonitor } from './health.ts';
import { healthProbes } from './health-probes.ts';
import { IngressWriter } from './ingress-writer.ts';
import { OutcomeMatch } from './outcome-match.ts';
import { OutcomeTail } from './outcome-tail.ts';
import { PushService } from './push-service.ts';
import { RequestLimits } from './request-limits.ts';

export interface DoorOptions {
  readonly settings: Settings;
  /** Authentication, host and port come from here. */
  readonly env: Environment;
  /** Drains and stops. */
  readonly signal: AbortSignal;
  readonly host?: string;
  /** 0 is the system's choice. */
  readonly port?: number;
  readonly metricsPort?: number;
  readonly client?: KafkaClient;
  readonly logger?: Logger;
  /** Instead of the policy's, for tests of the limits. */
  readonly limits?: Partial<FrontDoorLimits>;
  /** Told when the door is open. */
  readonly onListening?: (address: { readonly host: string; readonly port: number }) => void;
}

const DEFAULT_HOST = '127.0.0.1';
const DEFAULT_PORT = 8090;
const RETRY_MS = 1_000;
/** Services stop within ten seconds; this leaves some for closing the clients. */
const DRAIN_MS = 8_000;
const CALL_TIMEOUT_MS = 3_000;

/** Resolves when the signal has stopped the door; rejects with what makes going on pointless. */
export async function runDoor(options: DoorOptions): Promise<void> {
  const { settings, signal, client = nativeClient } = options;
  const logger = options.logger ?? createLogger({ component: 'front_door' });
  const policies = loadPolicies(settings.policies);
  const filePolicy = loadFrontDoorPolicy(policies.classMap.eventTypes);
  const policy = { ...filePolicy, limits: { ...filePolicy.limits, ...options.limits } };
  const auth = authentication(options.env, settings.profile);
  const host = options.host ?? (options.env['IG_HTTP_HOST'] || DEFAULT_HOST);
  const port = options.port ?? portOf(options.env['IG_HTTP_PORT']);

  const { bootstrapServers } = settings.kafka;
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const match = new OutcomeMatch<PushReceipt>();
  const tail = new OutcomeTail({ settings, client, schemas: registry, match, logger });
  const writer = new IngressWriter({
    client,
    bootstrapServers,
    topic: settings.topics.ingress,
    timeoutMs: policy.limits.outcome_timeout_ms,
  });
  const admin = createAdmin({ bootstrapServers });
  const store = ObjectStore.connect(settings.objectStore);
  const pool = new Pool({
    connectionString: settings.postgres.dsn,
    max: 8,
    connectionTimeoutMillis: CALL_TIMEOUT_MS,
    statement_timeout: CALL_TIMEOUT_MS,
    application_name: 'front-door',
  });
  pool.on('error', (error) => logger.warn({ reason: error.message }, 'a connection to PostgreSQL broke'));
  const metrics = new Metrics({ process: true });
  const exposition =
    options.metricsPort === undefined ? undefined : await serveMetrics(metrics, options.metricsPort);
  const health = new HealthMonitor({
    probes: healthProbes({ settings, admin, registry, pool, store, tail, writer }),
  });
  const limits = new RequestLimits({
    requestsPerMinute: policy.limits.requests_per_minute,
    maxInFlightEvents: policy.limits.max_in_flight_events,
  });
  const pushes = new PushService({
    reader: new EventReader({
      schemas: registry,
      ingressTopic: settings.topics.ingress,
      partitioning: policies.partitioning,
      eventTypes: policies.classMap.eventTypes,
      partitions: settings.partitions,
    }),
    writer,
    match,
    policy,
    authMode: auth.mode,
    ingressTopic: settings.topics.ingress,
    metrics: doorMetrics(metrics, () => limits.inFlight),
    logger,
  });
  const server = doorServer({
    authentication: auth,
    policy,
    limits,
    push: (events, principal) => pushes.push(events, principal),
    health: () => health.current(),
    lookup: (query) => findReceipts(pool, query),
    logger,
  });
  const tailing = new AbortController();
  let tailed = Promise.resolve();
  try {
    if (!(await tailStarted(tail, logger, signal))) return;
    tailed = tail.run(tailing.signal);
    await health.start();
    await server.listen({ host, port });
    const { port: listening } = server.server.address() as AddressInfo;
    logger.info(
      { host, port: listening, auth: auth.mode, policy: policy.revision },
      'the front door is open',
    );
    options.onListening?.({ host, port: listening });
    await aborted(signal);

    health.drain();
    const until = Date.now() + DRAIN_MS;
    while (limits.inFlight > 0 && Date.now() < until) await delay(20);
    logger.info({ unanswered: limits.inFlight }, 'the front door has drained');
  } finally {
    health.stop();
    await server.close();
    tailing.abort();
    await tailed;
    await writer.close();
    await admin.close();
    await pool.end();
    store.close();
    await exposition?.close();
  }
}

/** Services start in any order. False when stopped meanwhile. */
async function tailStarted(tail: OutcomeTail, logger: Logger, signal: AbortSignal): Promise<boolean> {
  while (!signal.aborted) {
    try {
      await tail.start();
      return true;
    } catch (error) {
      logger.info({ reason: (error as Error).message }, 'waiting for the topics');
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return false;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((done) => signal.addEventListener('abort', () => done(), { once: true }));
}

function portOf(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_PORT;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  throw new ConfigError([
    { file: 'environment', path: 'IG_HTTP_PORT', message: `${JSON.stringify(text)} is not a port` },
  ]);
}
