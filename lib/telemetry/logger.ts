/** Structured logs: one pino configuration for the library and everything built on it. */
import { pino, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Names of fields whose values never reach a log, at any depth that pino's redaction can name. */
const SECRET_FIELDS = [
  'password',
  'secret',
  'secretKey',
  'secret_key',
  'accessKey',
  'access_key',
  'token',
  'lease_token',
  'authorization',
  'apiKey',
  'api_key',
  'dsn',
];

/** Replacing shorter texts would eat ordinary words. */
const SHORTEST_SECRET = 4;

export interface LoggerOptions {
  /** The component's full name, on every line. */
  readonly component: string;
  /** pino level; default from LOG_LEVEL, else `info`. */
  readonly level?: string;
  /** Fields on every line (run ids, instance). */
  readonly fields?: Readonly<Record<string, string | number>>;
  /** Values that never reach a line, in whatever field or message they turn up. Shorter than 4 characters are ignored. */
  readonly secrets?: readonly string[];
  /** Default stdout. */
  readonly destination?: DestinationStream;
}

export function createLogger(options: LoggerOptions): Logger {
  const secrets = (options.secrets ?? []).filter((secret) => secret.length >= SHORTEST_SECRET);
  const settings = {
    level: options.level ?? process.env['LOG_LEVEL'] ?? 'info',
    base: { component: options.component, pid: process.pid, ...options.fields },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: {
      paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
      censor: '[REDACTED]',
    },
    ...(secrets.length === 0 ? {} : { hooks: { streamWrite: withoutSecrets(secrets) } }),
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}

/** As they stand in a JSON line: a secret with a quote in it is written escaped. */
function withoutSecrets(secrets: readonly string[]): (line: string) => string {
  const texts = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return (line) => texts.reduce((rest, text) => rest.replaceAll(text, '[REDACTED]'), line);
}
