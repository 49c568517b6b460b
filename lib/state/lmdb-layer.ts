/**
 * The committed layer on disk, in LMDB: a B+tree in a memory-mapped file whose write transactions are atomic.
 *
 * One database holds, told apart by the first byte of the key: the entries; for timed stores an index of their keys
 * by time; and one record with the checkpoint and observed time. Every value ends in a CRC-32 of its key and itself,
 * so that files whose writer died can be proven. Nothing is synchronised to disk before the store is closed: a dying
 * process loses no write that way, and for a dying machine store-directory.ts wipes the files.
 */
import { createRequire } from 'node:module';
import { crc32 } from 'node:zlib';
import type { RangeOptions, RootDatabaseOptionsWithPath } from 'lmdb';
import type { ByteText } from './byte-text.ts';
import type { CommittedLayer, Entry, LayerState, TimeOf } from './committed-layer.ts';
import type { KeyRange } from './ordered-map.ts';
import type { StoreDirectory, WipeReason } from './store-directory.ts';

const ENTRY = 0x65;
const TIME = 0x74;
const META = Buffer.from('m');
const CRC_BYTES = 4;
const TIME_BYTES = 8;
/** LMDB's limit of 1,978 bytes less the first byte, and the time before the key in the index. */
const MAX_KEY_BYTES = 1978 - 1 - TIME_BYTES;

/**
 * A restore writes groups of this many changes, or bytes, in one transaction. Larger groups copy fewer pages; but
 * each change may touch a page of its own, all of which are in memory until the transaction commits (64 MiB here).
 */
const GROUP_CHANGES = 16_384;
const GROUP_BYTES = 8 * 1024 * 1024;

/** Entries read at once by a scan; it starts small, since many scans want one or two. */
const FIRST_CHUNK = 8;
const LARGEST_CHUNK = 256;
const CHUNK_BYTES = 1024 * 1024;

/** What is used of an LMDB database; keys and values are bytes, and every write is done when its call returns. */
interface Lmdb {
  get(key: Buffer): Buffer | undefined;
  /** Valid until the next read. */
  getBinaryFast(key: Buffer): Buffer | undefined;
  getRange(options: RangeOptions): Iterable<{ readonly key: Buffer; readonly value: Buffer }>;
  putSync(key: Buffer, value: Buffer): void;
  removeSync(key: Buffer): boolean;
  transactionSync(action: () => void): void;
  getStats(): { readonly entryCount?: number };
  close(): Promise<void>;
}

interface LmdbModule {
  open(options: RootDatabaseOptionsWithPath): Lmdb;
}

interface Meta {
  readonly checkpoint: number | null;
  readonly observedTime: number;
}

const EMPTY: Meta = { checkpoint: null, observedTime: -1 };

/** Opens the files of a folder, or new ones where what is there cannot be proven; says why it wiped them, if it did. */
export function openLmdbLayer(
  directory: StoreDirectory,
  timeOf: TimeOf | null,
): { layer: LmdbLayer; wiped: WipeReason | null } {
  let wiped = directory.wiped;
  let database: Lmdb | null = null;
  try {
    database = openDatabase(directory.dataPath);
    if (directory.mustVerify) verify(database);
    readMeta(database);
  } catch (error) {
    if (error instanceof LmdbMissingError) throw error;
    void database?.close();
    directory.clear();
    wiped = 'CORRUPTED';
    database = openDatabase(directory.dataPath);
  }
  directory.opened();
  return { layer: new LmdbLayer(database, directory, timeOf), wiped };
}

export class LmdbLayer implements CommittedLayer {
  readonly maxKeyBytes = MAX_KEY_BYTES;
  #database: Lmdb;
  readonly #directory: StoreDirectory;
  readonly #timeOf: TimeOf | null;
  #meta: Meta;
  /** Changes of a restore that are not written yet, and the state they lead to. */
  readonly #held = new Map<ByteText, ByteText | null>();
  #heldBytes = 0;
  #heldMeta: Meta | null = null;

  constructor(database: Lmdb, directory: StoreDirectory, timeOf: TimeOf | null) {
    this.#database = database;
    this.#directory = directory;
    this.#timeOf = timeOf;
    this.#meta = readMeta(database);
  }

