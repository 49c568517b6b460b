/** By-reference artifacts on S3: digests, write-once documents, locators. */
export {
  Bucket,
  type GetOptions,
  type ListedObject,
  type ObjectStat,
  type PutOptions,
  type PutResult,
} from './bucket.ts';
export { DigestingStream, sha256Hex, sha256OfFile, type FileDigest } from './digest.ts';
export { formatLocator, joinKey, parseLocator, type ObjectLocator } from './locator.ts';
export {
  isObjectStoreError,
  OBJECT_STORE_CODES,
  ObjectStoreError,
  type ObjectStoreCode,
} from './object-store-error.ts';
export { ObjectStore, type ObjectStoreOptions } from './object-store.ts';
export { readJson, writeOnceJson, type WriteOnceOptions, type WriteOnceResult } from './write-once.ts';
