/** A database of its own for one test file, migrated, and dropped afterwards. */
import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { migrateLedger } from '../../apps/ingestion-gate/ledger/migrate.ts';

export interface LedgerDatabase {
  readonly dsn: string;
  readonly pool: pg.Pool;
  /** Another connection; closed with the database. */
  connect(): Promise<pg.Client>;
  drop(): Promise<void>;
}

export async function ledgerDatabase(): Promise<LedgerDatabase> {
  const server = process.env['POSTGRES_DSN'];
  if (server === undefined)
    throw new Error('POSTGRES_DSN is not set: start the stack and load `fp stack env`');
  const name = `ledger_test_${randomBytes(6).toString('hex')}`;
  await withClient(server, (client) => client.query(`create database ${name}`));
  const url = new URL(server);
  url.pathname = `/${name}`;
  const dsn = url.toString();
  const open: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(dsn);
    await client.connect();
    open.push(client);
    return client;
  };
  await withClient(dsn, migrateLedger);
  const pool = new pg.Pool({ connectionString: dsn, max: 4 });
  return {
    dsn,
    pool,
    connect,
    async drop() {
      await pool.end();
      await Promise.all(open.map((client) => client.end()));
      await withClient(server, (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}

async function withClient(dsn: string, work: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client(dsn);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
