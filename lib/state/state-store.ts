/**
 * State stores and how a commit moves through them.
 *
 * A store has three layers: active (written since the last seal), sealed (its commit is in flight) and committed.
 * Reads see all three, newest first. `seal` hands the active layer's changes to the changelog, `apply` merges the
 * sealed layer down once the transaction has committed, `abort` drops both uncommitted layers. So the committed
 * layer is never ahead of the changelog.
 */
import type { RecordBatch } from '../kafka/record-batch.ts';

/** Where a store's changes go at seal: one changelog topic partition. */
export interface ChangelogSink {
  /** Appends a record. Buffers are copied. A null value is a tombstone. */
  append(key: Uint8Array | null, value: Uint8Array | null): void;
}

export interface StateStore {
  readonly name: string;
  /** Moves the active layer to sealed (which must be empty) and writes its changes to the changelog. */
  seal(changelog: ChangelogSink | null): void;
  /** Merges the sealed layer into the committed one. */
  apply(): void;
  /** Drops the sealed and the active layer. */
  abort(): void;
  /** Applies record `i` of a changelog batch to the committed layer. Replaying a record twice changes nothing. */
  restore(batch: RecordBatch, i: number): void;
  /** Called between records with wall time, to expire entries. */
  expire?(wallTimeMs: number): void;
  close(): void;
}

/** How a store's changelog topic is configured; `none` means the store starts empty after every restart. */
export type ChangelogKind = 'compact' | 'insert-only' | 'none';

/** A store's declaration, part of the topology. `create` makes one instance per task. */
export interface StoreSpec<S extends StateStore> {
  readonly name: string;
  readonly changelog: ChangelogKind;
  /** For insert-only changelogs: entries live this long in wall time, and the topic's retention equals it. */
  readonly retentionMs?: number;
  create(environment: StoreEnvironment): S;
}

export interface StoreEnvironment {
  /** Wall time in epoch milliseconds. */
  now(): number;
}
