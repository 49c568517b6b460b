/** Builds small Arrow IPC parts for the replay's tests. */
import {
  makeData,
  RecordBatch,
  RecordBatchFileWriter,
  Schema,
  Field,
  Struct,
  vectorFromArray,
} from 'apache-arrow';
import type { Data, DataType, TypeMap, Vector } from 'apache-arrow';

import { readArrowPart, residentPart, type ArrowPartOptions } from '../../../lib/replay/arrow-part.ts';
import type { RowBatch } from '../../../lib/replay/columns.ts';

export type Columns = Readonly<Record<string, Vector>>;

/** One IPC file; each entry becomes one record batch. */
export function arrowPart(batches: readonly Columns[]): Buffer {
  const writer = new RecordBatchFileWriter();
  for (const columns of batches) {
    const names = Object.keys(columns);
    const fields = names.map((name) => new Field(name, columns[name]!.type as DataType, true));
    const data = makeData({
      type: new Struct<TypeMap>(fields),
      length: columns[names[0]!]!.length,
      children: names.map((name) => columns[name]!.data[0] as Data),
    });
    writer.write(new RecordBatch(new Schema(fields), data));
  }
  writer.finish();
  return Buffer.from(writer.toUint8Array(true));
}

/** Every batch of a part that is in memory. */
export async function readBatches(part: Buffer, options: ArrowPartOptions): Promise<RowBatch[]> {
  const batches: RowBatch[] = [];
  for await (const batch of readArrowPart(residentPart(part), options)) batches.push(batch);
  return batches;
}

export { vectorFromArray };
