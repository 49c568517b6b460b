/** `fp gate`, `fp ledger`, `fp bus`: the front door, its receipts, and a look at the bus. */
import type { Command } from 'commander';
import { loadSettings } from '../rails/index.ts';
import { registerBus } from './bus/commands.ts';
import { runGate } from './gate-service.ts';
import { registerHttp } from './http/commands.ts';
import { registerLedger } from './ledger/commands.ts';
import { registerOperations } from './operations/commands.ts';
import { registerVerify } from './verify-command.ts';

export function register(program: Command): void {
  const gate = program.command('gate').description('the one front door onto the bus');
  gate
    .command('run')
    .description('judge everything on the ingress topic, until stopped')
    .option('--commit-interval <ms>', 'most milliseconds between commits (default 100)', Number)
    .option('--metrics-port <port>', 'serve Prometheus metrics on this port of loopback', Number)
    .action(async (options: { commitInterval?: number; metricsPort?: number }) => {
      const stop = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
      await runGate({
        settings: loadSettings(),
        signal: stop.signal,
        ...(options.commitInterval === undefined ? {} : { commitIntervalMs: options.commitInterval }),
        ...(options.metricsPort === undefined ? {} : { metricsPort: options.metricsPort }),
      });
    });
  registerHttp(gate);
  registerOperations(gate);
  registerVerify(gate);
  registerLedger(program);
  registerBus(program);
}