  get checkpoint(): number | null {
    return (this.#heldMeta ?? this.#meta).checkpoint;
  }

  get observedTime(): number {
    return (this.#heldMeta ?? this.#meta).observedTime;
  }

  get size(): number {
    const { entryCount = 0 } = this.#database.getStats();
    // The meta record, the entries, and for timed stores as many keys in the index.
    return (entryCount - 1) / (this.#timeOf === null ? 1 : 2) + this.#held.size;
  }

  get(key: ByteText): ByteText | undefined {
    if (this.#held.size > 0) {
      const held = this.#held.get(key);
      if (held !== undefined) return held ?? undefined;
    }
    const found = this.#database.getBinaryFast(tagged(ENTRY, key));
    return found?.toString('latin1', 0, found.length - CRC_BYTES);
  }

  *entries(range: KeyRange): Generator<Entry, undefined> {
    for (const { key, value } of this.#chunked(ENTRY, range)) {
      yield [key.toString('latin1', 1), value.toString('latin1', 0, value.length - CRC_BYTES)];
    }
    return;
  }

  *timedKeys(range: KeyRange): Generator<ByteText, undefined> {
    for (const { key } of this.#chunked(TIME, range)) yield key.toString('latin1', 1);
    return;
  }

  write(changes: Iterable<readonly [ByteText, ByteText | null]>, state: LayerState): void {
    this.#writeHeld();
    this.#transaction(changes, this.#metaOf(state), state.expireBelow);
  }

  restore(key: ByteText, value: ByteText | null, state: Meta): void {
    this.#held.set(key, value);
    this.#heldBytes += key.length + (value?.length ?? 0);
    this.#heldMeta = state;
    if (this.#held.size >= GROUP_CHANGES || this.#heldBytes >= GROUP_BYTES) this.#writeHeld();
  }

  flush(state: LayerState): void {
    const meta = this.#metaOf(state);
    if (this.#heldMeta === null && state.expireBelow === null && same(meta, this.#meta)) return;
    this.#transaction(this.#held, meta, state.expireBelow);
    this.#forgetHeld();
  }

  wipe(): void {
    this.#forgetHeld();
    void this.#database.close();
    this.#directory.clear();
    this.#database = openDatabase(this.#directory.dataPath);
    this.#meta = readMeta(this.#database);
  }

  close(): void {
    this.#writeHeld();
    // Closing is done when the call returns: every write here has been synchronous.
    void this.#database.close();
    this.#directory.close();
  }

  #metaOf({ checkpoint, observedTime }: LayerState): Meta {
    return { checkpoint: checkpoint ?? this.checkpoint, observedTime };
  }

  #writeHeld(): void {
    if (this.#heldMeta === null) return;
    this.#transaction(this.#held, this.#heldMeta, null);
    this.#forgetHeld();
  }

  #forgetHeld(): void {
    this.#held.clear();
    this.#heldBytes = 0;
    this.#heldMeta = null;
  }

  #transaction(
    changes: Iterable<readonly [ByteText, ByteText | null]>,
    meta: Meta,
    expireBelow: ByteText | null,
  ): void {
    const database = this.#database;
    // In key order a page of the tree is found in the cache again; in any other it is copied back and forth.
    const inOrder = [...changes].sort(([a], [b]) => (a < b ? -1 : 1));
    database.transactionSync(() => {
      for (const [key, value] of inOrder) {
        if (value === null) database.removeSync(tagged(ENTRY, key));
        else put(database, ENTRY, key, value);
        if (this.#timeOf === null) continue;
        const timed = this.#timeOf(key) + key;
        if (value === null) database.removeSync(tagged(TIME, timed));
        else put(database, TIME, timed, '');
      }
      if (expireBelow !== null) this.#expire(expireBelow);
      if (!same(meta, this.#meta)) writeMeta(database, meta);
    });
    this.#meta = meta;
  }

  #expire(below: ByteText): void {
    for (const { key } of this.#chunked(TIME, { from: null, to: below, reverse: false })) {
      this.#database.removeSync(key);
      this.#database.removeSync(tagged(ENTRY, key.toString('latin1', 1 + TIME_BYTES)));
    }
  }

  /** Reads a range in pieces, so that no read transaction outlives a call and keeps old pages from being reused. */
  *#chunked(tag: number, range: KeyRange): Generator<{ key: Buffer; value: Buffer }, undefined> {
    this.#writeHeld();
    const low = tagged(tag, range.from ?? '');
    const high = range.to === null ? Buffer.of(tag + 1) : tagged(tag, range.to);
    let options: RangeOptions = range.reverse
      ? { start: high, end: low, reverse: true, exclusiveStart: true, inclusiveEnd: true }
      : { start: low, end: high };
    for (let limit = FIRST_CHUNK; ; limit = Math.min(limit * 4, LARGEST_CHUNK)) {
      const chunk: { key: Buffer; value: Buffer }[] = [];
      let bytes = 0;
      for (const entry of this.#database.getRange({ ...options, limit })) {
        chunk.push(entry);
        bytes += entry.value.length;
        if (bytes > CHUNK_BYTES) break;
      }
      yield* chunk;
      if (chunk.length < limit && bytes <= CHUNK_BYTES) return;
      options = { ...options, start: chunk.at(-1)!.key, exclusiveStart: true };
    }
  }
}

/** LMDB's binary for this platform is not installed. */
class LmdbMissingError extends Error {
  override readonly name = 'LmdbMissingError';
}

/** Loaded when the first disk store opens: who keeps everything in memory needs no binary. */
function loadLmdb(): LmdbModule {
  try {
    return createRequire(import.meta.url)('lmdb') as LmdbModule;
  } catch (error) {
    throw new LmdbMissingError(
      `storage: 'disk' needs the package lmdb with its binary for ${process.platform}-${process.arch}: ` +
        `${(error as Error).message}; install it with optional dependencies, or keep the store in memory`,
      { cause: error },
    );
  }
}

function openDatabase(path: string): Lmdb {
  const options: RootDatabaseOptionsWithPath = {
    path,
    noSubdir: true,
    keyEncoding: 'binary',
    encoding: 'binary',
    noSync: true,
    overlappingSync: false,
    eventTurnBatching: false,
  };
  return loadLmdb().open(options);
}

function readMeta(database: Lmdb): Meta {
  const found = database.get(META);
  if (found === undefined) {
    writeMeta(database, EMPTY);
    return EMPTY;
  }
  return JSON.parse(found.toString('latin1', 0, found.length - CRC_BYTES)) as Meta;
}

function writeMeta(database: Lmdb, meta: Meta): void {
  put(database, META[0]!, '', JSON.stringify(meta));
}

function same(a: Meta, b: Meta): boolean {
  return a.checkpoint === b.checkpoint && a.observedTime === b.observedTime;
}

function tagged(tag: number, text: ByteText): Buffer {
  const key = Buffer.allocUnsafe(1 + text.length);
  key[0] = tag;
  key.write(text, 1, 'latin1');
  return key;
}

function put(database: Lmdb, tag: number, key: ByteText, value: ByteText): void {
  const keyBytes = 1 + key.length;
  const bytes = Buffer.allocUnsafe(keyBytes + value.length + CRC_BYTES);
  bytes[0] = tag;
  bytes.write(key, 1, 'latin1');
  bytes.write(value, keyBytes, 'latin1');
  const end = keyBytes + value.length;
  bytes.writeUInt32LE(crc32(bytes.subarray(0, end)), end);
  database.putSync(bytes.subarray(0, keyBytes), bytes.subarray(keyBytes));
}

/** Reads everything there is and throws unless all of it is what was written. */
function verify(database: Lmdb): void {
  const { entryCount = 0 } = database.getStats();
  let count = 0;
  let previous: Buffer | null = null;
  for (const { key, value } of database.getRange({})) {
    count += 1;
    const end = value.length - CRC_BYTES;
    if (
      end < 0 ||
      count > entryCount ||
      (previous !== null && previous.compare(key) >= 0) ||
      crc32(value.subarray(0, end), crc32(key)) !== value.readUInt32LE(end)
    ) {
      throw new Error(`entry ${count} of ${entryCount} is not what was written`);
    }
    previous = key;
  }
  if (count !== entryCount) throw new Error(`${count} of ${entryCount} entries can be read`);
}
