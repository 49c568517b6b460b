/** Structured logs: one pino configuration for the library and everything built on it. */
import { pino, type DestinationStream, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Names of fields whose values never reach a log, at any depth that pino's redaction can name. */
const SECRET_FIELDS = [
  'password',
  'secret',
  'secretKey',
  'accessKey',
  'token',
  'authorization',
  'apiKey',
  'dsn',
];

export interface LoggerOptions {
  /** The component's full name, on every line. */
  readonly component: string;
  /** pino level; default from LOG_LEVEL, else `info`. */
  readonly level?: string;
  /** Fields on every line (run ids, instance). */
  readonly fields?: Readonly<Record<string, string | number>>;
  /** Default stdout. */
  readonly destination?: DestinationStream;
}

export function createLogger(options: LoggerOptions): Logger {
  const settings = {
    level: options.level ?? process.env['LOG_LEVEL'] ?? 'info',
    base: { component: options.component, pid: process.pid, ...options.fields },
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`]), censor: '[REDACTED]' },
  };
  return options.destination === undefined ? pino(settings) : pino(settings, options.destination);
}
