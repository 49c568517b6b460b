/**
 * Arrow IPC files as batches of columns, read one record batch at a time: a part may be larger than memory.
 *
 * Every column keeps its batch's own memory: nothing is copied but the time column, which becomes a Float64Array
 * of microseconds, checked to be sorted. Row proxies are never made.
 */
import type { FileHandle } from 'node:fs/promises';
import {
  DataType,
  RecordBatchReader,
  TimeUnit,
  type AsyncRecordBatchFileReader,
  type Data,
  type RecordBatch,
  type Vector,
} from 'apache-arrow';

import type { Column, DictionaryColumn, Int32Column, RowBatch, Utf8Column } from './columns.ts';
import { MicrosReader } from './event-time.ts';
import { ReplayError } from './replay-error.ts';

/** The bytes of a part, wherever they lie. */
export interface PartBytes {
  readonly size: number;
  /**
   * Copies the bytes from `position` on into `target`, all of it. Never asked for bytes beyond `size`. What it
   * rejects with ends the reading.
   */
  read(target: Uint8Array, position: number): Promise<void>;
}

export interface ArrowPartOptions {
  /** Name for errors, such as the object's key. */
  readonly name: string;
  /** The column of event time: Arrow timestamp (ms, us) or `…T….ffffffZ` text. */
  readonly timeColumn: string;
  /** The last time of what came before, in microseconds: the part must not begin earlier. */
  readonly notBefore?: number;
}

/** A part that is in memory as a whole. */
export function residentPart(part: Uint8Array): PartBytes {
  return {
    size: part.length,
    read: (target, position) => {
      target.set(part.subarray(position, position + target.length));
      return Promise.resolve();
    },
  };
}

/**
 * Reads a part batch by batch, in file order; between two batches nothing of the part is held here. Throws
 * ReplayError, or what `part.read` rejects with.
 */
export async function* readArrowPart(
  part: PartBytes,
  options: ArrowPartOptions,
): AsyncGenerator<RowBatch, void, undefined> {
  let last = options.notBefore ?? -Infinity;
  for await (const batch of recordBatches(part, options.name)) {
    const columns = new Map<string, Column>();
    for (const [index, field] of batch.schema.fields.entries()) {
      const column = columnOf(batch.data.children[index]!, field.name, options.name);
      if (column !== null) columns.set(field.name, column);
    }
    const time = timeOf(columns, batch.numRows, options);
    for (let row = 0; row < time.length; row += 1) {
      if (!(time[row]! >= last)) {
        throw new ReplayError(
          'NOT_SORTED',
          `${options.name}: row ${row} of a batch has ${options.timeColumn} ${time[row]!} after ${last}; sort the part by ${options.timeColumn}`,
        );
      }
      last = time[row]!;
    }
    yield { rows: batch.numRows, time, columns };
  }
}

async function* recordBatches(part: PartBytes, name: string): AsyncGenerator<RecordBatch, void, undefined> {
  let failure: { readonly cause: unknown } | null = null;
  const handle = {
    fd: -1,
    stat: () => Promise.resolve({ size: part.size }),
    read: async (buffer: Uint8Array, offset: number, length: number, position: number) => {
      try {
        await part.read(buffer.subarray(offset, offset + length), position);
      } catch (cause) {
        failure = { cause };
        throw cause;
      }
      return { bytesRead: length, buffer };
    },
    close: () => Promise.resolve(),
  };
  try {
    await checkEnds(part, handle.read);
    // The reader takes a file handle for its stat, read and close, which is all that a part has to offer.
    const source = handle as unknown as FileHandle;
    const reader = (await RecordBatchReader.from(source)) as AsyncRecordBatchFileReader;
    await reader.open();
    for await (const batch of reader) yield batch;
  } catch (error) {
    // What the part's own bytes failed with is not the part's fault: it goes through as it is.
    const { cause } = (failure as { readonly cause: unknown } | null) ?? { cause: undefined };
    if (cause !== undefined) throw cause as Error;
    if (error instanceof ReplayError) throw error;
    throw new ReplayError('PART_UNREADABLE', `${name}: ${(error as Error).message}`, { cause: error });
  }
}

const MAGIC = 'ARROW1';
/** Magic and padding before the first message; footer length and magic behind the footer. */
const HEAD_BYTES = 8;
const TAIL_BYTES = 4 + MAGIC.length;

