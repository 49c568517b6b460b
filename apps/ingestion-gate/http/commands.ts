/** `fp gate http`: the front door over HTTP. */
import type { Command } from 'commander';
import { loadSettings } from '../../rails/index.ts';
import { runDoor } from './door-service.ts';

export function registerHttp(gate: Command): void {
  gate
    .command('http')
    .description('take events over HTTP and answer with what the gate decided, until stopped')
    .option('--host <address>', 'where to listen (default IG_HTTP_HOST, else 127.0.0.1)')
    .option('--port <port>', 'which port (default IG_HTTP_PORT, else 8090; 0 is any)', Number)
    .option('--metrics-port <port>', 'serve Prometheus metrics on this port', Number)
    .action(async (options: { host?: string; port?: number; metricsPort?: number }) => {
      const stop = new AbortController();
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
      await runDoor({ settings: loadSettings(), env: process.env, signal: stop.signal, ...options });
    });
}
