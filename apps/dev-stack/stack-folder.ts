/**
 * A stack's folder, `.fp/stacks/<name>/` in the checkout: its ports, its generated credentials, one folder per server, and,
 * while it runs, the settings that applications connect with.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { StackError } from './failure.ts';

export const REPOSITORY = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
export const DEFAULT_STACK = 'default';

const STACK_NAME = /^[a-z0-9][a-z0-9-]{0,39}$/;
const PRIVATE = 0o600;
/** The postgres user must be able to pass through on its way to its own folder; what is private has its own mode. */
const PASSABLE = 0o711;

export interface Credentials {
  readonly minioRootUser: string;
  readonly minioRootPassword: string;
  readonly s3AccessKey: string;
  readonly s3SecretKey: string;
  readonly oracleS3AccessKey: string;
  readonly oracleS3SecretKey: string;
  readonly postgresSuperuserPassword: string;
  readonly postgresPassword: string;
}

export class StackFolder {
  readonly path: string;

  /** @throws StackError INVALID_STACK_NAME */
  constructor(
    readonly name: string,
    readonly root = join(REPOSITORY, '.fp', 'stacks'),
  ) {
    if (!STACK_NAME.test(name)) {
      throw new StackError(
        'INVALID_STACK_NAME',
        `stack name "${name}" is not usable: take up to 40 lower-case letters, digits and dashes`,
      );
    }
    this.path = join(root, name);
  }

  get exists(): boolean {
    return existsSync(this.path);
  }

  create(): void {
    mkdirSync(this.path, { recursive: true, mode: PASSABLE });
  }

  /** Outside the folder, so that deleting the folder does not delete the lock that guards it. */
  get lockFile(): string {
    return join(this.root, `${this.name}.lock`);
  }

  serverFolder(server: string): string {
    return join(this.path, server);
  }

  /** Generated on first use and kept as long as the folder: MinIO's stored identities depend on its root password. */
  credentials(): Credentials {
    const known = this.read('credentials.json') as Credentials | undefined;
    if (known !== undefined) return known;
    const created: Credentials = {
      minioRootUser: randomName('root'),
      minioRootPassword: randomSecret(),
      s3AccessKey: randomName('runtime'),
      s3SecretKey: randomSecret(),
      oracleS3AccessKey: randomName('oracle'),
      oracleS3SecretKey: randomSecret(),
      postgresSuperuserPassword: randomSecret(),
      postgresPassword: randomSecret(),
    };
    this.write('credentials.json', created);
    return created;
  }

  /** @returns undefined if the file is missing or was cut short */
  read(file: string): unknown {
    try {
      return JSON.parse(readFileSync(join(this.path, file), 'utf8')) as unknown;
    } catch {
      return undefined;
    }
  }

  /** Readable by this user alone; the file changes in one step, so a reader never sees half of it. */
  write(file: string, content: unknown): void {
    this.create();
    const draft = join(this.path, `${file}.draft`);
    writeFileSync(draft, `${JSON.stringify(content, null, 2)}\n`, { mode: PRIVATE });
    renameSync(draft, join(this.path, file));
  }

  remove(file: string): void {
    rmSync(join(this.path, file), { force: true });
  }

  /** The other stacks of this checkout. */
  siblings(): StackFolder[] {
    if (!existsSync(this.root)) return [];
    return readdirSync(this.root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && entry.name !== this.name && STACK_NAME.test(entry.name))
      .map((entry) => new StackFolder(entry.name, this.root));
  }
}

function randomName(role: string): string {
  return `${role}-${randomBytes(6).toString('hex')}`;
}

function randomSecret(): string {
  return randomBytes(24).toString('base64url');
}
