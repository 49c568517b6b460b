/** The stack as plain processes on this machine: start what does not run, in dependency order and otherwise in parallel. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { stackEnvironment, type StackEnvironment } from './environment.ts';
import { StackError } from './failure.ts';
import { rememberedPorts, requireFreePort, settlePorts, type Ports } from './ports.ts';
import type { Progress } from './provisioning/progress.mjs';
import { ServerProcess } from './server-process.ts';
import { KafkaServer } from './servers/kafka.ts';
import { MinioServer, wipeAllButOracle } from './servers/minio.ts';
import {
  SERVER_NAMES,
  type NativeServer,
  type ServerContext,
  type ServerName,
} from './servers/native-server.ts';
import { PostgresServer, postgresHome } from './servers/postgres.ts';
import { RegistryServer, registryUrl } from './servers/registry.ts';
import type { StackFolder } from './stack-folder.ts';

const START_DEADLINE_MS = 90_000;
const STOP_GRACE_MS = 20_000;

export interface ServerStatus {
  readonly server: ServerName;
  readonly pid: number | undefined;
  readonly healthy: boolean;
  readonly port: number | undefined;
  readonly log: string;
}

export class NativeStack {
  constructor(
    private readonly folder: StackFolder,
    private readonly progress: Progress,
  ) {}

  /** Starts every server that does not run and waits until all answer. Does nothing to a server that is healthy. */
  async up(requested: Partial<Ports>): Promise<StackEnvironment> {
    this.folder.create();
    const ports = await settlePorts(this.folder, requested, this.isRunning());
    const context: ServerContext = {
      folder: this.folder,
      ports,
      credentials: this.folder.credentials(),
      progress: this.progress,
    };
    await this.startAll(createServers(context), context);
    return stackEnvironment(ports, context.credentials, registryUrl(ports));
  }

  /** Stops every server, dependants first. Returns when no process is left. */
  async down(): Promise<void> {
    const stopping = new Map<ServerName, Promise<void>>();
    for (const server of [...STOP_ORDER]) {
      const dependants = server === 'kafka' ? stopping.get('registry') : undefined;
      stopping.set(server, this.stopServer(server, dependants));
    }
    await Promise.all(stopping.values());
  }

  /** Deletes the stack's data; the oracle's bucket (and the credentials that open it) only if asked. Call when stopped. */
  wipe(includingOracle: boolean): void {
    const postgres = postgresHome(this.folder);
    rmSync(postgres, { recursive: true, force: true });
    if (includingOracle) {
      rmSync(this.folder.path, { recursive: true, force: true });
      if (!postgres.startsWith(this.folder.path)) rmSync(dirname(postgres), { recursive: true, force: true });
      return;
    }
    for (const server of ['kafka', 'registry'] as const) {
      rmSync(this.folder.serverFolder(server), { recursive: true, force: true });
    }
    wipeAllButOracle(this.folder.serverFolder('minio'));
  }

  async status(): Promise<ServerStatus[]> {
    const ports = rememberedPorts(this.folder);
    if (ports === undefined) {
      return SERVER_NAMES.map((server) => {
        const { log } = this.processOf(server);
        return { server, pid: undefined, healthy: false, port: undefined, log };
      });
    }
    const context = {
      folder: this.folder,
      ports,
      credentials: this.folder.credentials(),
      progress: this.progress,
    };
    return Promise.all(
      createServers(context).map(async (server) => {
        const { pid, log } = this.processOf(server.name);
        const healthy = pid !== undefined && (await server.isHealthy());
        return { server: server.name, pid, healthy, port: ports[server.ports[0]!], log };
      }),
    );
  }

  isRunning(): boolean {
    return SERVER_NAMES.some((server) => this.processOf(server).pid !== undefined);
  }

  logOf(server: ServerName): string {
    return this.processOf(server).log;
  }

  private async startAll(servers: readonly NativeServer[], context: ServerContext): Promise<void> {
    const started = new Map<ServerName, Promise<void>>();
    for (const server of servers) {
      const dependency = server.after === undefined ? undefined : started.get(server.after);
      started.set(server.name, this.startServer(server, context, dependency));
    }
    // Let every server finish its attempt before reporting, so that nothing is still starting after a failure.
    const outcomes = await Promise.allSettled(started.values());
    const failures = outcomes
      .filter((outcome) => outcome.status === 'rejected')
      .map((outcome) => asError(outcome.reason));
    if (failures.length === 1) throw failures[0]!;
    if (failures.length > 1) {
      const code = failures[0] instanceof StackError ? failures[0].code : 'PREPARATION_FAILED';
      throw new StackError(code, [...new Set(failures.map((failure) => failure.message))].join('\n'));
    }
  }

  private async startServer(
    server: NativeServer,
    { ports }: ServerContext,
    dependency: Promise<void> | undefined,
  ): Promise<void> {
    const process = this.processOf(server.name);
    const running = process.pid !== undefined;
    await server.provide();
    if (!running) {
      for (const name of server.ports) await requireFreePort(this.folder, name, ports[name]);
      await server.prepare();
    }
    await dependency;
    if (!running) await process.launch(server.launch());
    const began = performance.now();
    await process.waitUntil(() => server.isHealthy(), START_DEADLINE_MS);
    await server.provision();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const where = `on port ${ports[server.ports[0]!]}, process ${process.pid ?? '?'}`;
    this.progress.line(server.name, running ? `already running ${where}` : `running ${where} (${seconds} s)`);
  }

  private async stopServer(server: ServerName, dependants: Promise<void> | undefined): Promise<void> {
    await dependants;
    const process = this.processOf(server);
    const pid = process.pid;
    await process.stop(server === 'postgres' ? 'SIGINT' : 'SIGTERM', STOP_GRACE_MS);
    if (pid !== undefined) this.progress.line(server, `stopped (process ${pid})`);
  }

  private processOf(server: ServerName): ServerProcess {
    return new ServerProcess(
      server,
      server === 'postgres' ? postgresHome(this.folder) : this.folder.serverFolder(server),
    );
  }
}

const STOP_ORDER: readonly ServerName[] = ['registry', 'kafka', 'minio', 'postgres'];

function createServers(context: ServerContext): readonly NativeServer[] {
  return [
    new KafkaServer(context),
    new RegistryServer(context),
    new MinioServer(context),
    new PostgresServer(context),
  ];
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
