/**
 * An insert-only store of digests that remembers for a time: has this key been seen, with the same value, and at
 * which source offset? Made for deduplication at tens of millions of keys.
 *
 * An entry is 40 bytes: a 16-byte key digest, a 16-byte value digest and the source offset that caused it. Entries
 * lie in segments in the order of insertion, so that dropping a transaction truncates and expiry drops whole
 * segments; a hash index in 256 separately growing tables finds them, so that growth never stops the world.
 * The changelog packs all entries of a commit into few records (format below) instead of one record per key.
 */
import type { RecordBatch } from '../kafka/record-batch.ts';
import type { ChangelogSink, StateStore, StoreEnvironment, StoreSpec } from './state-store.ts';

export const DIGEST_BYTES = 16;

const WORDS = 10; // 4 of key, 4 of value, 2 of source offset
const SEGMENT_ENTRIES = 65_536;
/** Entry ids are 32 bits, segment number and slot; 0 marks an empty index slot, so ids are stored plus one. */
const SEGMENT_NUMBERS = 65_535;
const TABLES = 256;
const FIRST_TABLE_SLOTS = 16;

const FORMAT_VERSION = 1;
const HEADER_BYTES = 16; // uint32 version, uint32 count, float64 wall time in epoch milliseconds
const ENTRY_BYTES = WORDS * 4;
/** Keeps a changelog record far below the broker's 1 MB default. */
const ENTRIES_PER_RECORD = 16_384;

export interface DedupeStoreOptions {
  /** How long an entry is remembered, wall-clock milliseconds from the commit that wrote it. */
  readonly ttlMs: number;
  /** Most live entries of one partition; the store refuses more instead of forgetting early. Default 50 million. */
  readonly maxEntries?: number;
}

/** The store would have to forget an entry before its time. */
export class StoreFullError extends Error {
  override readonly name = 'StoreFullError';
}

/** Declares a dedupe store. */
export function dedupeStore(name: string, options: DedupeStoreOptions): StoreSpec<DedupeStore> {
  return {
    name,
    changelog: 'insert-only',
    retentionMs: options.ttlMs,
    create: (environment) => new DedupeStore(name, options, environment),
  };
}

export class DedupeStore implements StateStore {
  readonly name: string;
  /** The store lives in memory: a restore reads its whole changelog. */
  readonly checkpoint = null;
  readonly #ttlMs: number;
  readonly #maxEntries: number;
  readonly #environment: Pick<StoreEnvironment, 'now'>;

  /** Sequence numbers count entries since the store was made; [first, committed) [committed, sealed) [sealed, end). */
  #first = 0;
  #committed = 0;
  #sealed = 0;
  #end = 0;
  /** Segments by number of sequence / SEGMENT_ENTRIES, a ring of live ones. */
  readonly #segments = new Map<number, Uint32Array>();
  /** Commits in order: entries below `end` (and not below the previous one's) were written at `wallTime`. */
  #runs: { end: number; wallTime: number }[] = [];
  #index: Uint32Array[];
  readonly #indexUsed = new Uint32Array(TABLES);
  readonly #probe = new Uint32Array(WORDS);

  constructor(name: string, options: DedupeStoreOptions, environment: Pick<StoreEnvironment, 'now'>) {
    if (!(options.ttlMs > 0))
      throw new RangeError(`store "${name}": ttlMs must be positive, not ${options.ttlMs}`);
    this.name = name;
    this.#ttlMs = options.ttlMs;
    this.#maxEntries = options.maxEntries ?? 50_000_000;
    this.#environment = environment;
    this.#index = emptyIndex();
  }

  /** Entries held, committed or not, expired ones included until their segment is dropped. */
  get size(): number {
    return this.#end - this.#first;
  }

  /**
   * Finds the live entry of a key: its handle, or -1. A handle is valid until the next insert, abort or expiry.
   * `key` is at least DIGEST_BYTES long; the first DIGEST_BYTES count.
   */
  find(key: Buffer): number {
    this.#loadKey(key);
    const sequence = this.#lookup();
    return sequence >= 0 && this.#expired(sequence) ? -1 : sequence;
  }

