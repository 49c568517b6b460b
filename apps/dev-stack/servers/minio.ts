/** MinIO as the object store: one drive, two buckets, an identity for services and one for the oracle's owner. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { StackError } from '../failure.ts';
import { LOOPBACK } from '../ports.ts';
import { provideSoftware } from '../provisioning/software.mjs';
import type { LaunchCommand } from '../server-process.ts';
import { answersOk, type NativeServer, type ServerContext } from './native-server.ts';

/** Made, with the platform's bucket, by minio-admin. */
const ORACLE_BUCKET = 'oracle-store';

const run = promisify(execFile);

export class MinioServer implements NativeServer {
  readonly name = 'minio';
  readonly home: string;
  readonly ports = ['s3'] as const;
  readonly stopSignal = 'SIGTERM';
  private program = '';
  private admin = '';

  constructor(private readonly context: ServerContext) {
    this.home = context.folder.serverFolder('minio');
  }

  async provide(): Promise<void> {
    this.program = join(await provideSoftware('minio', this.context.progress), 'minio');
    this.admin = join(await provideSoftware('minio-admin', this.context.progress), 'minio-admin');
  }

  prepare(): Promise<void> {
    mkdirSync(join(this.home, 'data'), { recursive: true, mode: 0o700 });
    return Promise.resolve();
  }

  launch(): LaunchCommand {
    return {
      command: this.program,
      args: ['server', '--quiet', '--address', this.endpoint, join(this.home, 'data')],
      env: { ...this.rootIdentity, MINIO_BROWSER: 'off', MINIO_UPDATE: 'off' },
    };
  }

  async isHealthy(): Promise<boolean> {
    return answersOk(`http://${this.endpoint}/minio/health/ready`);
  }

  async provision(): Promise<void> {
    const { credentials } = this.context;
    const env = {
      ...this.rootIdentity,
      MINIO_ADMIN_ENDPOINT: this.endpoint,
      S3_ACCESS_KEY: credentials.s3AccessKey,
      S3_SECRET_KEY: credentials.s3SecretKey,
      ORACLE_S3_ACCESS_KEY: credentials.oracleS3AccessKey,
      ORACLE_S3_SECRET_KEY: credentials.oracleS3SecretKey,
    };
    try {
      await run(this.admin, [], { env });
    } catch (error) {
      const said = (error as { stderr?: string }).stderr?.trim() ?? '';
      throw new StackError('PREPARATION_FAILED', `cannot provision buckets and identities: ${said}`);
    }
  }

  private get endpoint(): string {
    return `${LOOPBACK}:${this.context.ports.s3}`;
  }

  private get rootIdentity(): { MINIO_ROOT_USER: string; MINIO_ROOT_PASSWORD: string } {
    const { minioRootUser, minioRootPassword } = this.context.credentials;
    return { MINIO_ROOT_USER: minioRootUser, MINIO_ROOT_PASSWORD: minioRootPassword };
  }
}

/**
 * Deletes every bucket of a stopped server except the oracle's. On a single drive a bucket is a folder, with its
 * metadata under `.minio.sys/buckets`; identities stay, for they hold the oracle writer's grant.
 *
 * @param home the server's folder
 */
export function wipeAllButOracle(home: string): void {
  const data = join(home, 'data');
  if (!existsSync(data)) return;
  for (const bucket of readdirSync(data)) {
    if (bucket === '.minio.sys' || bucket === ORACLE_BUCKET) continue;
    rmSync(join(data, bucket), { recursive: true, force: true });
    rmSync(join(data, '.minio.sys', 'buckets', bucket), { recursive: true, force: true });
  }
}
