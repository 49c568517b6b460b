/** Rows of engine outputs as Arrow parts and as plain objects, and the Avro records they become, for the streamer's tests. */
import {
  Bool,
  Dictionary,
  Float64,
  Int32,
  Int64,
  Uint64,
  Utf8,
  vectorFromArray,
  type Vector,
} from 'apache-arrow';
import fc from 'fast-check';

import {
  LINEAGE_COLUMNS,
  type ColumnType,
  type OutputColumn,
  type OutputDefinition,
} from '../../../apps/rails/index.ts';
import { MicrosWriter } from '../../../lib/index.ts';

const AVRO_TYPES: Readonly<Record<ColumnType, string>> = {
  id64: 'string',
  int64: 'long',
  string: 'string',
  boolean: 'boolean',
  double: 'double',
  amount: 'string',
  micros: 'string',
};

/** The output's Avro record: the envelope, then its online columns. */
export function recordSchema(output: OutputDefinition): object {
  const optional = (name: string): object => ({ name, type: ['null', 'string'], default: null });
  return {
    type: 'record',
    name: output.output_id,
    fields: [
      ...['event_id', 'event_type', 'ts_utc', 'manifest_fingerprint'].map((name) => ({
        name,
        type: 'string',
      })),
      ...['parameter_hash', 'seed', 'scenario_id', 'run_id', 'platform_run_id', 'scenario_run_id'].map(
        optional,
      ),
      ...['schema_version', 'emitted_at_utc', 'producer', 'trace_id', 'span_id', 'parent_event_id'].map(
        optional,
      ),
      {
        name: 'payload',
        type: {
          type: 'record',
          name: `${output.output_id}_payload`,
          fields: output.columns
            .filter((column) => column.online)
            .map(({ name, type, nullable }) => ({
              name,
              type: nullable ? ['null', AVRO_TYPES[type]] : AVRO_TYPES[type],
            })),
        },
      },
    ],
  };
}

export type Row = Readonly<Record<string, string | bigint | number | boolean | null>>;

const micros = new MicrosWriter();
const SOME_TIME = 1_767_225_600_000_000;

function arbitraryValue(type: ColumnType): fc.Arbitrary<string | bigint | number | boolean> {
  switch (type) {
    case 'id64':
      return fc.oneof(
        fc.bigInt({ min: 1n, max: 18_446_744_073_709_551_615n }),
        fc.bigInt({ min: 1n, max: 99n }),
      );
    case 'int64':
      return fc.bigInt({ min: 0n, max: 1n << 51n });
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: 80 });
    case 'boolean':
      return fc.boolean();
    case 'double':
      return fc.double({ min: 0, noNaN: true });
    case 'amount':
      return fc.integer({ min: 0, max: 10_000_000_000 }).map((cents) => cents / 100);
    case 'micros':
      return fc.integer({ min: 0, max: 86_400_000_000 }).map((offset) => micros.text(SOME_TIME + offset));
  }
}

function arbitraryCell(column: OutputColumn): fc.Arbitrary<Row[string]> {
  const value = arbitraryValue(column.type);
  return column.nullable ? fc.option(value) : value;
}

/** Rows of an output in time order, lineage columns included. */
export function arbitraryRows(output: OutputDefinition): fc.Arbitrary<Row[]> {
  const cells = Object.fromEntries(output.columns.map((column) => [column.name, arbitraryCell(column)]));
  return fc
    .array(fc.record(cells), { minLength: 1, maxLength: 12 })
    .map((rows) => rows.sort((a, b) => (String(a['ts_utc']) < String(b['ts_utc']) ? -1 : 1)) as Row[]);
}

/** Columns as the stream view has them. */
export function viewColumns(output: OutputDefinition, rows: readonly Row[]): Record<string, Vector> {
  const lineage = LINEAGE_COLUMNS.map((name): [string, Vector] => [
    name,
    vectorFromArray(
      rows.map(() => `the ${name} of the row`),
      new Utf8(),
    ),
  ]);
  const own = output.columns.map(({ name, type }): [string, Vector] => {
    const cells = rows.map((row) => row[name] ?? null);
    switch (type) {
      case 'id64':
        return [name, vectorFromArray(cells as (bigint | null)[], new Uint64())];
      case 'int64':
        return [name, vectorFromArray(cells as (bigint | null)[], new Int64())];
      case 'boolean':
        return [name, vectorFromArray(cells as (boolean | null)[], new Bool())];
      case 'double':
      case 'amount':
        return [name, vectorFromArray(cells as (number | null)[], new Float64())];
      case 'micros':
        return [name, vectorFromArray(cells as (string | null)[], new Utf8())];
      case 'string':
        // A dictionary of its own per column, as Arrow wants them.
        return [name, vectorFromArray(cells as (string | null)[], new Dictionary(new Utf8(), new Int32()))];
    }
  });
  return Object.fromEntries([...lineage, ...own]);
}

/** The payload that a row must become. */
export function payloadOf(output: OutputDefinition, row: Row): Record<string, unknown> {
  return Object.fromEntries(
    output.columns
      .filter((column) => column.online)
      .map(({ name, type }) => {
        const value = row[name] ?? null;
        if (value === null) return [name, null];
        if (type === 'id64') return [name, String(value)];
        if (type === 'int64') return [name, Number(value)];
        if (type === 'amount') return [name, (value as number).toFixed(2)];
        return [name, value];
      }),
  );
}
