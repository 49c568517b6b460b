/**
 * Avro fields written from columns: one writer per payload field, compiled from the registered schema and the
 * column that is really there, and bound to a batch of rows at a time.
 */
import {
  boolAt,
  isNull,
  MICROS_TEXT_BYTES,
  MicrosWriter,
  type BoolColumn,
  type Column,
  type DictionaryColumn,
  type Float64Column,
  type Int32Column,
  type Int64Column,
  type MicrosColumn,
  type Utf8Column,
} from '../../lib/index.ts';
import {
  AMOUNT_TEXT_BYTES,
  INT64_TEXT_BYTES,
  writeAmount,
  writeInt64,
  writeInteger,
} from './decimal-text.ts';
import { StreamError } from './stream-error.ts';

/** Writes one column's value of a row and returns the position behind it. */
export interface ValueWriter {
  /** Most bytes one row of the bound batch may take. */
  readonly most: number;
  write(row: number, into: Buffer, at: number): number;
}

/** Avro types that payload fields have. */
export type FieldType = 'string' | 'long' | 'int' | 'double' | 'boolean';

const VARINT_BYTES = 10;

/** Avro's length prefix: zigzag of a non-negative number below 2^30, as a varint. */
export function writeLength(length: number, into: Uint8Array, at: number): number {
  let rest = length << 1;
  let position = at;
  while (rest > 127) {
    into[position++] = (rest & 127) | 128;
    rest >>>= 7;
  }
  into[position] = rest;
  return position + 1;
}

/** An Avro long: zigzag varint of a whole number of magnitude up to 2^52. */
function writeLong(value: number, into: Uint8Array, at: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1;
  let position = at;
  while (rest > 127) {
    const higher = Math.floor(rest / 128);
    into[position++] = (rest - higher * 128) | 128;
    rest = higher;
  }
  into[position] = rest;
  return position + 1;
}

function copyBytes(from: Uint8Array, start: number, end: number, into: Buffer, at: number): number {
  if (end - start > 64) {
    into.set(from.subarray(start, end), at);
  } else {
    for (let i = start, to = at; i < end; i += 1, to += 1) into[to] = from[i]!;
  }
  return at + end - start;
}

class Int64Text implements ValueWriter {
  readonly most = 1 + INT64_TEXT_BYTES;
  constructor(private readonly column: Int64Column) {}
  write(row: number, into: Buffer, at: number): number {
    const { words, signed } = this.column;
    // At most 20 digits: the length is one byte, written once it is known.
    const end = writeInt64(words[2 * row]!, words[2 * row + 1]!, signed, into, at + 1);
    into[at] = (end - at - 1) << 1;
    return end;
  }
}

class Int32Text implements ValueWriter {
  readonly most = 1 + INT64_TEXT_BYTES;
  constructor(private readonly column: Int32Column) {}
  write(row: number, into: Buffer, at: number): number {
    const end = writeInteger(this.column.values[row]!, into, at + 1);
    into[at] = (end - at - 1) << 1;
    return end;
  }
}

class AmountText implements ValueWriter {
  readonly most = 1 + AMOUNT_TEXT_BYTES;
  constructor(private readonly column: Float64Column) {}
  write(row: number, into: Buffer, at: number): number {
    const end = writeAmount(this.column.values[row]!, into, at + 1);
    into[at] = (end - at - 1) << 1;
    return end;
  }
}

class MicrosText implements ValueWriter {
  readonly most = 1 + MICROS_TEXT_BYTES;
  readonly #writer = new MicrosWriter();
  constructor(private readonly column: MicrosColumn) {}
  write(row: number, into: Buffer, at: number): number {
    into[at] = MICROS_TEXT_BYTES << 1;
    this.#writer.write(this.column.values[row]!, into, at + 1);
    return at + 1 + MICROS_TEXT_BYTES;
  }
}

class Utf8Text implements ValueWriter {
  readonly most: number;
  constructor(
    private readonly column: Utf8Column,
    rows: number,
  ) {
    const { offsets } = column;
    let longest = 0;
    for (let row = 0; row < rows; row += 1) longest = Math.max(longest, offsets[row + 1]! - offsets[row]!);
    this.most = VARINT_BYTES + longest;
  }
  write(row: number, into: Buffer, at: number): number {
    const { bytes, offsets } = this.column;
    const start = offsets[row]!;
    const end = offsets[row + 1]!;
    return copyBytes(bytes, start, end, into, writeLength(end - start, into, at));
  }
}

class DictionaryText implements ValueWriter {
  readonly most: number;
  constructor(private readonly column: DictionaryColumn) {
    this.most = VARINT_BYTES + column.entries.reduce((longest, entry) => Math.max(longest, entry.length), 0);
  }
  write(row: number, into: Buffer, at: number): number {
    const entry = this.column.entries[this.column.indices[row]!]!;
    return copyBytes(entry, 0, entry.length, into, writeLength(entry.length, into, at));
  }
}

