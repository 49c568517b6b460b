/** node-rdkafka, loaded when it is first needed, and its errors as KafkaErrors. */
import { createRequire } from 'node:module';
import type * as Rdkafka from 'node-rdkafka';
import type { ClientConfig } from '../client.ts';
import { KafkaError } from '../kafka-error.ts';

const require = createRequire(import.meta.url);
let loaded: typeof Rdkafka | undefined;

/** Throws, saying what to do, when node-rdkafka is not compiled. */
export function loadRdkafka(): typeof Rdkafka {
  try {
    return (loaded ??= require('node-rdkafka') as typeof Rdkafka);
  } catch (error) {
    throw new Error(
      `node-rdkafka does not load; build it with: node lib/kafka/native/build.mjs (${(error as Error).message})`,
      { cause: error },
    );
  }
}

export const TIMED_OUT = -185;
export const QUEUE_FULL = -184;
export const STATE = -172;
export const ASSIGN_PARTITIONS = -175;
export const UNSTABLE_OFFSET_COMMIT = 88;

let names: Map<number, string> | undefined;

function nameOf(code: number): string {
  names ??= new Map(Object.entries(loadRdkafka().CODES.ERRORS).map(([name, number]) => [number, name]));
  return names.get(code)?.replace(/^ERR_/, '') ?? String(code);
}

let codes: Map<string, number> | undefined;

/** Delivery reports carry an error's text but not its code: this is the way back. */
function codeOf(text: string): number | undefined {
  if (codes === undefined) {
    const { err2str } = require('node-rdkafka/librdkafka.js') as { err2str: (code: number) => string };
    const all = Object.values<number>(loadRdkafka().CODES.ERRORS);
    codes = new Map(all.map((code) => [plain(err2str(code)), code]));
  }
  return codes.get(plain(text));
}

/** Without the origin ("Broker: …"), which node-rdkafka strips from some errors, with their case. */
function plain(text: string): string {
  return text.replace(/^\w+: /, '').toLowerCase();
}

interface Thrown {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly isFatal?: boolean;
  readonly isRetriable?: boolean;
  readonly isTxnRequiresAbort?: boolean;
}

export function rdkafkaError(operation: string, thrown: unknown, context = ''): KafkaError {
  if (thrown instanceof KafkaError) return thrown;
  const { code, message, isFatal, isRetriable, isTxnRequiresAbort } = thrown as Thrown;
  const number = typeof code === 'number' && code !== -1 ? code : (codeOf(String(message)) ?? STATE);
  return new KafkaError(operation, number, nameOf(number), `${context}${String(message)}`, {
    fatal: isFatal === true || number === -150 || number === -144,
    retriable:
      isRetriable === true || number === TIMED_OUT || number === -195 || number === UNSTABLE_OFFSET_COMMIT,
    abortable: isTxnRequiresAbort === true,
  });
}

/** Properties that node-rdkafka only honours in its topic configuration (librdkafka itself takes them anywhere). */
const TOPIC_PROPERTIES = new Set([
  'acks',
  'auto.offset.reset',
  'compression.level',
  'delivery.timeout.ms',
  'message.timeout.ms',
  'partitioner',
  'request.required.acks',
  'request.timeout.ms',
]);

export function splitConfiguration(config: ClientConfig): { global: object; topic: object } {
  const entries = Object.entries(config);
  return {
    global: Object.fromEntries(entries.filter(([name]) => !TOPIC_PROPERTIES.has(name))),
    topic: Object.fromEntries(entries.filter(([name]) => TOPIC_PROPERTIES.has(name))),
  };
}

/** What node-rdkafka's API has no way to say or ask. */
export function unsupported(operation: string, what: string): KafkaError {
  return new KafkaError(
    operation,
    -165,
    '_UNSUPPORTED_FEATURE',
    `node-rdkafka has no ${what}; use the native client`,
  );
}

/** A call with node-rdkafka's callback convention as a promise. */
export function called<Result>(
  operation: string,
  call: (done: (error: unknown, result?: Result) => void) => void,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    try {
      call((error, result) => {
        if (error === null || error === undefined) resolve(result as Result);
        else reject(rdkafkaError(operation, error));
      });
    } catch (error) {
      reject(rdkafkaError(operation, error));
    }
  });
}
