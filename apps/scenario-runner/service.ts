/** The runner as a service: HTTP, and a sweep that carries on what waits or was cut off. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AddressInfo } from 'node:net';
import { runnerServer } from './http-server.ts';
import { resumeRuns } from './resume.ts';
import type { RunnerContext } from './runner-context.ts';

/** Between two sweeps. */
const SWEEP_MS = 5000;

export interface RunnerServiceOptions {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
  readonly sweepMs?: number;
}

export interface RunnerService {
  readonly address: string;
  /** Lets requests and the sweep under way finish. */
  stop(): Promise<void>;
}

export async function serveRunner(
  context: RunnerContext,
  options: RunnerServiceOptions,
): Promise<RunnerService> {
  const server = runnerServer(context);
  await server.listen({ host: options.host, port: options.port });
  const { address, port } = server.server.address() as AddressInfo;
  const stopping = new AbortController();
  const sweeping = sweep(context, options.sweepMs ?? SWEEP_MS, stopping.signal);
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}`;
  context.logger.info({ address: url }, 'listening');
  return {
    address: url,
    async stop() {
      stopping.abort();
      await server.close();
      await sweeping;
    },
  };
}

async function sweep(context: RunnerContext, everyMs: number, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await resumeRuns(context, signal);
    } catch (error) {
      // A database that is away comes back; the next sweep finds everything where it was.
      context.logger.warn({ error: (error as Error).message }, 'the sweep for unfinished runs failed');
    }
    await sleep(everyMs, undefined, { signal }).catch(() => undefined);
  }
}