class Int64Long implements ValueWriter {
  readonly most = VARINT_BYTES;
  constructor(
    private readonly column: Int64Column,
    private readonly name: string,
  ) {}
  write(row: number, into: Buffer, at: number): number {
    const { words, signed } = this.column;
    const high = signed ? words[2 * row + 1]! : words[2 * row + 1]! >>> 0;
    const value = high * 0x1_0000_0000 + (words[2 * row]! >>> 0);
    if (high >= 0x10_0000 || high < -0x10_0000) {
      throw new StreamError('SCHEMA_UNSUITABLE', `${this.name} is ${value}: counters stay below 2^52`);
    }
    return writeLong(value, into, at);
  }
}

class Int32Long implements ValueWriter {
  readonly most = VARINT_BYTES;
  constructor(private readonly column: Int32Column) {}
  write(row: number, into: Buffer, at: number): number {
    return writeLong(this.column.values[row]!, into, at);
  }
}

class Double implements ValueWriter {
  readonly most = 8;
  constructor(private readonly column: Float64Column) {}
  write(row: number, into: Buffer, at: number): number {
    return into.writeDoubleLE(this.column.values[row]!, at);
  }
}

class Bool implements ValueWriter {
  readonly most = 1;
  constructor(private readonly column: BoolColumn) {}
  write(row: number, into: Buffer, at: number): number {
    into[at] = boolAt(this.column, row) ? 1 : 0;
    return at + 1;
  }
}

/** A field that must have a value. */
class Required implements ValueWriter {
  readonly most: number;
  constructor(
    private readonly column: Column,
    private readonly value: ValueWriter,
    private readonly name: string,
  ) {
    this.most = value.most;
  }
  write(row: number, into: Buffer, at: number): number {
    if (isNull(this.column, row)) {
      throw new StreamError(
        'STREAM_VIEW_PAYLOAD_MISSING',
        `${this.name} is null in a row, the schema requires it`,
      );
    }
    return this.value.write(row, into, at);
  }
}

/** A union of null (branch 0) and one type (branch 1). */
class Optional implements ValueWriter {
  readonly most: number;
  constructor(
    private readonly column: Column,
    private readonly value: ValueWriter,
  ) {
    this.most = 1 + value.most;
  }
  write(row: number, into: Buffer, at: number): number {
    if (isNull(this.column, row)) {
      into[at] = 0;
      return at + 1;
    }
    into[at] = 2;
    return this.value.write(row, into, at + 1);
  }
}

const NULL_BRANCH: ValueWriter = {
  most: 1,
  write(_row, into, at) {
    into[at] = 0;
    return at + 1;
  },
};

export interface PayloadField {
  readonly name: string;
  readonly type: FieldType;
  /** The schema is `["null", type]`. */
  readonly nullable: boolean;
}

/**
 * The writer of a field from the column of that name in a batch. Throws StreamError: STREAM_VIEW_PAYLOAD_MISSING when a
 * required field has no column, SCHEMA_UNSUITABLE when the column cannot become the field's type.
 */
export function fieldWriter(field: PayloadField, column: Column | undefined, rows: number): ValueWriter {
  if (column === undefined) {
    if (field.nullable) return NULL_BRANCH;
    throw new StreamError('STREAM_VIEW_PAYLOAD_MISSING', `the view has no column ${field.name}`);
  }
  const value = valueWriter(field, column, rows);
  if (field.nullable) return new Optional(column, value);
  return column.validity === null ? value : new Required(column, value, field.name);
}

function valueWriter(field: PayloadField, column: Column, rows: number): ValueWriter {
  switch (field.type) {
    case 'string':
      if (column.kind === 'utf8') return new Utf8Text(column, rows);
      if (column.kind === 'dictionary') return new DictionaryText(column);
      if (column.kind === 'int64') return new Int64Text(column);
      if (column.kind === 'int32') return new Int32Text(column);
      if (column.kind === 'micros') return new MicrosText(column);
      // The only doubles among the text fields are amounts.
      if (column.kind === 'float64') return new AmountText(column);
      break;
    case 'long':
    case 'int':
      if (column.kind === 'int64') return new Int64Long(column, field.name);
      if (column.kind === 'int32') return new Int32Long(column);
      break;
    case 'double':
      if (column.kind === 'float64') return new Double(column);
      break;
    case 'boolean':
      if (column.kind === 'bool') return new Bool(column);
      break;
  }
  throw new StreamError(
    'SCHEMA_UNSUITABLE',
    `column ${field.name} is ${column.kind}, which cannot be written as Avro ${field.type}`,
  );
}
