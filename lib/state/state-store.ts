/**
 * State stores and how a commit moves through them.
 *
 * A store has three layers: active (written since the last seal), sealed (its commit is in flight) and committed.
 * Reads see all three, newest first. `seal` hands the active layer's changes to the changelog, `apply` merges the
 * sealed layer down once the transaction has committed, `abort` drops both uncommitted layers. So the committed
 * layer is never ahead of the changelog. A disk store keeps its committed layer, with the changelog position it
 * reflects, across restarts; whatever cannot be proven to be that is wiped when the store is opened.
 */
import type { RecordBatch } from '../kafka/record-batch.ts';
import type { Serde } from '../serde/serde.ts';
import type { WipeReason } from './store-directory.ts';

/** The consumed record that caused a change. */
export interface SourceOffset {
  readonly topic: string;
  readonly offset: number;
}

/** Where a store's changes go at seal: one changelog topic partition. */
export interface ChangelogSink {
  /**
   * Appends a record. Buffers are copied. A null value is a tombstone. `source` is the consumed record that last
   * changed the entry, on the changelog's own partition number; null when it was no record (a punctuator).
   */
  append(key: Uint8Array | null, value: Uint8Array | null, source?: SourceOffset | null): void;
}

export interface StateStore {
  readonly name: string;
  /**
   * The changelog offset from which a restore has to read: everything below it is in the committed layer, and
   * survives a restart. null: from the beginning. A store in memory always says null. When the changelog no longer
   * reaches back to it, call `wipe` and restore from the beginning.
   */
  readonly checkpoint: number | null;
  /** Moves the active layer to sealed (which must be empty) and writes its changes to the changelog. */
  seal(changelog: ChangelogSink | null): void;
  /**
   * Merges the sealed layer into the committed one. `checkpoint` is the changelog offset behind the commit's last
   * record, stored in the same local write; without it the former checkpoint stays, and a restore replays more.
   */
  apply(checkpoint?: number): void;
  /** Drops the sealed and the active layer. */
  abort(): void;
  /**
   * Applies record `i` of a changelog batch to the committed layer. Replaying a record twice changes nothing.
   * Disk stores write in groups, each with its own checkpoint, the offset behind the group's last record.
   */
  restore(batch: RecordBatch, i: number): void;
  /** Writes out what `restore` still holds back. `checkpoint` is the changelog offset that the restore has reached. */
  flush(checkpoint?: number): void;
  /** Drops everything, the committed layer included, as if the store had just been made. */
  wipe(): void;
  /** Called between records with wall time, to expire entries. */
  expire?(wallTimeMs: number): void;
  /**
   * Drops uncommitted layers and releases memory, files and locks. A disk store that is closed is proven; one that
   * is not (the process died) is trusted again only where the operating system kept its writes.
   */
  close(): void;
}

/**
 * How a store's changelog topic is configured. `compact`: one record per changed key and commit. `compact-delete`:
 * the same with `retentionMs` beside compaction. `insert-only`: packed records, retention only. `none`: no topic,
 * and the store starts empty after every restart.
 */
export type ChangelogKind = 'compact' | 'compact-delete' | 'insert-only' | 'none';

/**
 * What a timed store's changelog topic retains beyond the store's own retention, milliseconds: the store's runs on
 * event time and the topic's on wall time, so the topic must outlive a stream that stands still for a while.
 */
export const CHANGELOG_EXTRA_RETENTION_MS = 24 * 60 * 60 * 1000;

/** Where the committed layer lives. */
export type StorageKind = 'memory' | 'disk';

/** A store's declaration, part of the topology. `create` makes one instance per task. */
export interface StoreSpec<S extends StateStore> {
  readonly name: string;
  readonly changelog: ChangelogKind;
  /** For `insert-only` and `compact-delete` changelogs: the topic's retention.ms, in wall time. */
  readonly retentionMs?: number;
  /** Default `memory`. */
  readonly storage?: StorageKind;
  /** Those whose `prepare`, if they have one, must have run before the first record. */
  readonly serdes?: readonly Serde<unknown>[];
  create(environment: StoreEnvironment): S;
}

/** What a store may know of the task it belongs to. */
export interface StoreEnvironment {
  readonly applicationId: string;
  readonly partition: number;
  /** Wall time in epoch milliseconds. */
  now(): number;
  /** The consumed record being processed; null while none is (punctuators, restore). Read at once, never kept. */
  source(): SourceOffset | null;
  /** The folder for a disk store's files, one for each task and store: `<stateDir>/<application>/<task>/<store>`. */
  directory(store: string): string;
  /** Told when a disk store found files that could not be trusted and wiped them: it restores from the beginning. */
  wiped?(store: string, reason: WipeReason): void;
}
