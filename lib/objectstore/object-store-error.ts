/** What can go wrong with an object store, and whether trying again can help. */

export const OBJECT_STORE_CODES = [
  /** The object is not there. */
  'OBJECT_MISSING',
  'BUCKET_MISSING',
  /** A write-once object is there already, with other bytes. */
  'ALREADY_EXISTS',
  /** The keys are unknown, wrong, or not allowed to do this. */
  'ACCESS_DENIED',
  /** No connection, or no progress, within the configured time. */
  'TIMEOUT',
  /** The endpoint refuses connections, cannot be resolved, or broke off. */
  'UNREACHABLE',
  /** The store asks to slow down, or has a fault of its own (HTTP 429, 5xx). */
  'THROTTLED',
  /** A range outside of the object. */
  'RANGE_INVALID',
  /** The bytes read are not those whose digest was expected. */
  'DIGEST_MISMATCH',
  /** A write-once document exists with different content. */
  'CONTENT_DRIFT',
  /** The document is not JSON. */
  'CONTENT_INVALID',
  /** Anything else the store refused; the message has its own code. */
  'REQUEST_REJECTED',
] as const;

export type ObjectStoreCode = (typeof OBJECT_STORE_CODES)[number];

const RETRIABLE: ReadonlySet<ObjectStoreCode> = new Set(['TIMEOUT', 'UNREACHABLE', 'THROTTLED']);

export class ObjectStoreError extends Error {
  override readonly name = 'ObjectStoreError';
  readonly code: ObjectStoreCode;
  /** The same call may succeed later; integrity and permission failures never do. */
  readonly retriable: boolean;

  constructor(code: ObjectStoreCode, message: string, options?: ErrorOptions) {
    super(`${message} (${code})`, options);
    this.code = code;
    this.retriable = RETRIABLE.has(code);
  }
}

export function isObjectStoreError(error: unknown, code?: ObjectStoreCode): error is ObjectStoreError {
  return error instanceof ObjectStoreError && (code === undefined || error.code === code);
}

const BY_S3_CODE: Readonly<Record<string, ObjectStoreCode>> = {
  NoSuchKey: 'OBJECT_MISSING',
  NotFound: 'OBJECT_MISSING',
  NoSuchBucket: 'BUCKET_MISSING',
  PreconditionFailed: 'ALREADY_EXISTS',
  ConditionalRequestConflict: 'ALREADY_EXISTS',
  AccessDenied: 'ACCESS_DENIED',
  AllAccessDisabled: 'ACCESS_DENIED',
  InvalidAccessKeyId: 'ACCESS_DENIED',
  SignatureDoesNotMatch: 'ACCESS_DENIED',
  InvalidRange: 'RANGE_INVALID',
  RequestTimeout: 'TIMEOUT',
  SlowDown: 'THROTTLED',
  ServiceUnavailable: 'THROTTLED',
  InternalError: 'THROTTLED',
};

const BY_SYSTEM_CODE: Readonly<Record<string, ObjectStoreCode>> = {
  ETIMEDOUT: 'TIMEOUT',
  ECONNREFUSED: 'UNREACHABLE',
  ECONNRESET: 'UNREACHABLE',
  EPIPE: 'UNREACHABLE',
  ENOTFOUND: 'UNREACHABLE',
  EAI_AGAIN: 'UNREACHABLE',
  EHOSTUNREACH: 'UNREACHABLE',
  ENETUNREACH: 'UNREACHABLE',
};

/** The client library's error as ours. `what` names the operation and the object: `get s3://bucket/key`. */
export function toObjectStoreError(what: string, error: unknown): ObjectStoreError {
  if (error instanceof ObjectStoreError) {
    return error.message.startsWith(what)
      ? error
      : new ObjectStoreError(error.code, `${what}: ${error.message.replace(/ \([A-Z_]+\)$/, '')}`, {
          cause: error,
        });
  }
  const code =
    typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string'
      ? error.code
      : '';
  const reason = error instanceof Error && error.message !== '' ? error.message : code;
  return new ObjectStoreError(
    BY_S3_CODE[code] ?? BY_SYSTEM_CODE[code] ?? 'REQUEST_REJECTED',
    `${what}: ${reason}${code !== '' && code !== reason ? ` [${code}]` : ''}`,
    { cause: error },
  );
}
