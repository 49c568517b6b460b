export {
  DIGEST_BYTES,
  DedupeStore,
  dedupeStore,
  StoreFullError,
  type DedupeStoreOptions,
} from './dedupe-store.ts';
export {
  keyValueStore,
  type KeyValueStore,
  type KeyValueStoreOptions,
  type ReadOnlyKeyValueStore,
  type ScanOptions,
  type StoreEntry,
} from './key-value-store.ts';
export type {
  KeyedSession,
  ReadOnlySessionStore,
  Session,
  SessionStore,
  SessionStoreOptions,
} from './session-store.ts';
export type {
  ChangelogKind,
  ChangelogSink,
  SourceOffset,
  StateStore,
  StorageKind,
  StoreEnvironment,
  StoreSpec,
} from './state-store.ts';
export type {
  ReadOnlyVersionedStore,
  Version,
  VersionedPut,
  VersionedStore,
  VersionedStoreOptions,
} from './versioned-store.ts';
export type {
  KeyedWindow,
  ReadOnlyWindowStore,
  WindowEntry,
  WindowStore,
  WindowStoreOptions,
} from './window-store.ts';
