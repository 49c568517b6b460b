/** The receipt ledger as a service: its connections, its topics, and its two halves (receipts here, segments in a thread). */
import type { Pool } from 'pg';
import {
  avroAnyReader,
  consumerDefaults,
  createLogger,
  Metrics,
  nativeClient,
  SchemaRegistry,
  serveMetrics,
  type Consumer,
  type KafkaClient,
  type Logger,
} from '../../../lib/index.ts';
import type { Settings } from '../../rails/index.ts';
import { AdmittedRecordReader } from './admitted-record.ts';
import { ArchiveThread } from './archive-thread.ts';
import { LedgerError } from './ledger-error.ts';
import { ledgerMetrics, type LedgerMetrics } from './ledger-metrics.ts';
import { ledgerPool } from './ledger-pool.ts';
import { migrateLedger } from './migrate.ts';
import { OutcomeRecordReader } from './outcome-record.ts';
import { pause } from './pause.ts';
import { ReceiptKinds } from './receipt-kinds.ts';
import { isPassing, ReceiptLedger } from './receipt-ledger.ts';
import { ReceiptWriter } from './receipt-writer.ts';

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
  /** Stop when every record on the bus has its receipt, instead of waiting for more. */
  readonly untilEnd?: boolean;
}

const WAIT_MS = 2_000;
const CALL_TIMEOUT_MS = 5_000;

/** Runs until the signal aborts. Rejects with what makes going on pointless; waits for servers that are not there. */
export async function runLedger(options: LedgerServiceOptions): Promise<void> {
  const { settings, signal } = options;
  const logger = options.logger ?? createLogger({ component: 'receipt-ledger' });
  const registry = new Metrics({ process: true });
  const metrics = ledgerMetrics(registry);
  const exposition =
    options.metricsPort === undefined ? undefined : await serveMetrics(registry, options.metricsPort);
  const pool = ledgerPool(settings.postgres.dsn, logger);
  const stop = new AbortController();
  const ended = AbortSignal.any([signal, stop.signal]);
  try {
    await migrateWhenThere(pool, logger, ended);
    let archiveFailure: Error | undefined;
    const archiver = new ArchiveThread(
      {
        settings,
        idleFlushMs: options.idleFlushMs,
        logger: { component: 'receipt-ledger', level: logger.level },
      },
      metrics,
      (error) => {
        archiveFailure ??= new LedgerError('ARCHIVER_FAILED', error.message, { cause: error });
        stop.abort();
      },
    );
    try {
      await writeReceipts(options, { pool, archiver, logger, metrics, ended });
    } finally {
      await archiver.stop();
    }
    if (archiveFailure !== undefined) throw archiveFailure;
    logger.info('the receipt ledger has stopped');
  } finally {
    await pool.end();
    await exposition?.close();
  }
}

interface LedgerParts {
  readonly pool: Pool;
  readonly archiver: ArchiveThread;
  readonly logger: Logger;
  readonly metrics: LedgerMetrics;
  readonly ended: AbortSignal;
}

async function writeReceipts(options: LedgerServiceOptions, parts: LedgerParts): Promise<void> {
  const { settings } = options;
  const { pool, archiver, logger, metrics, ended } = parts;
  const { traffic, control, audit, outcomes } = settings.topics;
  const busTopics = [traffic, control, audit];
  const consumer = (options.client ?? nativeClient).createConsumer({
    ...consumerDefaults,
    'bootstrap.servers': settings.kafka.bootstrapServers,
    'group.id': settings.groups.ledger,
    'client.id': 'receipt-ledger',
  });
  const kinds = new ReceiptKinds();
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
    outcomesTopic: outcomes,
    logger,
    metrics,
    busy: () => archiver.busy(),
    ...(options.untilEnd === true ? { untilEndOf: settings.partitions * (busTopics.length + 1) } : {}),
  });
  const topics = [...busTopics, outcomes];
  await waitForTopics(consumer, topics, logger, ended);
  logger.info({ topics, group: settings.groups.ledger }, 'the receipt ledger runs');
  await ledger.run(ended);
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
