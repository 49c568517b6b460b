/** `fp ledger`: run the receipt ledger, count a run's receipts, drop a finished run. */
import type { Command } from 'commander';
import { Client } from 'pg';
import { createLogger, type Logger } from '../../../lib/index.ts';
import { loadSettings } from '../../rails/index.ts';
import { runLedger } from './ledger-service.ts';
import { archiveAll } from './open-archiver.ts';
import { rebuildLedger } from './rebuild.ts';
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
      await runLedger({
        settings: loadSettings(),
        signal: stopped(),
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
    .command('archive')
    .description('write every segment that is not in the object store yet: receipts, quarantine, bus records')
    .action(async () => {
      const segments = await archiveAll(loadSettings(), commandLogger(), stopped());
      process.stdout.write(`${segments} segments archived\n`);
    });

  ledger
    .command('rebuild')
    .description("forget all receipts and make them anew from the bus; exit code 1 when they aren't the same")
    .option('--allow-loss', 'go on even if retention has deleted records that have receipts')
    .action(async (options: { allowLoss?: boolean }) => {
      const rebuilt = await rebuildLedger({
        settings: loadSettings(),
        logger: commandLogger(),
        signal: stopped(),
        allowLoss: options.allowLoss === true,
      });
      process.stdout.write(`${JSON.stringify(rebuilt, null, 2)}\n`);
      if (!rebuilt.identical) process.exitCode = 1;
    });

  ledger
    .command('drop-run <platform_run_id>')
    .description("drop a finished run's receipts from PostgreSQL (its segments and the bus keep them)")
    .action(async (platformRunId: string) => {
      await withDatabase((client) => dropRun(client, platformRunId));
    });
}

/** Aborts when the process is told to stop. */
function stopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

/** Commands print their result; what goes wrong on the way goes to stderr. */
function commandLogger(): Logger {
  return createLogger({ component: 'receipt-ledger', level: 'warn', destination: process.stderr });
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
