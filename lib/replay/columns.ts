/**
 * A batch of rows as columns: typed arrays, never row objects.
 *
 * A row is a number. 64-bit integers are kept as pairs of 32-bit words, so that a hot path can turn them into
 * text or varints without allocating a BigInt.
 */

interface Nullable {
  /** Arrow's validity bitmap (bit set = not null), least significant bit first; null when no row is null. */
  readonly validity: Uint8Array | null;
  /** Position of row 0 in the bitmap, in bits. */
  readonly validityOffset: number;
}

export interface Int64Column extends Nullable {
  readonly kind: 'int64';
  /** Two words per row, low word first. */
  readonly words: Int32Array;
  readonly signed: boolean;
}
export interface Int32Column extends Nullable {
  readonly kind: 'int32';
  /** 8-, 16- and 32-bit integers alike. */
  readonly values: Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;
}
export interface Float64Column extends Nullable {
  readonly kind: 'float64';
  readonly values: Float32Array | Float64Array;
}
export interface BoolColumn extends Nullable {
  readonly kind: 'bool';
  readonly bits: Uint8Array;
  /** Position of row 0 in `bits`. */
  readonly bitOffset: number;
}
export interface Utf8Column extends Nullable {
  readonly kind: 'utf8';
  readonly bytes: Uint8Array;
  /** Row i is bytes[offsets[i] … offsets[i + 1]). */
  readonly offsets: Int32Array;
}
/** Text stored once per distinct value. */
export interface DictionaryColumn extends Nullable {
  readonly kind: 'dictionary';
  readonly indices: Int8Array | Int16Array | Int32Array | Uint8Array | Uint16Array | Uint32Array;
  readonly entries: readonly Buffer[];
}
/** A moment, in microseconds since the epoch; exact as a double until the year 2255. */
export interface MicrosColumn extends Nullable {
  readonly kind: 'micros';
  readonly values: Float64Array;
}

export type Column =
  Int64Column | Int32Column | Float64Column | BoolColumn | Utf8Column | DictionaryColumn | MicrosColumn;

export interface RowBatch {
  readonly rows: number;
  /** Event time of each row, microseconds since the epoch, never falling from row to row. */
  readonly time: Float64Array;
  /** Every column by name, the time column included. */
  readonly columns: ReadonlyMap<string, Column>;
}

export function isNull(column: Column, row: number): boolean {
  const { validity } = column;
  if (validity === null) return false;
  const bit = row + column.validityOffset;
  return (validity[bit >> 3]! & (1 << (bit & 7))) === 0;
}

/** A boolean of a bitmap column. */
export function boolAt(column: BoolColumn, row: number): boolean {
  const bit = row + column.bitOffset;
  return (column.bits[bit >> 3]! & (1 << (bit & 7))) !== 0;
}

/** A 64-bit integer as a bigint: for tests and cold paths. */
export function int64At(column: Int64Column, row: number): bigint {
  const low = BigInt(column.words[2 * row]! >>> 0);
  const high = BigInt(column.signed ? column.words[2 * row + 1]! : column.words[2 * row + 1]! >>> 0);
  return (high << 32n) | low;
}
