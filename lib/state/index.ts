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
export {
  sessionStore,
  type KeyedSession,
  type ReadOnlySessionStore,
  type Session,
  type SessionStore,
  type SessionStoreOptions,
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
export { StoreLockedError, type WipeReason } from './store-directory.ts';
export {
  versionedStore,
  type ReadOnlyVersionedStore,
  type Version,
  type VersionedPut,
  type VersionedStore,
  type VersionedStoreOptions,
} from './versioned-store.ts';
export {
  windowStore,
  type KeyedWindow,
  type ReadOnlyWindowStore,
  type WindowEntry,
  type WindowStore,
  type WindowStoreOptions,
} from './window-store.ts';
