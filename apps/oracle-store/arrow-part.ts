/**
 * Parts of a stream view as Arrow IPC files: building one from DuckDB's columns, and reading one back to prove what
 * was written. Integers keep their 64 bits; text with few values is dictionary-encoded, times are plain text.
 */
import {
  Bool,
  Dictionary,
  Field,
  Float64,
  Int32,
  Int64,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  tableFromIPC,
  tableToIPC,
  Uint64,
  Utf8,
  Vector,
  vectorFromArray,
  type Data,
  DataType,
} from 'apache-arrow';
import type { DuckDBVector } from '@duckdb/node-api';
import { doubleText, MultisetDigest, NULL_TEXT, SEPARATOR } from './multiset-digest.ts';
import { OracleError } from './oracle-error.ts';

/** How a column travels: see stream-view-manifest.ts. `text` is dictionary-encoded, `time` is not. */
export type ViewColumnType = 'uint64' | 'int64' | 'double' | 'boolean' | 'text' | 'time';

export interface ViewColumn {
  readonly name: string;
  readonly type: ViewColumnType;
  /** The one value of every row (lineage); such a column is not read from the source, row by row. */
  readonly constant?: string | bigint;
}

/** Rows of one record batch. */
const BATCH_ROWS = 16_384;
/** Bytes of a micros text; other texts of a `time` column make the buffer grow. */
const TIME_BYTES = 27;

/** Collects one column of a part. */
interface ColumnBuffer {
  /** Takes `rows` values of a DuckDB vector. */
  take(vector: DuckDBVector, rows: number): void;
  /** Repeats a constant. */
  repeat(value: string | bigint, rows: number): void;
  /** The column's type and its data by batch. */
  finish(rows: number): { type: DataType; batches: Data[] };
}

/** One part in the making: typed-array columns for up to `capacity` rows. */
export class ArrowPartBuilder {
  rows = 0;
  readonly #columns: readonly ViewColumn[];
  readonly #buffers: readonly ColumnBuffer[];

  constructor(columns: readonly ViewColumn[], capacity: number) {
    this.#columns = columns;
    this.#buffers = columns.map((column, c) => createBuffer(column, c, capacity));
  }

  /** Appends the rows of one DuckDB chunk; `vector(i)` gives the i-th column that is not constant. */
  append(rows: number, vector: (index: number) => DuckDBVector): void {
    let index = 0;
    this.#columns.forEach((column, c) => {
      const buffer = this.#buffers[c]!;
      if (column.constant === undefined) buffer.take(vector(index++), rows);
      else buffer.repeat(column.constant, rows);
    });
    this.rows += rows;
  }

  /** The part's bytes; the builder must not be used afterwards. */
  toBuffer(): Buffer {
    const rows = this.rows;
    const finished = this.#buffers.map((buffer) => buffer.finish(rows));
    const schema = new Schema(
      this.#columns.map((column, c) => new Field(column.name, finished[c]!.type, true)),
    );
    const struct = new Struct(schema.fields);
    const batches = batchSizes(rows).map(
      (length, b) =>
        new RecordBatch(
          schema,
          makeData({
            type: struct,
            length,
            nullCount: 0,
            children: finished.map(({ batches }) => batches[b]!),
          }),
        ),
    );
    const bytes = tableToIPC(new Table(schema, batches), 'file');
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }
}

function batchSizes(rows: number): number[] {
  const sizes: number[] = [];
  for (let at = 0; at < rows; at += BATCH_ROWS) sizes.push(Math.min(BATCH_ROWS, rows - at));
  return sizes;
}

/** Null positions as an Arrow validity bitmap per batch; nothing is allocated while there is no null. */
class Validity {
  #nulls: Uint8Array | undefined;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  setNull(row: number): void {
    this.#nulls ??= new Uint8Array(this.#capacity);
    this.#nulls[row] = 1;
  }

  /** Bitmap and null count of rows `from` … `from + length`. */
  of(from: number, length: number): { nullBitmap: Uint8Array | null; nullCount: number } {
    const nulls = this.#nulls;
    if (nulls === undefined) return { nullBitmap: null, nullCount: 0 };
    const nullBitmap = new Uint8Array(Math.ceil(length / 8)).fill(0);
    let nullCount = 0;
    for (let i = 0; i < length; i += 1) {
      if (nulls[from + i] === 1) nullCount += 1;
      else nullBitmap[i >> 3]! |= 1 << (i & 7);
    }
    return { nullBitmap, nullCount };
  }
}

