/**
 * Key-value stores in memory and on disk: get and put, ordered reads, restore from a changelog, reopening after a close and
 * after a kill, and what memory a disk store takes as it grows fivefold. Values are 100 bytes, keys 16.
 * Run: node --import tsx bench/state-stores.ts [keys, default 200000]; the published figures use 1000000.
 * Each measurement runs in a process of its own; figures of a busy machine are worth nothing.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RecordBatch } from '../lib/kafka/record-batch.ts';
import { bufferSerde } from '../lib/serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../lib/state/key-value-store.ts';
import type { StorageKind } from '../lib/state/state-store.ts';

const COMMIT_KEYS = 5000;
const VALUE = Buffer.alloc(100, 0x76);

type BytesStore = KeyValueStore<Buffer, Buffer>;

function open(storage: StorageKind, folder: string): BytesStore {
  return keyValueStore('bench', { key: bufferSerde, value: bufferSerde, storage }).create({
    applicationId: 'bench',
    partition: 0,
    now: () => Date.now(),
    source: () => null,
    directory: (store) => join(folder, store),
    wiped: (store, reason) => console.log(`${store} was wiped: ${reason}`),
  });
}

/** Key `i` of a sequence that jumps about the key space, as hashes do. */
function keyOf(i: number, key: Buffer): Buffer {
  key.writeUInt32BE(Math.imul(i, 0x9e3779b1) >>> 0, 0);
  key.writeUInt32BE(i, 4);
  return key;
}

function restore(store: BytesStore, keys: number): number {
  const batch = new RecordBatch({ maxRecords: 4096 });
  let milliseconds = 0;
  for (let first = 0; first < keys; first += batch.maxRecords) {
    const count = Math.min(batch.maxRecords, keys - first);
    for (let i = 0, at = 0; i < count; i++) {
      keyOf(first + i, batch.data.subarray(at, at + 16).fill(0));
      VALUE.copy(batch.data, at + 16);
      batch.offset[i] = first + i;
      batch.keyStart[i] = at;
      batch.keyLength[i] = 16;
      batch.valueStart[i] = at + 16;
      batch.valueLength[i] = VALUE.length;
      at += 16 + VALUE.length;
    }
    const start = performance.now();
    for (let i = 0; i < count; i++) store.restore(batch, i);
    milliseconds += performance.now() - start;
  }
  const start = performance.now();
  store.flush(keys);
  return milliseconds + performance.now() - start;
}

function getAndPut(store: BytesStore, keys: number, operations: number): number {
  const key = Buffer.alloc(16);
  const start = performance.now();
  for (let i = 0; i < operations; i++) {
    keyOf((i * 7919) % keys, key);
    store.put(key, store.get(key) ?? VALUE);
    if (i % COMMIT_KEYS !== COMMIT_KEYS - 1) continue;
    store.seal(null);
    store.apply(keys + i);
  }
  return performance.now() - start;
}

function shortScans(store: BytesStore, keys: number, scans: number): number {
  const from = Buffer.alloc(16);
  const start = performance.now();
  for (let i = 0; i < scans; i++) {
    let read = 0;
    for (const _entry of store.range(keyOf((i * 7919) % keys, from), null)) if (++read === 10) break;
  }
  return performance.now() - start;
}

/** Resident memory of this process's own, and of mapped files, in MiB. */
function resident(): { own: number; mapped: number } {
  const status = readFileSync('/proc/self/status', 'utf8');
  const kib = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
  return { own: Math.round(kib('RssAnon') / 1024), mapped: Math.round(kib('RssFile') / 1024) };
}

const perSecond = (count: number, milliseconds: number): string =>
  `${Math.round((count / milliseconds) * 1000).toLocaleString('en')}/s`;
const timed = (action: () => void): string => {
  const start = performance.now();
  action();
  return `${Math.round(performance.now() - start)} ms`;
};

function measure(storage: StorageKind, keys: number, folder: string): void {
  const store = open(storage, folder);
  const restored = restore(store, keys);
  const operations = Math.min(keys, 500_000);
  console.log(
    `${storage}, ${keys} keys: restore ${perSecond(keys, restored)}; get+put ` +
      `${perSecond(operations, getAndPut(store, keys, operations))} in commits of ${COMMIT_KEYS}; first scan ` +
      `${timed(() => shortScans(store, keys, 1))}, then scans of 10 entries ` +
      `${perSecond(20_000, shortScans(store, keys, 20_000))}; memory ${JSON.stringify(resident())} MiB`,
  );
  if (storage === 'memory') return;
  console.log(
    `disk, ${keys} keys: close ${timed(() => store.close())}, open again ${timed(() => open('disk', folder))}`,
  );
  // The process ends here without closing: the next one has to prove the files.
}

const [what, count, folderGiven] = process.argv.slice(2);
if (what === 'memory' || what === 'disk') {
  measure(what, Number(count), folderGiven!);
} else if (what === 'reopen') {
  console.log(
    `disk, ${count!} keys: opened after the process died in ${timed(() => open('disk', folderGiven!))}`,
  );
} else {
  const keys = Number(what ?? 200_000);
  const run = (...args: string[]): void => {
    execFileSync(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url), ...args], {
      stdio: 'inherit',
    });
  };
  for (const [storage, size] of [
    ['memory', keys],
    ['disk', keys],
    ['disk', 5 * keys],
  ] as const) {
    const folder = mkdtempSync(join(tmpdir(), 'state-stores-'));
    run(storage, String(size), folder);
    if (storage === 'disk') run('reopen', String(size), folder);
    rmSync(folder, { recursive: true });
  }
}
