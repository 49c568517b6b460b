/** Brings the runner's tables to the version of this working tree. Safe to call from several processes at once. */
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import type { Pool } from 'pg';
import type { Logger } from '../../lib/index.ts';

/** Where the runner's own migrations are noted: each component of the platform has a table of its own. */
const MIGRATIONS_TABLE = 'sr_migrations';

const MIGRATIONS_DIRECTORY = fileURLToPath(new URL('./migrations', import.meta.url));

/** Applies what is missing, in one transaction; other callers wait meanwhile. Returns the names applied. */
export async function migrateScenarioRunner(pool: Pool, logger?: Logger): Promise<string[]> {
  const client = await pool.connect();
  try {
    const applied = await runner({
      dbClient: client,
      dir: MIGRATIONS_DIRECTORY,
      migrationsTable: MIGRATIONS_TABLE,
      direction: 'up',
      advisoryLockMode: 'wait',
      log: (line) => logger?.debug(line),
    });
    return applied.map((migration) => migration.name);
  } finally {
    client.release();
  }
}