  /** Whether an entry was stored with this value digest. */
  valueEquals(handle: number, value: Buffer): boolean {
    const segment = this.#segments.get(Math.floor(handle / SEGMENT_ENTRIES))!;
    const at = (handle % SEGMENT_ENTRIES) * WORDS + 4;
    return (
      segment[at] === value.readUInt32LE(0) &&
      segment[at + 1] === value.readUInt32LE(4) &&
      segment[at + 2] === value.readUInt32LE(8) &&
      segment[at + 3] === value.readUInt32LE(12)
    );
  }

  /** The source offset stored with an entry. */
  sourceOffset(handle: number): number {
    const segment = this.#segments.get(Math.floor(handle / SEGMENT_ENTRIES))!;
    const at = (handle % SEGMENT_ENTRIES) * WORDS + 8;
    return segment[at + 1]! * 0x1_0000_0000 + segment[at]!;
  }

  /** Adds an entry for a key that `find` has just answered -1 for. */
  insert(key: Buffer, value: Buffer, sourceOffset: number): void {
    this.#loadKey(key);
    const probe = this.#probe;
    probe[4] = value.readUInt32LE(0);
    probe[5] = value.readUInt32LE(4);
    probe[6] = value.readUInt32LE(8);
    probe[7] = value.readUInt32LE(12);
    probe[8] = sourceOffset % 0x1_0000_0000;
    probe[9] = Math.floor(sourceOffset / 0x1_0000_0000);
    this.#append();
  }

