/** Confluent's wire format: a zero byte, the schema's id as int32 big endian, then the Avro body. */
import { SerdeError, type Bytes } from './serde.ts';

export const WIRE_HEADER_BYTES = 5;

/** The schema id that a value begins with. Throws SerdeError: MALFORMED, or TRUNCATED under five bytes. */
export function wireSchemaId(bytes: Bytes): number {
  const { buffer, start, length } = bytes;
  if (length < WIRE_HEADER_BYTES) {
    throw new SerdeError(`a value of ${length} bytes has no schema id (5 bytes at least)`, 'TRUNCATED');
  }
  if (buffer[start] !== 0) {
    throw new SerdeError(
      `the value begins with byte ${buffer[start]!}, not with 0: it is not in the registry's format`,
    );
  }
  const id =
    (buffer[start + 1]! << 24) | (buffer[start + 2]! << 16) | (buffer[start + 3]! << 8) | buffer[start + 4]!;
  if (id < 0) throw new SerdeError(`the schema id ${id >>> 0} is above 2147483647`);
  return id;
}

/** Writes the header at a position; five bytes must be there. */
export function writeWireHeader(buffer: Buffer, at: number, schemaId: number): void {
  buffer[at] = 0;
  buffer[at + 1] = schemaId >>> 24;
  buffer[at + 2] = schemaId >>> 16;
  buffer[at + 3] = schemaId >>> 8;
  buffer[at + 4] = schemaId;
}
