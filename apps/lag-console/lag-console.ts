/** The lag console as a service. */
import { Pool } from 'pg';
import {
  Admin,
  consumerDefaults,
  ConsumerLag,
  createLogger,
  nativeClient,
  SchemaRegistry,
  type ClientConfig,
  type Logger,
} from '../../lib/index.ts';
import { reconcile, runsInLedger, type RunReconciliation } from '../ingestion-gate/ledger/index.ts';
import type { Settings } from '../rails/index.ts';
import { AdminSource } from './admin-source.ts';
import { ClusterSampler } from './cluster-sampler.ts';
import { lagMetrics } from './lag-metrics.ts';
import { RunFactsReader } from './run-facts.ts';
import { reconcileRun } from './run-reconciliation.ts';
import { lagConsoleServer } from './server.ts';

export interface LagConsoleOptions {
  readonly settings: Settings;
  readonly signal: AbortSignal;
  readonly logger?: Logger;
  /** Overrides the settings' port; 0 lets the system choose. */
  readonly port?: number;
  /** Called with the address once the page can be opened. */
  readonly onListening?: (url: string) => void;
}

const UNDEFINED_TABLE = '42P01';
const MOST_RUNS = 20;

/** Serves until the signal aborts. Servers that are away show on the page; only a taken port is an error. */
export async function runLagConsole(options: LagConsoleOptions): Promise<void> {
  const { settings, signal } = options;
  const logger = options.logger ?? createLogger({ component: 'lag-console' });
  const { bootstrapServers } = settings.kafka;
  const reader = (name: string): ClientConfig => ({
    ...consumerDefaults,
    'bootstrap.servers': bootstrapServers,
    // Never joined: the client wants a name.
    'group.id': `${settings.topics.prefix}lag-console-${name}`,
    'client.id': `lag-console-${name}`,
  });
  const admin = new Admin({ bootstrapServers, clientId: 'lag-console', timeoutMs: 5_000 });
  const probe = nativeClient.createConsumer({
    ...reader('probe'),
    'fetch.message.max.bytes': 65_536,
    'queued.max.messages.kbytes': 1_024,
  });
  const control = nativeClient.createConsumer(reader('control'));
  const pool = new Pool({
    connectionString: settings.postgres.dsn,
    max: 2,
    connectionTimeoutMillis: 3_000,
    application_name: 'lag-console',
  });
  pool.on('error', (error) =>
    logger.warn({ reason: error.message }, 'an idle connection to PostgreSQL broke'),
  );
  const sampler = new ClusterSampler({
    source: new AdminSource(admin, settings.topics.prefix),
    lag: new ConsumerLag(probe),
    bootstrapServers,
    logger,
  });
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const factsReader = new RunFactsReader(control, settings.topics.control, registry, logger);
  const { facts } = factsReader;
  const server = lagConsoleServer(
    {
      snapshot: () => sampler.snapshot,
      problem: () => sampler.problem,
      runs: async () => {
        const ledger = await inLedger(() => runsInLedger(pool, MOST_RUNS), []);
        return [...new Set([...ledger, ...facts.runs()])].sort().reverse().slice(0, MOST_RUNS);
      },
      run: async (platformRunId) =>
        reconcileRun(
          await inLedger(() => reconcile(pool, platformRunId), emptyRun(platformRunId)),
          facts.of(platformRunId),
        ),
    },
    lagMetrics(() => sampler.snapshot),
  );
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  try {
    const url = await server.listen({
      host: settings.lagConsole.host,
      port: options.port ?? settings.lagConsole.port,
    });
    logger.info({ url }, 'the lag console is open');
    options.onListening?.(url);
    await Promise.all([sampler.run(ended), factsReader.run(ended)]);
  } finally {
    stop.abort();
    await server.close();
    await Promise.allSettled([admin.close(), probe.close(), control.close(), pool.end()]);
  }
}

/** The ledger may not have made its tables yet. */
async function inLedger<T>(query: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await query();
  } catch (error) {
    if ((error as { code?: string }).code === UNDEFINED_TABLE) return otherwise;
    throw error;
  }
}

function emptyRun(platformRunId: string): RunReconciliation {
  return {
    platformRunId,
    admitted: 0,
    duplicate: 0,
    quarantined: 0,
    receipts: 0,
    types: [],
    reasons: {},
    bus: [],
    unreadable: 0,
  };
}
