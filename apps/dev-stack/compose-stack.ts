/** The stack as containers: the same ports, credentials and settings, handed to `docker compose` in a private env file. */
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stackEnvironment, type StackEnvironment } from './environment.ts';
import { StackError } from './failure.ts';
import { LOOPBACK, rememberedPorts, requireFreePort, settlePorts, type Ports } from './ports.ts';
import type { Progress } from './provisioning/progress.mjs';
import { DATABASE, ROLE } from './servers/postgres.ts';
import { REPOSITORY, type Credentials, type StackFolder } from './stack-folder.ts';

const COMPOSE_FILE = join(REPOSITORY, 'compose', 'docker-compose.yml');
/** The servers; the applications are in the profile `apps` and run from the working tree unless asked for. */
const SERVICES = ['kafka', 'minio', 'postgres', 'console', 'prometheus', 'grafana'];
const PUBLISHED = ['kafka', 'registry', 's3', 'postgres'] as const;

export interface ContainerStatus {
  readonly server: string;
  readonly state: string;
  readonly healthy: boolean;
}

/** The variables of compose/docker-compose.yml. */
export function composeVariables(ports: Ports, credentials: Credentials): Readonly<Record<string, string>> {
  return {
    KAFKA_PORT: String(ports.kafka),
    REGISTRY_PORT: String(ports.registry),
    S3_PORT: String(ports.s3),
    POSTGRES_PORT: String(ports.postgres),
    LAG_CONSOLE_PORT: String(ports['lag-console']),
    MINIO_ROOT_USER: credentials.minioRootUser,
    MINIO_ROOT_PASSWORD: credentials.minioRootPassword,
    S3_ACCESS_KEY: credentials.s3AccessKey,
    S3_SECRET_KEY: credentials.s3SecretKey,
    ORACLE_S3_ACCESS_KEY: credentials.oracleS3AccessKey,
    ORACLE_S3_SECRET_KEY: credentials.oracleS3SecretKey,
    POSTGRES_ROLE: ROLE,
    POSTGRES_DATABASE: DATABASE,
    POSTGRES_PASSWORD: credentials.postgresPassword,
  };
}

export class ComposeStack {
  constructor(
    private readonly folder: StackFolder,
    private readonly progress: Progress,
  ) {}

  async up(requested: Partial<Ports>): Promise<StackEnvironment> {
    this.folder.create();
    const running = this.isRunning();
    const ports = await settlePorts(this.folder, requested, running);
    if (!running) for (const name of PUBLISHED) await requireFreePort(this.folder, name, ports[name]);
    const credentials = this.folder.credentials();
    const lines = Object.entries(composeVariables(ports, credentials)).map(
      ([name, value]) => `${name}=${value}\n`,
    );
    writeFileSync(this.variablesFile, lines.join(''), { mode: 0o600 });
    await this.progress.during(
      'docker compose',
      'starting containers (images are pulled the first time)',
      async () => {
        await this.compose('up', '--detach', '--wait', ...SERVICES);
        await this.compose('run', '--rm', 'minio-provision');
      },
    );
    return stackEnvironment(ports, credentials, `http://${LOOPBACK}:${ports.registry}`);
  }

  async down(): Promise<void> {
    if (this.hasVariables()) await this.compose('--profile', '*', 'down', '--remove-orphans');
  }

  /** Deletes the stack's volumes; MinIO's only if the oracle is included, else its platform bucket is emptied at the start. */
  async wipe(includingOracle: boolean): Promise<void> {
    if (!this.hasVariables()) return;
    if (includingOracle) {
      await this.compose('--profile', '*', 'down', '--remove-orphans', '--volumes');
      return;
    }
    await this.compose('up', '--detach', '--wait', 'minio');
    await this.compose('run', '--rm', 'minio-wipe-platform');
    await this.compose('--profile', '*', 'down', '--remove-orphans');
    for (const volume of ['kafka-data', 'postgres-data']) {
      spawnSync('docker', ['volume', 'rm', '--force', `${this.project}_${volume}`], { stdio: 'ignore' });
    }
  }

  status(): ContainerStatus[] {
    if (!this.hasVariables()) return [];
    const answer = spawnSync('docker', [...this.prefix, 'ps', '--all', '--format', 'json'], {
      encoding: 'utf8',
    });
    if (answer.status !== 0) return [];
    return parseContainers(answer.stdout);
  }

  isRunning(): boolean {
    return this.status().some((container) => container.state === 'running');
  }

  /** Shows the containers' logs until they end or, when following, until interrupted. */
  async logs(service: string | undefined, follow: boolean, lines: number): Promise<void> {
    const options = ['--tail', String(lines), ...(follow ? ['--follow'] : [])];
    await this.compose('logs', ...options, ...(service === undefined ? [] : [service]));
  }

  private hasVariables(): boolean {
    return rememberedPorts(this.folder) !== undefined;
  }

  private get project(): string {
    return `fraud-platform-${this.folder.name}`;
  }

  private get variablesFile(): string {
    return join(this.folder.path, 'compose.env');
  }

  private get prefix(): string[] {
    return [
      'compose',
      '--project-name',
      this.project,
      '--env-file',
      this.variablesFile,
      '--file',
      COMPOSE_FILE,
    ];
  }

  private async compose(...args: string[]): Promise<void> {
    const code = await new Promise<number | null>((resolve, reject) => {
      const child = spawn('docker', [...this.prefix, ...args], { stdio: ['ignore', 'inherit', 'inherit'] });
      child.once('error', reject);
      child.once('exit', resolve);
    });
    if (code === 0) return;
    throw new StackError(
      'PREPARATION_FAILED',
      `docker compose ${args[0] ?? ''} ended with exit code ${code ?? 'none'}: its own message above says why`,
    );
  }
}

/** `docker compose ps --format json` prints one object per line, or, before version 2.21, one array. */
export function parseContainers(text: string): ContainerStatus[] {
  interface Container {
    readonly Service: string;
    readonly State: string;
    readonly Health?: string;
  }
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => JSON.parse(line) as Container | Container[])
    .map(({ Service, State, Health }) => ({
      server: Service,
      state: State,
      healthy: State === 'running' && (Health === undefined || Health === '' || Health === 'healthy'),
    }));
}
