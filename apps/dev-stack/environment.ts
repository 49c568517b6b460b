/** The settings applications connect with: the same names whatever runs the servers. */
import { postgresDsn } from './servers/postgres.ts';
import { LOOPBACK, type Ports } from './ports.ts';
import type { Credentials, StackFolder } from './stack-folder.ts';

const ENVIRONMENT_FILE = 'env.json';

export interface StackEnvironment {
  readonly KAFKA_BOOTSTRAP_SERVERS: string;
  readonly SCHEMA_REGISTRY_URL: string;
  readonly POSTGRES_DSN: string;
  readonly S3_ENDPOINT: string;
  readonly S3_ACCESS_KEY: string;
  readonly S3_SECRET_KEY: string;
  readonly ORACLE_S3_ACCESS_KEY: string;
  readonly ORACLE_S3_SECRET_KEY: string;
  readonly LAG_CONSOLE_URL: string;
}

/** @param registryUrl differs by flavour: Apicurio serves Confluent's API under a path, Redpanda at the root */
export function stackEnvironment(
  ports: Ports,
  credentials: Credentials,
  registryUrl: string,
): StackEnvironment {
  return {
    KAFKA_BOOTSTRAP_SERVERS: `${LOOPBACK}:${ports.kafka}`,
    SCHEMA_REGISTRY_URL: registryUrl,
    POSTGRES_DSN: postgresDsn(ports, credentials),
    S3_ENDPOINT: `http://${LOOPBACK}:${ports.s3}`,
    S3_ACCESS_KEY: credentials.s3AccessKey,
    S3_SECRET_KEY: credentials.s3SecretKey,
    ORACLE_S3_ACCESS_KEY: credentials.oracleS3AccessKey,
    ORACLE_S3_SECRET_KEY: credentials.oracleS3SecretKey,
    LAG_CONSOLE_URL: `http://${LOOPBACK}:${ports['lag-console']}`,
  };
}

/** Published when every server is healthy, withdrawn before the first one stops. */
export function publishEnvironment(folder: StackFolder, environment: StackEnvironment): void {
  folder.write(ENVIRONMENT_FILE, environment);
}

export function withdrawEnvironment(folder: StackFolder): void {
  folder.remove(ENVIRONMENT_FILE);
}

/** The running stack's settings; undefined if it is not up. */
export function publishedEnvironment(folder: StackFolder): StackEnvironment | undefined {
  return folder.read(ENVIRONMENT_FILE) as StackEnvironment | undefined;
}

/** Lines for `eval "$(fp stack env)"`. */
export function shellExports(environment: StackEnvironment): string {
  return Object.entries(environment)
    .map(([name, value]) => `export ${name}='${String(value).replaceAll("'", `'\\''`)}'\n`)
    .join('');
}
