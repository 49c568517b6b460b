/** A changelog in memory, and the environment of a store's task: what the runtime gives a store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  ChangelogSink,
  SourceOffset,
  StateStore,
  StoreEnvironment,
} from '../../../lib/state/state-store.ts';
import type { WipeReason } from '../../../lib/state/store-directory.ts';
import { packedBatch } from '../../../lib/testing/packing.ts';

export interface ChangelogRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly source: SourceOffset | null;
}

/** Records of committed transactions; those of the open one become visible by `commit`. */
export class Changelog implements ChangelogSink {
  readonly records: ChangelogRecord[] = [];
  #open: ChangelogRecord[] = [];

  append(key: Uint8Array | null, value: Uint8Array | null, source: SourceOffset | null = null): void {
    this.#open.push({
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      source,
    });
  }

  commit(): number {
    this.records.push(...this.#open);
    this.#open = [];
    return this.records.length;
  }

  abort(): void {
    this.#open = [];
  }

  /** Restores a store from its checkpoint on, or from an earlier offset. */
  restoreInto(store: StateStore, from = store.checkpoint ?? 0, to = this.records.length): void {
    for (let offset = from; offset < to; offset++) {
      const { key, value } = this.records[offset]!;
      const record = { partition: 0, offset, timestamp: 0, key, value, headers: [] };
      store.restore(packedBatch(record, 'changelog'), 0);
    }
    store.flush(to);
  }
}

export class TestEnvironment implements StoreEnvironment {
  readonly applicationId: string;
  readonly partition = 0;
  readonly wipes: WipeReason[] = [];
  wallTime = 0;
  position: SourceOffset | null = null;
  readonly #folder: string;

  constructor(folder = temporaryFolder(), applicationId = 'app') {
    this.#folder = folder;
    this.applicationId = applicationId;
  }

  now(): number {
    return this.wallTime;
  }

  source(): SourceOffset | null {
    return this.position;
  }

  directory(store: string): string {
    return join(this.#folder, store);
  }

  wiped(_store: string, reason: WipeReason): void {
    this.wipes.push(reason);
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'state-store-'));
}
