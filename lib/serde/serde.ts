/**
 * Turning bytes into values and back, in place.
 *
 * A serde reads from a range of a batch's slab and writes into the outgoing batch's arena, so that no
 * intermediate buffer exists. One that only forwards names the input range instead of copying it.
 */
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';

/** A range of bytes. Mutable and reused from record to record: copy what is to be kept. */
export class Bytes {
  buffer: Buffer;
  start: number;
  length: number;

  constructor(buffer: Buffer = EMPTY, start = 0, length = buffer.length - start) {
    this.buffer = buffer;
    this.start = start;
    this.length = length;
  }

  /** A view of the range; it shares memory with the slab. */
  view(): Buffer {
    return this.buffer.subarray(this.start, this.start + this.length);
  }

  /** The bytes themselves, to keep. */
  copy(): Buffer {
    return Buffer.from(this.view());
  }

  text(): string {
    return this.buffer.toString('utf8', this.start, this.start + this.length);
  }
}

const EMPTY = Buffer.alloc(0);

/** Where a serialised value was put: a range of `batch.sources[source]`. */
export interface Placement {
  source: number;
  start: number;
  length: number;
}

export interface Serde<T> {
  /**
   * Reads a value. Never called for null. The decode must end exactly where the range ends; anything else is a
   * SerdeError, because a slab holds the neighbour's bytes right behind it. Throws NotReady when something must
   * be fetched first (a schema): the runtime waits with the partition paused and calls again.
   */
  deserialize(bytes: Bytes): T;

  /** Writes a value (never null) into the batch's arena, or refers to bytes elsewhere, and says where it is. */
  serialize(value: T, batch: OutgoingBatch, placement: Placement): void;

  /** Fetches what must be there before the first record, such as the schema id to write with. */
  prepare?(): Promise<void>;

  /** Whether null (no bytes at all) is a value of the type. Elsewhere a null is a deserialisation error. */
  readonly nullable?: boolean;
}

/** A serde that also takes null: an absent key, or a tombstone. */
export function nullable<T>(serde: Serde<T>): Serde<T | null> {
  return {
    nullable: true,
    deserialize: (bytes) => serde.deserialize(bytes),
    serialize(value, batch, placement) {
      if (value === null) placement.length = -1;
      else serde.serialize(value, batch, placement);
    },
    ...(serde.prepare === undefined ? {} : { prepare: () => serde.prepare!() }),
  };
}

/** Why bytes could not become a value, or a value bytes. */
export type SerdeErrorCode =
  /** Not the format at all: no JSON, no Confluent wire header, no value of the schema. */
  | 'MALFORMED'
  /** The value needs more bytes than the range has. */
  | 'TRUNCATED'
  /** The range goes on after the value's end. */
  | 'TRAILING_BYTES'
  /** The registry answered that no schema has this id. */
  | 'UNKNOWN_SCHEMA'
  /** The schema exists, but is not Avro, does not compile, or cannot be read as the reader's schema. */
  | 'UNUSABLE_SCHEMA'
  /** The value given to serialise does not fit the schema. */
  | 'INVALID_VALUE';

/** The bytes are not what the serde expects. Policies (fail, skip, dead-letter) apply to it. */
export class SerdeError extends Error {
  override readonly name = 'SerdeError';
  readonly code: SerdeErrorCode;

  constructor(message: string, code: SerdeErrorCode = 'MALFORMED', options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Not an error of the record: something must be fetched before it can be read. Try again after `ready`, which
 * resolves when another try makes sense, and rejects when fetching failed for now (the server is down): then
 * another try starts another fetch.
 */
export class NotReady extends Error {
  override readonly name = 'NotReady';
  readonly ready: Promise<unknown>;

  constructor(what: string, ready: Promise<unknown>) {
    super(`waiting for ${what}`);
    this.ready = ready;
    // Whoever catches this may choose not to wait; the failure is then nobody's unhandled rejection.
    ready.catch(() => undefined);
  }
}

/** Copies bytes into the batch's arena and sets the placement. */
export function placeCopy(bytes: Uint8Array, batch: OutgoingBatch, placement: Placement): void {
  batch.reserve(bytes.length);
  batch.arena.set(bytes, batch.arenaPosition);
  placement.source = batch.arenaSource;
  placement.start = batch.arenaPosition;
  placement.length = bytes.length;
  batch.advance(bytes.length);
}

/** Bytes as they are: reading gives the range (valid until the batch is reused), writing refers to it uncopied. */
export const rawSerde: Serde<Bytes> = {
  deserialize: (bytes) => bytes,
  serialize(value, batch, placement) {
    placement.source = batch.sourceIndex(value.buffer);
    placement.start = value.start;
    placement.length = value.length;
  },
};

/** A copy of the bytes as a Buffer. */
export const bufferSerde: Serde<Buffer> = {
  deserialize: (bytes) => bytes.copy(),
  serialize: (value, batch, placement) => placeCopy(value, batch, placement),
};

/** UTF-8 text. */
export const stringSerde: Serde<string> = {
  deserialize: (bytes) => bytes.text(),
  serialize(value, batch, placement) {
    const most = value.length * 3;
    batch.reserve(most);
    placement.source = batch.arenaSource;
    placement.start = batch.arenaPosition;
    placement.length = batch.arena.write(value, batch.arenaPosition, most, 'utf8');
    batch.advance(placement.length);
  },
};

/** JSON as UTF-8. The type is the caller's claim: use a validating serde for data that is not yours. */
export function jsonSerde<T>(): Serde<T> {
  return {
    deserialize(bytes) {
      try {
        return JSON.parse(bytes.text()) as T;
      } catch (error) {
        throw new SerdeError(`not JSON: ${(error as Error).message}`);
      }
    },
    serialize: (value, batch, placement) => stringSerde.serialize(JSON.stringify(value), batch, placement),
  };
}
