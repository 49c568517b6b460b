export {
  DIGEST_BYTES,
  DedupeStore,
  dedupeStore,
  StoreFullError,
  type DedupeStoreOptions,
} from './dedupe-store.ts';
export { KeyValueStore, keyValueStore, type KeyValueStoreOptions } from './key-value-store.ts';
export type { ChangelogKind, ChangelogSink, StateStore, StoreEnvironment, StoreSpec } from './state-store.ts';