function createBuffer(column: ViewColumn, index: number, capacity: number): ColumnBuffer {
  switch (column.type) {
    case 'uint64':
      return fixedWidth(new Uint64(), new BigUint64Array(capacity));
    case 'int64':
      return fixedWidth(new Int64(), new BigInt64Array(capacity));
    case 'double':
      return fixedWidth(new Float64(), new Float64Array(capacity));
    case 'boolean':
      return booleans(capacity);
    case 'text':
      return dictionary(column.name, index, capacity);
    case 'time':
      return plainText(capacity);
  }
}

type FixedArray = BigUint64Array | BigInt64Array | Float64Array;

function fixedWidth(type: Uint64 | Int64 | Float64, values: FixedArray): ColumnBuffer {
  const validity = new Validity(values.length);
  let at = 0;
  return {
    take(vector, rows) {
      for (let i = 0; i < rows; i += 1, at += 1) {
        const value = vector.getItem(i);
        if (value === null) validity.setNull(at);
        else values[at] = value as never;
      }
    },
    repeat(value, rows) {
      values.fill(value as never, at, at + rows);
      at += rows;
    },
    finish: (rows) => ({
      type,
      batches: sliced(rows, (from, length) =>
        makeData({
          type: type as Uint64,
          length,
          ...validity.of(from, length),
          data: values.subarray(from, from + length) as BigUint64Array,
        }),
      ),
    }),
  };
}

function booleans(capacity: number): ColumnBuffer {
  const values = new Uint8Array(capacity);
  const validity = new Validity(capacity);
  let at = 0;
  return {
    take(vector, rows) {
      for (let i = 0; i < rows; i += 1, at += 1) {
        const value = vector.getItem(i);
        if (value === null) validity.setNull(at);
        else values[at] = value === true ? 1 : 0;
      }
    },
    repeat(value) {
      throw new RangeError(`a boolean column has no constant ${String(value)}`);
    },
    finish: (rows) => ({
      type: new Bool(),
      batches: sliced(rows, (from, length) => {
        const data = new Uint8Array(Math.ceil(length / 8));
        for (let i = 0; i < length; i += 1) if (values[from + i] === 1) data[i >> 3]! |= 1 << (i & 7);
        return makeData({ type: new Bool(), length, ...validity.of(from, length), data });
      }),
    }),
  };
}

function dictionary(name: string, id: number, capacity: number): ColumnBuffer {
  const codes = new Int32Array(capacity);
  const validity = new Validity(capacity);
  const known = new Map<string, number>();
  const codeOf = (text: string): number => {
    let code = known.get(text);
    if (code === undefined) {
      if (text.includes(SEPARATOR) || text.includes(NULL_TEXT)) {
        throw new OracleError(
          'STREAM_SORT_VALIDATION_FAILED',
          `${name} has a value with a control character, which row digests reserve: ${JSON.stringify(text)}`,
        );
      }
      code = known.size;
      known.set(text, code);
    }
    return code;
  };
  let at = 0;
  return {
    take(vector, rows) {
      for (let i = 0; i < rows; i += 1, at += 1) {
        const value = vector.getItem(i);
        if (value === null) validity.setNull(at);
        else codes[at] = codeOf(value as string);
      }
    },
    repeat(value, rows) {
      codes.fill(codeOf(String(value)), at, at + rows);
      at += rows;
    },
    finish(rows) {
      // An all-null column still needs a dictionary to point to.
      const values = vectorFromArray(known.size === 0 ? [''] : [...known.keys()], new Utf8());
      // The library numbers dictionaries over the life of the process; ours depend on the column, so that the same
      // rows give the same bytes.
      const type = new Dictionary(new Utf8(), new Int32(), id);
      return {
        type,
        batches: sliced(rows, (from, length) =>
          makeData({
            type,
            length,
            ...validity.of(from, length),
            data: codes.subarray(from, from + length),
            dictionary: values,
          }),
        ),
      };
    },
  };
}

