/** The receipt ledger as a service: its connections, its topics, and its two loops (receipts, segments). */
import { Pool } from 'pg';
import {
  avroAnyReader,
  consumerDefaults,
  createLogger,
  Metrics,
  nativeClient,
  ObjectStore,
  SchemaRegistry,
  serveMetrics,
  type Consumer,
  type KafkaClient,
  type Logger,
} from '../../../lib/index.ts';
import type { Settings } from '../../rails/index.ts';
import { AdmittedRecordReader } from './admitted-record.ts';
import { LedgerError } from './ledger-error.ts';
import { ledgerMetrics } from './ledger-metrics.ts';
import { migrateLedger } from './migrate.ts';
import { OutcomeRecordReader } from './outcome-record.ts';
import { pause } from './pause.ts';
import { ReceiptKinds } from './receipt-kinds.ts';
import { isPassing, ReceiptLedger } from './receipt-ledger.ts';
import { ReceiptWriter } from './receipt-writer.ts';
import { SegmentArchiver } from './segment-archiver.ts';

export interface LedgerServiceOptions {
  readonly settings: Settings;
  /** Ends the service, gracefully. */
  readonly signal: AbortSignal;
  readonly logger?: Logger;
  readonly client?: KafkaClient;
  /** Port of `GET /metrics`; none when absent, the system's choice when 0. */
  readonly metricsPort?: number;
  /** See SegmentArchiverOptions. */
  readonly idleFlushMs?: number;
}

const WAIT_MS = 2_000;
const CALL_TIMEOUT_MS = 5_000;

/** A pool for the ledger's own work. Commits are asynchronous: receipt-writer.ts says why nothing can be lost by it. */
export function ledgerPool(dsn: string, logger: Logger): Pool {
  const pool = new Pool({
    connectionString: dsn,
    max: 4,
    connectionTimeoutMillis: CALL_TIMEOUT_MS,
    application_name: 'receipt-ledger',
    options: '-c synchronous_commit=off',
  });
  pool.on('error', (error) =>
    logger.warn({ reason: error.message }, 'an idle connection to PostgreSQL broke'),
  );
  return pool;
}

/** Runs until the signal aborts. Rejects with what makes going on pointless; waits for servers that are not there. */
export async function runLedger(options: LedgerServiceOptions): Promise<void> {
  const { settings, signal } = options;
  const logger = options.logger ?? createLogger({ component: 'receipt-ledger' });
  const busTopics = [settings.topics.traffic, settings.topics.control, settings.topics.audit];
  const outcomesTopic = settings.topics.outcomes;
  const registry = new Metrics({ process: true });
  const metrics = ledgerMetrics(registry);
  const exposition =
    options.metricsPort === undefined ? undefined : await serveMetrics(registry, options.metricsPort);
  const pool = ledgerPool(settings.postgres.dsn, logger);
  const store = ObjectStore.connect(settings.objectStore);
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  try {
    await migrateWhenThere(pool, logger, ended);
    const consumer = (options.client ?? nativeClient).createConsumer({
      ...consumerDefaults,
      'bootstrap.servers': settings.kafka.bootstrapServers,
      'group.id': settings.groups.ledger,
      'client.id': 'receipt-ledger',
    });
    const kinds = new ReceiptKinds();
    const archiver = new SegmentArchiver({
      pool,
      bucket: store.bucket(settings.objectStore.bucket),
      logger,
      metrics,
      ledgerIdleMs: () => ledger.idleMs,
      ...(options.idleFlushMs === undefined ? {} : { idleFlushMs: options.idleFlushMs }),
    });
    const ledger = new ReceiptLedger({
      consumer,
      pool,
      writer: new ReceiptWriter(pool, kinds),
      admitted: new AdmittedRecordReader(kinds, (run) => archiver.runEnded(run)),
      outcomes: new OutcomeRecordReader(
        kinds,
        avroAnyReader(new SchemaRegistry({ url: settings.schemaRegistry.url })),
      ),
      busTopics,
      outcomesTopic,
      logger,
      metrics,
    });
    await waitForTopics(consumer, [...busTopics, outcomesTopic], logger, ended);
    logger.info(
      { topics: [...busTopics, outcomesTopic], group: settings.groups.ledger },
      'the receipt ledger runs',
    );
    const archiving = archiver.run(ended);
    try {
      await ledger.run(ended);
    } finally {
      stop.abort();
      await archiving;
    }
    logger.info('the receipt ledger has stopped');
  } finally {
    await pool.end();
    store.close();
    await exposition?.close();
  }
}

async function migrateWhenThere(pool: Pool, logger: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      const client = await pool.connect();
      try {
        await migrateLedger(client);
      } finally {
        client.release();
      }
      return;
    } catch (error) {
      if (!isPassing(error)) throw error;
      logger.info({ reason: (error as Error).message }, 'waiting for PostgreSQL');
      await pause(WAIT_MS, signal);
    }
  }
}

/** Waits until all topics exist; then their partition counts must be one, or a record's place would not be found. */
async function waitForTopics(
  consumer: Consumer,
  topics: readonly string[],
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const counts = await consumer.partitionCounts(topics, CALL_TIMEOUT_MS).catch((error: unknown) => {
      logger.info({ reason: String(error) }, 'waiting for Kafka');
      return undefined;
    });
    const missing = topics.filter((topic) => counts?.has(topic) !== true);
    if (counts !== undefined && missing.length === 0) {
      if (new Set(counts.values()).size === 1) return;
      throw new LedgerError(
        'TOPICS_INCONSISTENT',
        `the bus topics' partition counts differ (${[...counts].map(([topic, n]) => `${topic}: ${n}`).join(', ')}): ` +
          'make them anew with `npm run topology:apply`',
      );
    }
    if (counts !== undefined)
      logger.info({ missing }, 'waiting for topics: `npm run topology:apply` makes them');
    await pause(WAIT_MS, signal);
  }
}
