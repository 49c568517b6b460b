/**
 * Records on their way to a producer, named by position instead of carried as objects.
 *
 * A key, value or header block is (source, start, length): a range of one of `sources`. Source 0 is the batch's
 * own arena, into which encoders write; the others are slabs of input batches, so that a value which is only
 * forwarded is never copied in JavaScript. The producer copies the bytes when the batch is handed over; after
 * that `reset()` makes it reusable.
 */

/** Partition value that asks the producer to partition by murmur2 of the key (random when the key is null). */
export const PARTITION_BY_KEY = -1;

const ARENA_CHUNK = 1024 * 1024;

export class OutgoingBatch {
  /** Topic names by index; `topic[i]` points here. Interned once, kept over resets. */
  readonly topics: string[] = [];
  /** Byte sources; those below `arenaCount` are arenas of this batch. */
  readonly sources: Buffer[] = [];
  count = 0;
  /** Sum of key, value and header bytes appended since the last reset. */
  bytes = 0;

  topic: Int32Array;
  /** PARTITION_BY_KEY, or an explicit partition. */
  partition: Int32Array;
  /** Epoch milliseconds; 0 means the producer's clock at hand-over. */
  timestamp: Float64Array;
  keySource: Int32Array;
  keyStart: Int32Array;
  /** -1 is a null key. */
  keyLength: Int32Array;
  valueSource: Int32Array;
  valueStart: Int32Array;
  /** -1 is a null value (a tombstone). */
  valueLength: Int32Array;
  headersSource: Int32Array;
  headersStart: Int32Array;
  headersLength: Int32Array;
  headersCount: Int32Array;

  #capacity: number;
  readonly #topicIndex = new Map<string, number>();
  /** The arenas, reused over resets; `#arena` is the index of the one being written. */
  readonly #arenas: Buffer[] = [Buffer.allocUnsafeSlow(ARENA_CHUNK)];
  #arena = 0;
  #arenaUsed = 0;
  #sourceOfArena = 0;

