/** `fp lag-console`: the page and API that show lag, rates and reconciliation. */
import type { Command } from 'commander';
import { loadSettings } from '../rails/index.ts';
import { runLagConsole } from './lag-console.ts';

export function register(program: Command): void {
  program
    .command('lag-console')
    .description('consumer lag, topic rates and run reconciliation as a web page')
    .command('run')
    .description('serve the console, until stopped')
    .option('--port <port>', 'listen here instead of the port in the settings', Number)
    .action(async (options: { port?: number }) => {
      const stop = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
      await runLagConsole({
        settings: loadSettings(),
        signal: stop.signal,
        ...(options.port === undefined ? {} : { port: options.port }),
      });
    });
}