function plainText(capacity: number): ColumnBuffer {
  const offsets = new Int32Array(capacity + 1);
  const validity = new Validity(capacity);
  let bytes = Buffer.allocUnsafe(capacity * TIME_BYTES);
  let at = 0;
  let used = 0;
  const add = (text: string): void => {
    if (used + text.length * 3 > bytes.length) {
      bytes = Buffer.concat([bytes.subarray(0, used)], Math.max(bytes.length * 2, used + text.length * 3));
    }
    used += bytes.write(text, used);
  };
  return {
    take(vector, rows) {
      for (let i = 0; i < rows; i += 1) {
        const value = vector.getItem(i);
        if (value === null) validity.setNull(at);
        else add(value as string);
        offsets[++at] = used;
      }
    },
    repeat(value, rows) {
      for (let i = 0; i < rows; i += 1) {
        add(String(value));
        offsets[++at] = used;
      }
    },
    finish: (rows) => ({
      type: new Utf8(),
      batches: sliced(rows, (from, length) => {
        const base = offsets[from]!;
        const valueOffsets = offsets.slice(from, from + length + 1).map((offset) => offset - base);
        const data = bytes.subarray(base, offsets[from + length]);
        return makeData({ type: new Utf8(), length, ...validity.of(from, length), valueOffsets, data });
      }),
    }),
  };
}

function sliced(rows: number, slice: (from: number, length: number) => Data): Data[] {
  return batchSizes(rows).map((length, b) => slice(b * BATCH_ROWS, length));
}

/** What reading a part back says about it. */
export interface PartProof {
  readonly rows: number;
  /** First and last value of the leading sort key, as text. */
  readonly first: string;
  readonly last: string;
}

/**
 * Reads parts in replay order, adds every row to the digest and checks that the sort keys never go backwards, across
 * parts too. Throws STREAM_SORT_VALIDATION_FAILED where they do.
 */
export class PartVerifier {
  readonly digest = new MultisetDigest();
  readonly #sortKeys: readonly string[];
  #previous: (string | number | bigint)[] | undefined;

  constructor(sortKeys: readonly string[]) {
    this.#sortKeys = sortKeys;
  }

  verify(part: Buffer): PartProof {
    const table = tableFromIPC(part);
    const names = table.schema.fields.map((field) => field.name);
    const order = names.map((name, index) => ({ name, index })).sort((a, b) => (a.name < b.name ? -1 : 1));
    let first: string | undefined;
    let last = '';
    for (const batch of table.batches) {
      const columns = order.map(({ index }) => readColumn(batch.getChildAt(index)!));
      const keys = this.#sortKeys.map((key) => batch.getChild(key)!);
      for (let row = 0; row < batch.numRows; row += 1) {
        let text = columns[0]!(row);
        for (let c = 1; c < columns.length; c += 1) text += SEPARATOR + columns[c]!(row);
        this.digest.add(text);
        const key = keys.map((column) => column.get(row) as string | number | bigint);
        if (this.#previous !== undefined && compareKeys(this.#previous, key) >= 0) {
          throw new OracleError(
            'STREAM_SORT_VALIDATION_FAILED',
            `row ${this.digest.rows} (${key.join(', ')}) does not come after (${this.#previous.join(', ')})`,
          );
        }
        this.#previous = key;
        last = String(key[0]);
        first ??= last;
      }
    }
    return { rows: table.numRows, first: first ?? '', last };
  }
}

function compareKeys(
  a: readonly (string | number | bigint)[],
  b: readonly (string | number | bigint)[],
): number {
  for (let i = 0; i < a.length; i += 1) {
    if (a[i]! < b[i]!) return -1;
    if (a[i]! > b[i]!) return 1;
  }
  return 0;
}

/** The canonical text of a column's value by row. */
function readColumn(column: Vector): (row: number) => string {
  if (DataType.isDictionary(column.type)) {
    // Decoding each distinct value once is what makes this fast.
    const texts = new Map<number, string>();
    const data = column.data[0]!;
    const codes = data.values as Int32Array;
    const values = column.data[0]!.dictionary as Vector<Utf8>;
    return (row) => {
      if (!data.getValid(row)) return NULL_TEXT;
      const code = codes[row]!;
      let text = texts.get(code);
      if (text === undefined) {
        text = values.get(code) ?? NULL_TEXT;
        texts.set(code, text);
      }
      return text;
    };
  }
  const isDouble = DataType.isFloat(column.type);
  return (row) => {
    const value = column.get(row) as string | number | bigint | boolean | null;
    if (value === null) return NULL_TEXT;
    return isDouble ? doubleText(value as number) : String(value);
  };
}
