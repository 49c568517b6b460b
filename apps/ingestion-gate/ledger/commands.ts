/** `fp ledger`: run the receipt ledger, count a run's receipts, drop a finished run. */
import type { Command } from 'commander';
import { Client } from 'pg';
import { loadSettings } from '../../rails/index.ts';
import { runLedger } from './ledger-service.ts';
import { reconcile } from './reconcile.ts';
import { dropRun } from './run-partitions.ts';

export function registerLedger(program: Command): void {
  const ledger = program
    .command('ledger')
    .description('receipts of everything that came through the front door');

  ledger
    .command('run')
    .description('tail the bus and write receipts to PostgreSQL and the object store, until stopped')
    .option('--metrics-port <port>', 'serve Prometheus metrics on this port', Number)
    .action(async (options: { metricsPort?: number }) => {
      const stop = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
      await runLedger({
        settings: loadSettings(),
        signal: stop.signal,
        ...(options.metricsPort === undefined ? {} : { metricsPort: options.metricsPort }),
      });
    });

  ledger
    .command('reconcile <platform_run_id>')
    .description("count a run's receipts by decision, event type and bus partition")
    .action(async (platformRunId: string) => {
      await withDatabase(async (client) => {
        process.stdout.write(
          `${JSON.stringify(await reconcile(client, platformRunId, { from: 'rows' }), null, 2)}\n`,
        );
      });
    });

  ledger
    .command('drop-run <platform_run_id>')
    .description("drop a finished run's receipts from PostgreSQL (its segments and the bus keep them)")
    .action(async (platformRunId: string) => {
      await withDatabase((client) => dropRun(client, platformRunId));
    });
}

async function withDatabase(work: (client: Client) => Promise<void>): Promise<void> {
  const client = new Client(loadSettings().postgres.dsn);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}
