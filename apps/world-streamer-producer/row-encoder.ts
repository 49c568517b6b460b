/**
 * Rows of one output to ingress records: event id, envelope and payload in Avro, key and partition.
 *
 * Compiled once per output and run. What is equal in every record (wire header, event type, pins, producer) is
 * encoded beforehand; the rest goes from the columns straight into the outgoing batch's arena. The bytes are those
 * that encoding the envelope object with its schema gives (property-tested).
 */
import { hash } from 'node:crypto';

import {
  MICROS_TEXT_BYTES,
  MicrosWriter,
  type Column,
  type CompiledSchema,
  type Int64Column,
  type OutgoingBatch,
  type RowBatch,
} from '../../lib/index.ts';
import { ENVELOPE_FIELDS, type Envelope, type OutputDefinition } from '../rails/index.ts';
import {
  fieldWriter,
  writeLength,
  type FieldType,
  type PayloadField,
  type ValueWriter,
} from './avro-writers.ts';
import { INT64_TEXT_BYTES, writeInt64 } from './decimal-text.ts';
import { PARTITION_KEY_BYTES, type PartitionKeyCache } from './partition-key-cache.ts';
import { StreamError } from './stream-error.ts';

/** The envelope's fields that every record of an output has in common. */
export type ConstantEnvelope = Omit<Envelope, 'event_id' | 'ts_utc' | 'payload'>;

export interface RowEncoderOptions {
  readonly output: OutputDefinition;
  /** The output's registered Avro record. */
  readonly schema: CompiledSchema;
  readonly envelope: ConstantEnvelope;
  /** Shared by the outputs of a run: an anchor and its events have one key. */
  readonly keys: PartitionKeyCache;
  /** The column whose value is the partition key. */
  readonly keyColumn: string;
}

const EVENT_ID_BYTES = 64;

export class RowEncoder {
  readonly #options: RowEncoderOptions;
  readonly #payload: readonly PayloadField[];
  /** Bytes before the event id, between it and the time, and between the time and the payload. */
  readonly #head: Buffer;
  readonly #middle: Buffer;
  readonly #tail: Buffer;
  readonly #time = new MicrosWriter();
  /** The id's text around the row key, one buffer per length of the row key's text. */
  readonly #idTexts: (Buffer | undefined)[] = [];
  readonly #idBefore: Buffer;
  readonly #idAfter: Buffer;
  readonly #rowKey = Buffer.alloc(2 * INT64_TEXT_BYTES + 1);

  #batch: RowBatch | null = null;
  #writers: ValueWriter[] = [];
  #most = 0;
  #key: Int64Column | null = null;
  #idFirst: Int64Column | null = null;
  #idSecond: Int64Column | null = null;

  /** Throws StreamError (SCHEMA_UNSUITABLE) when the schema is not the envelope with a flat payload. */
  constructor(options: RowEncoderOptions) {
    this.#options = options;
    const { schema, envelope, output } = options;
    this.#payload = payloadFields(schema);
    const constants = constantFields(envelope);
    const header = Buffer.alloc(5);
    header.writeInt32BE(schema.id, 1);
    this.#head = Buffer.concat([header, lengthPrefix(EVENT_ID_BYTES)]);
    this.#middle = Buffer.concat([avroString(envelope.event_type), lengthPrefix(MICROS_TEXT_BYTES)]);
    this.#tail = constants;
    const {
      seed,
      manifest_fingerprint: fingerprint,
      parameter_hash: parameters,
      scenario_id: scenario,
    } = envelope;
    if (seed === null || parameters === null || scenario === null) {
      throw new StreamError('WORLD_KEY_MISSING', 'engine rows need seed, parameter_hash and scenario_id');
    }
    this.#idBefore = Buffer.from(`${output.output_id}|${seed}|${fingerprint}|${scenario}|`);
    this.#idAfter = Buffer.from(`|${fingerprint}|${parameters}|${seed}|${scenario}`);
  }

  /** Takes the columns of the batch that the next rows are in. Throws StreamError when they do not fit the schema. */
  bind(batch: RowBatch): void {
    if (this.#batch === batch) return;
    const { output, keyColumn } = this.#options;
    this.#writers = this.#payload.map((field) =>
      fieldWriter(field, batch.columns.get(field.name), batch.rows),
    );
    this.#most =
      PARTITION_KEY_BYTES +
      this.#head.length +
      EVENT_ID_BYTES +
      this.#middle.length +
      MICROS_TEXT_BYTES +
      this.#tail.length +
      this.#writers.reduce((sum, writer) => sum + writer.most, 0);
    const [first, second] = output.row_key;
    this.#idFirst = idColumn(batch, first!, output.output_id);
    this.#idSecond = second === undefined ? null : idColumn(batch, second, output.output_id);
    this.#key = idColumn(batch, keyColumn, output.output_id);
    this.#batch = batch;
  }

  /** The ingress partition of a row of the bound batch. */
  partition(row: number): number {
    return this.#options.keys.partitions[this.#keySlot(row)]!;
  }

