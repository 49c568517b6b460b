/**
 * Documents that are written once and never change: a second writer with the same content is welcome, one with other
 * content is told so. This is how manifests, seals, plans and receipts stay true under retries and races.
 */
import type { Bucket } from './bucket.ts';
import { isObjectStoreError, ObjectStoreError } from './object-store-error.ts';

export interface WriteOnceOptions<T> {
  /** The bytes to store. Default: `JSON.stringify`. */
  readonly serialize?: (document: T) => string;
  /**
   * What must be equal, as text. Default: the stored bytes. Leave volatile fields (such as created_at_utc) out here,
   * and a repeated write keeps the first document.
   */
  readonly identity?: (document: T) => string;
}

export interface WriteOnceResult<T> {
  /** False when an equal document was there before. */
  readonly created: boolean;
  /** What is stored now: the given document, or the earlier one. */
  readonly document: T;
}

/** Writes the document if the key is free. Throws CONTENT_DRIFT when a document of another identity is there. */
export async function writeOnceJson<T>(
  bucket: Bucket,
  key: string,
  document: T,
  options: WriteOnceOptions<T> = {},
): Promise<WriteOnceResult<T>> {
  const serialize = options.serialize ?? ((value: T) => JSON.stringify(value));
  const text = serialize(document);
  try {
    await bucket.putOnce(key, Buffer.from(text), { contentType: 'application/json' });
    return { created: true, document };
  } catch (error) {
    if (!isObjectStoreError(error, 'ALREADY_EXISTS')) throw error;
  }
  const existing = await readJson<T>(bucket, key);
  const identity = options.identity ?? serialize;
  if (identity(existing) !== identity(document)) {
    throw new ObjectStoreError(
      'CONTENT_DRIFT',
      `${bucket.uri(key)} exists with other content; write-once documents are never overwritten: write under a new name`,
    );
  }
  return { created: false, document: existing };
}

/** Reads a JSON document. The type is the caller's claim: validate what others wrote. */
export async function readJson<T>(bucket: Bucket, key: string): Promise<T> {
  const bytes = await bucket.get(key);
  try {
    return JSON.parse(bytes.toString('utf8')) as T;
  } catch (error) {
    throw new ObjectStoreError(
      'CONTENT_INVALID',
      `${bucket.uri(key)} is not JSON: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}