  constructor(capacity = 4096) {
    this.#capacity = capacity;
    const int32 = (): Int32Array => new Int32Array(capacity);
    this.topic = int32();
    this.partition = int32();
    this.timestamp = new Float64Array(capacity);
    this.keySource = int32();
    this.keyStart = int32();
    this.keyLength = int32();
    this.valueSource = int32();
    this.valueStart = int32();
    this.valueLength = int32();
    this.headersSource = int32();
    this.headersStart = int32();
    this.headersLength = int32();
    this.headersCount = int32();
    this.sources.push(this.#arenas[0]!);
  }

  /** The index of a topic name, interning it on first use. */
  topicIndex(name: string): number {
    let index = this.#topicIndex.get(name);
    if (index === undefined) {
      index = this.topics.length;
      this.topics.push(name);
      this.#topicIndex.set(name, index);
    }
    return index;
  }

  /** The index of a foreign buffer among `sources`; calling it again with the same buffer gives the same index. */
  sourceIndex(buffer: Buffer): number {
    const known = this.sources.lastIndexOf(buffer);
    return known >= 0 ? known : this.sources.push(buffer) - 1;
  }

  /** The arena that `reserve` last returned room in, and its source index and write position. */
  get arena(): Buffer {
    return this.#arenas[this.#arena]!;
  }
  get arenaSource(): number {
    return this.#sourceOfArena;
  }
  get arenaPosition(): number {
    return this.#arenaUsed;
  }

  /** Makes sure that `arena` has at least `bytes` of room from `arenaPosition`. Moves nothing already written. */
  reserve(bytes: number): void {
    if (this.#arenaUsed + bytes <= this.arena.length) return;
    this.#arena += 1;
    this.#arenaUsed = 0;
    const known = this.#arenas[this.#arena];
    if (known === undefined || known.length < bytes) {
      this.#arenas[this.#arena] = Buffer.allocUnsafeSlow(Math.max(ARENA_CHUNK, bytes));
    }
    this.#sourceOfArena = this.sources.push(this.arena) - 1;
  }

  /** Marks `bytes` written at `arenaPosition` as used. */
  advance(bytes: number): void {
    this.#arenaUsed += bytes;
  }

  /** Adds a record. Lengths of -1 are null; header length 0 is no headers. */
  append(
    topic: number,
    partition: number,
    timestamp: number,
    keySource: number,
    keyStart: number,
    keyLength: number,
    valueSource: number,
    valueStart: number,
    valueLength: number,
    headersSource: number,
    headersStart: number,
    headersLength: number,
    headersCount: number,
  ): void {
    const i = this.count;
    if (i === this.#capacity) this.#grow();
    this.topic[i] = topic;
    this.partition[i] = partition;
    this.timestamp[i] = timestamp;
    this.keySource[i] = keySource;
    this.keyStart[i] = keyStart;
    this.keyLength[i] = keyLength;
    this.valueSource[i] = valueSource;
    this.valueStart[i] = valueStart;
    this.valueLength[i] = valueLength;
    this.headersSource[i] = headersSource;
    this.headersStart[i] = headersStart;
    this.headersLength[i] = headersLength;
    this.headersCount[i] = headersCount;
    this.count = i + 1;
    this.bytes += (keyLength > 0 ? keyLength : 0) + (valueLength > 0 ? valueLength : 0) + headersLength;
  }

  /** Adds a record from whole buffers (copied into the arena): for rare records, tests and tools. */
  add(record: {
    readonly topic: string;
    readonly partition?: number;
    readonly timestamp?: number;
    readonly key?: Buffer | string | null;
    readonly value: Buffer | string | null;
    readonly headers?: Iterable<readonly [name: string, value: Buffer | string | null]>;
  }): void {
    const key = bytesOf(record.key ?? null);
    const value = bytesOf(record.value);
    const headers: (readonly [Buffer, Buffer | null])[] = [];
    let headerBytes = 0;
    for (const [name, content] of record.headers ?? []) {
      const pair = [Buffer.from(name), bytesOf(content)] as const;
      headers.push(pair);
      headerBytes += 8 + pair[0].length + (pair[1]?.length ?? 0);
    }
    this.reserve((key?.length ?? 0) + (value?.length ?? 0) + headerBytes);
    const { arena, arenaSource: source } = this;
    const keyStart = this.#arenaUsed;
    const valueStart = keyStart + (key?.length ?? 0);
    const headersStart = valueStart + (value?.length ?? 0);
    key?.copy(arena, keyStart);
    value?.copy(arena, valueStart);
    let at = headersStart;
    for (const [name, content] of headers) {
      arena.writeInt32LE(name.length, at);
      arena.writeInt32LE(content?.length ?? -1, at + 4);
      at += 8;
      at += name.copy(arena, at);
      if (content !== null) at += content.copy(arena, at);
    }
    this.#arenaUsed = at;
    this.append(
      this.topicIndex(record.topic),
      record.partition ?? PARTITION_BY_KEY,
      record.timestamp ?? 0,
      source,
      keyStart,
      key?.length ?? -1,
      source,
      valueStart,
      value?.length ?? -1,
      source,
      headersStart,
      headerBytes,
      headers.length,
    );
  }

  /** Forgets every record; topics and arenas are kept for reuse. */
  reset(): void {
    this.count = 0;
    this.bytes = 0;
    this.#arena = 0;
    this.#arenaUsed = 0;
    this.#sourceOfArena = 0;
    this.sources.length = 0;
    this.sources.push(this.#arenas[0]!);
    // One burst must not pin its memory for ever.
    if (this.#arenas.length > 64) this.#arenas.length = 64;
  }

  #grow(): void {
    const grown = (column: Int32Array): Int32Array => {
      const wider = new Int32Array(this.#capacity * 2);
      wider.set(column);
      return wider;
    };
    this.topic = grown(this.topic);
    this.partition = grown(this.partition);
    const timestamp = new Float64Array(this.#capacity * 2);
    timestamp.set(this.timestamp);
    this.timestamp = timestamp;
    this.keySource = grown(this.keySource);
    this.keyStart = grown(this.keyStart);
    this.keyLength = grown(this.keyLength);
    this.valueSource = grown(this.valueSource);
    this.valueStart = grown(this.valueStart);
    this.valueLength = grown(this.valueLength);
    this.headersSource = grown(this.headersSource);
    this.headersStart = grown(this.headersStart);
    this.headersLength = grown(this.headersLength);
    this.headersCount = grown(this.headersCount);
    this.#capacity *= 2;
  }
}

function bytesOf(content: Buffer | string | null): Buffer | null {
  return typeof content === 'string' ? Buffer.from(content) : content;
}
