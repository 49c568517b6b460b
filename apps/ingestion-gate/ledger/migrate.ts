/** Brings the ledger's tables and its `receipts` view to the version this code expects. */
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type { ClientBase } from 'pg';

const LEDGER_LOCK = 7_241_867;

/** Idempotent; instances that start together wait for each other. */
export async function migrateLedger(client: ClientBase): Promise<void> {
  await runner({
    dbClient: client,
    dir: fileURLToPath(new URL('./migrations', import.meta.url)),
    migrationsTable: 'ledger_migrations',
    direction: 'up',
    lockValue: LEDGER_LOCK,
    advisoryLockMode: 'wait',
    log: () => undefined,
  });
}
