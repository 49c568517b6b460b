/** One schema of the registry, ready to decode from a slab and to encode into an arena, in place. */
import type avsc from 'avsc';
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { compileAvro, type AvroOptions, type AvroSchemaJson } from './compile-avro.ts';
import { SerdeError, type Bytes, type Placement } from './serde.ts';
import { WIRE_HEADER_BYTES, writeWireHeader } from './wire-format.ts';

type Resolver = ReturnType<avsc.Type['createResolver']>;

export class CompiledSchema {
  readonly id: number;
  /** The record's full name (namespace and name); the type's name where the schema is not a named type. */
  readonly recordName: string;
  readonly json: AvroSchemaJson;
  readonly type: avsc.Type;
  /** Readers' types, with the resolver from this writer; compiled once each. */
  readonly #resolvers = new Map<avsc.Type, Resolver>();

  constructor(
    id: number,
    json: AvroSchemaJson,
    options: AvroOptions = {},
    references: readonly AvroSchemaJson[] = [],
  ) {
    this.id = id;
    this.json = json;
    this.type = compileAvro(json, options, references);
    this.recordName = this.type.name ?? this.type.typeName;
  }

  /**
   * Decodes a value in the wire format, in place; with `reader`, as the reader's schema. The value must end exactly
   * where the bytes end. Throws SerdeError. Records are instances of a class of their own; treat them as plain
   * objects. The header is not looked at again: `bytes` must carry this schema's id.
   */
  decode(bytes: Bytes, reader?: avsc.Type): unknown {
    const resolver = reader === undefined || reader === this.type ? undefined : this.#resolver(reader);
    const end = bytes.start + bytes.length;
    let result: { readonly value: unknown; readonly offset: number };
    try {
      result = (reader ?? this.type).decode(bytes.buffer, bytes.start + WIRE_HEADER_BYTES, resolver);
    } catch (error) {
      throw new SerdeError(
        `the bytes are no ${this.recordName} (schema ${this.id}): ${(error as Error).message}`,
        'MALFORMED',
        { cause: error },
      );
    }
    // -1 says that the whole slab ended; past `end` it has read the neighbour's bytes. Both mean: truncated.
    if (result.offset !== end) throw this.#wrongEnd(result.offset, end);
    return result.value;
  }

  /**
   * Encodes a value with its wire header into the batch's arena and sets the placement. Throws SerdeError
   * INVALID_VALUE with the first field that does not fit, and leaves the batch as it was.
   */
  encodeInto(value: unknown, batch: OutgoingBatch, placement: Placement): void {
    batch.reserve(WIRE_HEADER_BYTES);
    let start = batch.arenaPosition;
    let end: number;
    try {
      end = this.type.encode(value, batch.arena, start + WIRE_HEADER_BYTES);
      if (end < 0) {
        // avsc says how many bytes were missing; what it wrote so far lies in unused room.
        const bytes = batch.arena.length - end - start;
        batch.reserve(bytes);
        start = batch.arenaPosition;
        end = this.type.encode(value, batch.arena, start + WIRE_HEADER_BYTES);
      }
    } catch (error) {
      throw this.#invalid(value, error);
    }
    writeWireHeader(batch.arena, start, this.id);
    placement.source = batch.arenaSource;
    placement.start = start;
    placement.length = end - start;
    batch.advance(placement.length);
  }

  /** The encoded value as a buffer of its own, for tools and tests. Throws SerdeError INVALID_VALUE. */
  encode(value: unknown): Buffer {
    try {
      const body = this.type.toBuffer(value);
      const buffer = Buffer.allocUnsafe(WIRE_HEADER_BYTES + body.length);
      writeWireHeader(buffer, 0, this.id);
      body.copy(buffer, WIRE_HEADER_BYTES);
      return buffer;
    } catch (error) {
      throw this.#invalid(value, error);
    }
  }

  /** Why a reader's type cannot read what this schema wrote; undefined when it can. */
  unreadableBy(reader: avsc.Type): string | undefined {
    try {
      this.#resolver(reader);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  #resolver(reader: avsc.Type): Resolver {
    let resolver = this.#resolvers.get(reader);
    if (resolver === undefined) {
      try {
        resolver = reader.createResolver(this.type);
      } catch (error) {
        throw new SerdeError(
          `schema ${this.id} (${this.recordName}) cannot be read as ${reader.name ?? reader.typeName}: ${(error as Error).message}`,
          'UNUSABLE_SCHEMA',
          { cause: error },
        );
      }
      this.#resolvers.set(reader, resolver);
    }
    return resolver;
  }

  #wrongEnd(offset: number, end: number): SerdeError {
    const what = `${this.recordName} (schema ${this.id})`;
    return offset < 0 || offset > end
      ? new SerdeError(`the value ends before its ${what} does`, 'TRUNCATED')
      : new SerdeError(`${end - offset} bytes follow the end of ${what}`, 'TRAILING_BYTES');
  }

  #invalid(value: unknown, error: unknown): SerdeError {
    let at: string | undefined;
    this.type.isValid(value, {
      errorHook: (path) => {
        at ??= path.join('.');
      },
    });
    const where = at === undefined || at === '' ? '' : ` at ${at}`;
    return new SerdeError(
      `the value is no ${this.recordName} (schema ${this.id})${where}: ${(error as Error).message}`,
      'INVALID_VALUE',
      { cause: error },
    );
  }
}