  seal(changelog: ChangelogSink | null): void {
    if (this.#sealed !== this.#committed) throw new Error(`store "${this.name}" is sealed already`);
    const wallTime = this.#environment.now();
    if (changelog !== null) {
      for (let from = this.#committed; from < this.#end; from += ENTRIES_PER_RECORD) {
        changelog.append(null, this.#pack(from, Math.min(from + ENTRIES_PER_RECORD, this.#end), wallTime));
      }
    }
    if (this.#end > this.#committed) this.#runs.push({ end: this.#end, wallTime });
    this.#sealed = this.#end;
  }

  apply(): void {
    this.#committed = this.#sealed;
  }

  abort(): void {
    while (this.#end > this.#committed) {
      this.#end -= 1;
      this.#unindex(this.#end);
    }
    this.#sealed = this.#committed;
    while (this.#runs.length > 0 && this.#runs.at(-1)!.end > this.#committed) this.#runs.pop();
    const last = Math.floor((this.#end - 1) / SEGMENT_ENTRIES);
    for (const number of this.#segments.keys()) if (number > last) this.#segments.delete(number);
  }

  restore(batch: RecordBatch, i: number): void {
    const start = batch.valueStart[i]!;
    const length = batch.valueLength[i]!;
    const data = batch.data;
    const version = length >= HEADER_BYTES ? data.readUInt32LE(start) : -1;
    const count = length >= HEADER_BYTES ? data.readUInt32LE(start + 4) : -1;
    if (version !== FORMAT_VERSION || length !== HEADER_BYTES + count * ENTRY_BYTES) {
      throw new Error(
        `changelog of store "${this.name}", partition ${batch.partition[i]!} offset ${batch.offset[i]!}: not a packed ` +
          `record of version ${FORMAT_VERSION} (version ${version}, ${length} bytes); reset the application's state`,
      );
    }
    const wallTime = data.readDoubleLE(start + 8);
    if (wallTime + this.#ttlMs <= this.#environment.now()) return;
    let at = start + HEADER_BYTES;
    for (let entry = 0; entry < count; entry++) {
      for (let word = 0; word < WORDS; word++, at += 4) this.#probe[word] = data.readUInt32LE(at);
      const known = this.#lookup();
      if (known >= 0 && !this.#expired(known)) continue;
      this.#append();
    }
    if (this.#end > this.#committed) this.#runs.push({ end: this.#end, wallTime });
    this.#committed = this.#sealed = this.#end;
  }

  /** Drops the segments all of whose entries have lived their time. */
  expire(wallTimeMs: number): void {
    for (;;) {
      const next = (Math.floor(this.#first / SEGMENT_ENTRIES) + 1) * SEGMENT_ENTRIES;
      if (next > this.#committed || this.#wallTimeOf(next - 1) + this.#ttlMs > wallTimeMs) return;
      for (let sequence = this.#first; sequence < next; sequence++) this.#unindex(sequence);
      this.#segments.delete(next / SEGMENT_ENTRIES - 1);
      this.#first = next;
      this.#runs = this.#runs.slice(this.#runs.findIndex((run) => run.end > next));
    }
  }

  flush(): void {
    // Nothing is held back.
  }

  wipe(): void {
    this.#first = this.#committed = this.#sealed = this.#end = 0;
    this.#segments.clear();
    this.#runs = [];
    this.#index = emptyIndex();
    this.#indexUsed.fill(0);
  }

  close(): void {
    this.#segments.clear();
    this.#index = [];
  }

  #loadKey(key: Buffer): void {
    const probe = this.#probe;
    probe[0] = key.readUInt32LE(0);
    probe[1] = key.readUInt32LE(4);
    probe[2] = key.readUInt32LE(8);
    probe[3] = key.readUInt32LE(12);
  }

  /** The sequence number of the entry with the probe's key, or -1. */
  #lookup(): number {
    const probe = this.#probe;
    const a = probe[0]!;
    const b = probe[1]!;
    const c = probe[2]!;
    const d = probe[3]!;
    const table = this.#index[a & 0xff]!;
    const mask = table.length - 1;
    for (let slot = b & mask; ; slot = (slot + 1) & mask) {
      const stored = table[slot]!;
      if (stored === 0) return -1;
      const sequence = this.#sequenceOf(stored - 1);
      const segment = this.#segments.get(Math.floor(sequence / SEGMENT_ENTRIES))!;
      const at = (sequence % SEGMENT_ENTRIES) * WORDS;
      if (segment[at] === a && segment[at + 1] === b && segment[at + 2] === c && segment[at + 3] === d)
        return sequence;
    }
  }

  /** Appends the probe as the newest entry and points the index at it, in place of an expired entry of its key. */
  #append(): void {
    if (this.#end - this.#first >= this.#maxEntries) {
      throw new StoreFullError(
        `store "${this.name}" holds its limit of ${this.#maxEntries} entries, none of them past its time of ` +
          `${this.#ttlMs} ms; raise maxEntries, shorten the time, or spread the load over more partitions`,
      );
    }
    const sequence = this.#end;
    const number = Math.floor(sequence / SEGMENT_ENTRIES);
    let segment = this.#segments.get(number);
    if (segment === undefined)
      this.#segments.set(number, (segment = new Uint32Array(SEGMENT_ENTRIES * WORDS)));
    segment.set(this.#probe, (sequence % SEGMENT_ENTRIES) * WORDS);
    this.#end += 1;
    this.#point(sequence);
  }

  #point(sequence: number): void {
    const probe = this.#probe;
    const a = probe[0]!;
    const b = probe[1]!;
    const c = probe[2]!;
    const d = probe[3]!;
    const which = a & 0xff;
    let table = this.#index[which]!;
    if ((this.#indexUsed[which]! + 1) * 10 > table.length * 7) table = this.#growTable(which);
    const mask = table.length - 1;
    const id = idOf(sequence) + 1;
    for (let slot = b & mask; ; slot = (slot + 1) & mask) {
      const stored = table[slot]!;
      if (stored === 0) {
        table[slot] = id;
        this.#indexUsed[which]! += 1;
        return;
      }
      const other = this.#sequenceOf(stored - 1);
      const segment = this.#segments.get(Math.floor(other / SEGMENT_ENTRIES))!;
      const at = (other % SEGMENT_ENTRIES) * WORDS;
      if (segment[at] === a && segment[at + 1] === b && segment[at + 2] === c && segment[at + 3] === d) {
        table[slot] = id;
        return;
      }
    }
  }

  #growTable(which: number): Uint32Array {
    const old = this.#index[which]!;
    const table = new Uint32Array(old.length * 2);
    const mask = table.length - 1;
    for (const stored of old) {
      if (stored === 0) continue;
      let slot = this.#homeOf(stored - 1) & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = stored;
    }
    this.#index[which] = table;
    return table;
  }

  /** Removes the index entry of a sequence number, if it still points there, closing the gap behind it. */
  #unindex(sequence: number): void {
    const segment = this.#segments.get(Math.floor(sequence / SEGMENT_ENTRIES))!;
    const at = (sequence % SEGMENT_ENTRIES) * WORDS;
    const which = segment[at]! & 0xff;
    const table = this.#index[which]!;
    const mask = table.length - 1;
    const id = idOf(sequence) + 1;
    let gap = segment[at + 1]! & mask;
    for (; table[gap] !== id; gap = (gap + 1) & mask) if (table[gap] === 0) return;
    for (let slot = (gap + 1) & mask; table[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#homeOf(table[slot]! - 1) & mask;
      // The entry may move into the gap unless its home lies cyclically in (gap, slot].
      if (((slot - home) & mask) >= ((slot - gap) & mask)) {
        table[gap] = table[slot]!;
        gap = slot;
      }
    }
    table[gap] = 0;
    this.#indexUsed[which]! -= 1;
  }

  #homeOf(id: number): number {
    const sequence = this.#sequenceOf(id);
    return this.#segments.get(Math.floor(sequence / SEGMENT_ENTRIES))![
      (sequence % SEGMENT_ENTRIES) * WORDS + 1
    ]!;
  }

  /** The live sequence number with this id: ids repeat only after SEGMENT_NUMBERS segments, more than may live. */
  #sequenceOf(id: number): number {
    const oldest = Math.floor(this.#first / SEGMENT_ENTRIES);
    const ahead = ((id >>> 16) - (oldest % SEGMENT_NUMBERS) + SEGMENT_NUMBERS) % SEGMENT_NUMBERS;
    return (oldest + ahead) * SEGMENT_ENTRIES + (id & 0xffff);
  }

  #expired(sequence: number): boolean {
    return this.#wallTimeOf(sequence) + this.#ttlMs <= this.#environment.now();
  }

  /** When an entry's commit was sealed; entries of the active layer count as of now. */
  #wallTimeOf(sequence: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]!.end > sequence) high = middle;
      else low = middle + 1;
    }
    return this.#runs[low]?.wallTime ?? this.#environment.now();
  }

  #pack(from: number, to: number, wallTime: number): Buffer {
    const record = Buffer.allocUnsafe(HEADER_BYTES + (to - from) * ENTRY_BYTES);
    record.writeUInt32LE(FORMAT_VERSION, 0);
    record.writeUInt32LE(to - from, 4);
    record.writeDoubleLE(wallTime, 8);
    let at = HEADER_BYTES;
    for (let sequence = from; sequence < to; sequence++) {
      const segment = this.#segments.get(Math.floor(sequence / SEGMENT_ENTRIES))!;
      const start = (sequence % SEGMENT_ENTRIES) * WORDS;
      for (let word = start; word < start + WORDS; word++, at += 4) record.writeUInt32LE(segment[word]!, at);
    }
    return record;
  }
}

function emptyIndex(): Uint32Array[] {
  return Array.from({ length: TABLES }, () => new Uint32Array(FIRST_TABLE_SLOTS));
}

function idOf(sequence: number): number {
  const number = Math.floor(sequence / SEGMENT_ENTRIES) % SEGMENT_NUMBERS;
  return number * SEGMENT_ENTRIES + (sequence % SEGMENT_ENTRIES);
}