  /** Appends the record of a row of the bound batch. Throws StreamError on a row that lacks what the schema requires. */
  encode(row: number, into: OutgoingBatch, topic: number): void {
    const { keys } = this.#options;
    into.reserve(this.#most);
    const { arena, arenaSource: source, arenaPosition: keyStart } = into;
    const slot = this.#keySlot(row);
    keys.keys.copy(arena, keyStart, slot * PARTITION_KEY_BYTES, (slot + 1) * PARTITION_KEY_BYTES);
    const start = keyStart + PARTITION_KEY_BYTES;
    let at = start + this.#head.copy(arena, start);
    at += arena.write(this.#eventId(row), at, EVENT_ID_BYTES, 'latin1');
    at += this.#middle.copy(arena, at);
    this.#time.write(this.#batch!.time[row]!, arena, at);
    at += MICROS_TEXT_BYTES;
    at += this.#tail.copy(arena, at);
    const writers = this.#writers;
    for (let i = 0; i < writers.length; i += 1) at = writers[i]!.write(row, arena, at);
    into.advance(at - keyStart);
    into.append(
      topic,
      keys.partitions[slot]!,
      0,
      source,
      keyStart,
      PARTITION_KEY_BYTES,
      source,
      start,
      at - start,
      source,
      0,
      0,
      0,
    );
  }

  #keySlot(row: number): number {
    const { words, signed } = this.#key!;
    return this.#options.keys.slotOf(words[2 * row]!, words[2 * row + 1]!, signed);
  }

  /** sha256 of output, world, row key and lineage, in hex: the recipe of `compileEngineEventId`. */
  #eventId(row: number): string {
    const first = this.#idFirst!;
    const second = this.#idSecond;
    const rowKey = this.#rowKey;
    let length = writeInt64(first.words[2 * row]!, first.words[2 * row + 1]!, first.signed, rowKey, 0);
    if (second !== null) {
      rowKey[length] = 0x7c;
      length = writeInt64(
        second.words[2 * row]!,
        second.words[2 * row + 1]!,
        second.signed,
        rowKey,
        length + 1,
      );
    }
    const before = this.#idBefore.length;
    const text = (this.#idTexts[length] ??= Buffer.concat([
      this.#idBefore,
      Buffer.alloc(length),
      this.#idAfter,
    ]));
    for (let i = 0; i < length; i += 1) text[before + i] = rowKey[i]!;
    return hash('sha256', text, 'hex');
  }
}

function lengthPrefix(length: number): Buffer {
  const bytes = Buffer.alloc(10);
  return bytes.subarray(0, writeLength(length, bytes, 0));
}

function avroString(text: string): Buffer {
  const bytes = Buffer.from(text);
  return Buffer.concat([lengthPrefix(bytes.length), bytes]);
}

/** The fields from manifest_fingerprint to parent_event_id: a string, then unions of null and string. */
function constantFields(envelope: ConstantEnvelope): Buffer {
  const parts = [avroString(envelope.manifest_fingerprint)];
  const first = ENVELOPE_FIELDS.indexOf('manifest_fingerprint') + 1;
  for (const field of ENVELOPE_FIELDS.slice(first, -1)) {
    const value = (envelope as Readonly<Record<string, string | null>>)[field] ?? null;
    parts.push(value === null ? Buffer.from([0]) : Buffer.concat([Buffer.from([2]), avroString(value)]));
  }
  return Buffer.concat(parts);
}

/** 64-bit columns without nulls: what row keys and partition keys are made of. */
function idColumn(batch: RowBatch, name: string, output: string): Int64Column {
  const column: Column | undefined = batch.columns.get(name);
  if (column?.kind !== 'int64') {
    const found = column === undefined ? 'absent' : column.kind;
    throw new StreamError(
      'PRIMARY_KEY_MISSING',
      `${output}: ${name} is ${found}, it must be a 64-bit integer`,
    );
  }
  if (column.validity !== null) {
    throw new StreamError('PRIMARY_KEY_MISSING', `${output}: ${name} is null in a row`);
  }
  return column;
}

interface AvroField {
  readonly name: string;
  readonly type: unknown;
}

const FIELD_TYPES: readonly unknown[] = ['string', 'long', 'int', 'double', 'boolean'] satisfies FieldType[];

/** The payload's fields; checks that everything before them is the envelope as this encoder writes it. */
function payloadFields(schema: CompiledSchema): PayloadField[] {
  const fields = recordFields(schema.json);
  const refuse = (what: string): StreamError =>
    new StreamError('SCHEMA_UNSUITABLE', `schema ${schema.id} (${schema.recordName}): ${what}`);
  if (fields?.length !== ENVELOPE_FIELDS.length) throw refuse('it is not the envelope record');
  const required = ENVELOPE_FIELDS.indexOf('manifest_fingerprint');
  for (const [index, name] of ENVELOPE_FIELDS.slice(0, -1).entries()) {
    const field = fields[index]!;
    const expected = index <= required ? '"string"' : '["null","string"]';
    if (field.name !== name || JSON.stringify(field.type) !== expected) {
      throw refuse(`field ${index} is ${field.name} ${JSON.stringify(field.type)}, not ${name} ${expected}`);
    }
  }
  const payload = recordFields(fields.at(-1)!.type);
  if (payload === null || fields.at(-1)!.name !== 'payload')
    throw refuse('its last field is not a payload record');
  return payload.map((field) => {
    const union = Array.isArray(field.type) ? (field.type as unknown[]) : null;
    const type = union === null ? field.type : union[1];
    const nullable = union !== null && union.length === 2 && union[0] === 'null';
    if (!FIELD_TYPES.includes(type) || (union !== null && !nullable)) {
      throw refuse(`payload field ${field.name} has the type ${JSON.stringify(field.type)}`);
    }
    return { name: field.name, type: type as FieldType, nullable };
  });
}

function recordFields(schema: unknown): readonly AvroField[] | null {
  if (typeof schema !== 'object' || schema === null || !('fields' in schema)) return null;
  return Array.isArray(schema.fields) ? (schema.fields as AvroField[]) : null;
}
