/** Turns what the admin client throws into KafkaErrors that name the operation, the code and the subject. */
import { KafkaError } from './kafka-error.ts';

interface Thrown {
  readonly name?: string;
  readonly message?: string;
  readonly type?: string;
  readonly code?: number | string;
  readonly retriable?: boolean;
  readonly topic?: string;
  readonly cause?: unknown;
  readonly originalError?: unknown;
  readonly errors?: readonly unknown[];
  readonly groups?: readonly { readonly groupId: string; readonly error?: unknown }[];
}

/** librdkafka's code for errors that have no code of the protocol. */
const FAILED = -196;
const TRANSPORT = -195;
const TIMED_OUT = -185;

export function adminError(operation: string, thrown: unknown): KafkaError {
  if (thrown instanceof KafkaError) return thrown;
  const outer = thrown as Thrown;
  const inner = innermost(outer);
  const reason = [outer.message, inner === outer ? undefined : inner.message, subject(inner)]
    .filter((part) => part !== undefined && part !== '')
    .join(': ');
  if (inner.type !== undefined && typeof inner.code === 'number') {
    return new KafkaError(operation, inner.code, inner.type, reason, { retriable: inner.retriable === true });
  }
  if (/Connection|NoBroker|BrokerNotFound/.test(inner.name ?? '')) {
    return new KafkaError(operation, TRANSPORT, '_TRANSPORT', reason, { retriable: true });
  }
  if (/Timeout/.test(inner.name ?? '')) {
    return new KafkaError(operation, TIMED_OUT, '_TIMED_OUT', reason, { retriable: true });
  }
  return new KafkaError(operation, FAILED, inner.type ?? '_FAIL', reason, {
    retriable: inner.retriable === true,
  });
}

export function adminTimeout(operation: string, timeoutMs: number): KafkaError {
  return new KafkaError(operation, TIMED_OUT, '_TIMED_OUT', `no answer in ${timeoutMs} ms`, {
    retriable: true,
  });
}

/** Collections of errors and wrappers around one are followed to the error that says what happened. */
function innermost(error: Thrown): Thrown {
  const next = error.errors?.[0] ?? error.groups?.[0]?.error ?? error.originalError ?? error.cause;
  return typeof next === 'object' && next !== null && next !== error ? innermost(next) : error;
}

function subject(error: Thrown): string | undefined {
  return error.topic === undefined || error.message?.includes(error.topic) === true
    ? undefined
    : `topic ${error.topic}`;
}
