/** Connections to PostgreSQL for the ledger's own work. */
import { Pool } from 'pg';
import type { Logger } from '../../../lib/index.ts';

const CONNECT_TIMEOUT_MS = 5_000;

/** Commits are asynchronous: receipt-writer.ts says why nothing can be lost by it. */
export function ledgerPool(dsn: string, logger: Logger): Pool {
  const pool = new Pool({
    connectionString: dsn,
    max: 4,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'receipt-ledger',
    options: '-c synchronous_commit=off',
  });
  pool.on('error', (error) =>
    logger.warn({ reason: error.message }, 'an idle connection to PostgreSQL broke'),
  );
  return pool;
}