/** The reader below trusts the footer that the last bytes point to; a file cut short has other last bytes. */
async function checkEnds(
  part: PartBytes,
  read: (buffer: Uint8Array, offset: number, length: number, position: number) => Promise<unknown>,
): Promise<void> {
  if (part.size < HEAD_BYTES + TAIL_BYTES) throw new Error(`${part.size} bytes are no Arrow IPC file`);
  const head = Buffer.alloc(HEAD_BYTES);
  const tail = Buffer.alloc(TAIL_BYTES);
  await read(head, 0, HEAD_BYTES, 0);
  await read(tail, 0, TAIL_BYTES, part.size - TAIL_BYTES);
  const complete = head.toString('latin1', 0, MAGIC.length) === MAGIC && tail.toString('latin1', 4) === MAGIC;
  if (!complete)
    throw new Error(`it does not begin and end with ${MAGIC}: no Arrow IPC file, or a part of one`);
  const footerBytes = tail.readInt32LE(0);
  if (footerBytes <= 0 || footerBytes > part.size - HEAD_BYTES - TAIL_BYTES) {
    throw new Error(`its footer cannot have ${footerBytes} of ${part.size} bytes`);
  }
}

/** Null for types that no column kind covers: they may be there, but cannot be asked for. */
function columnOf(data: Data, column: string, part: string): Column | null {
  const nullable = {
    validity: data.nullCount > 0 ? data.nullBitmap : null,
    validityOffset: data.offset,
  };
  const { type } = data;
  const values: unknown = data.values;
  if (DataType.isInt(type)) {
    if (type.bitWidth < 64) return { kind: 'int32', values: values as Int32Column['values'], ...nullable };
    return { kind: 'int64', words: words(values as BigInt64Array), signed: type.isSigned, ...nullable };
  }
  if (DataType.isFloat(type) && (values instanceof Float64Array || values instanceof Float32Array)) {
    return { kind: 'float64', values, ...nullable };
  }
  if (DataType.isBool(type)) {
    return { kind: 'bool', bits: values as Uint8Array, bitOffset: data.offset, ...nullable };
  }
  if (DataType.isUtf8(type)) {
    return {
      kind: 'utf8',
      bytes: values as Uint8Array,
      offsets: data.valueOffsets as Int32Array,
      ...nullable,
    };
  }
  if (DataType.isDictionary(type)) {
    const entries = dictionaryEntries((data as { dictionary?: Vector }).dictionary, column, part);
    return { kind: 'dictionary', indices: values as DictionaryColumn['indices'], entries, ...nullable };
  }
  if (DataType.isTimestamp(type)) {
    if (type.unit !== TimeUnit.MICROSECOND && type.unit !== TimeUnit.MILLISECOND) {
      throw new ReplayError(
        'COLUMN_UNSUPPORTED',
        `${part}: ${column} is ${type.toString()}; use micro- or milliseconds`,
      );
    }
    const scale = type.unit === TimeUnit.MICROSECOND ? 1 : 1000;
    return { kind: 'micros', values: doubles(words(values as BigInt64Array), scale), ...nullable };
  }
  return null;
}

function words(values: BigInt64Array | BigUint64Array): Int32Array {
  return new Int32Array(values.buffer, values.byteOffset, values.length * 2);
}

function doubles(from: Int32Array, scale: number): Float64Array {
  const to = new Float64Array(from.length / 2);
  for (let i = 0; i < to.length; i += 1) {
    to[i] = (from[2 * i + 1]! * 0x1_0000_0000 + (from[2 * i]! >>> 0)) * scale;
  }
  return to;
}

function dictionaryEntries(dictionary: Vector | undefined, column: string, part: string): Buffer[] {
  const entries: Buffer[] = [];
  for (const entry of (dictionary ?? []) as Iterable<unknown>) {
    if (typeof entry !== 'string') {
      throw new ReplayError(
        'COLUMN_UNSUPPORTED',
        `${part}: ${column} is a dictionary of something other than text`,
      );
    }
    entries.push(Buffer.from(entry));
  }
  return entries;
}

function timeOf(columns: ReadonlyMap<string, Column>, rows: number, options: ArrowPartOptions): Float64Array {
  const column = columns.get(options.timeColumn);
  const where = `${options.name}: ${options.timeColumn}`;
  if (column === undefined) throw new ReplayError('COLUMN_MISSING', where);
  if (column.validity !== null) throw new ReplayError('COLUMN_UNSUPPORTED', `${where} has nulls`);
  if (column.kind === 'micros') return column.values.subarray(0, rows);
  if (column.kind === 'utf8') return parsedTimes(column, rows);
  throw new ReplayError('COLUMN_UNSUPPORTED', `${where} is ${column.kind}; use a timestamp or text`);
}

function parsedTimes(column: Utf8Column, rows: number): Float64Array {
  const reader = new MicrosReader();
  const { offsets, bytes } = column;
  const times = new Float64Array(rows);
  for (let row = 0; row < times.length; row += 1) {
    times[row] = reader.read(bytes, offsets[row]!, offsets[row + 1]! - offsets[row]!);
  }
  return times;
}
