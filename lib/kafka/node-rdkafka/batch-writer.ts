/** Packs node-rdkafka's message objects into a RecordBatch. */
import { HEADER_PREFIX_BYTES, type RecordBatch } from '../record-batch.ts';

export interface RdMessage {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly Readonly<Record<string, Buffer>>[];
}

/** Appends the message; false when it does not fit any more. A message larger than the slab makes an empty batch grow. */
export function appendMessage(batch: RecordBatch, message: RdMessage, topic: number): boolean {
  const { key, value } = message;
  const keyBytes = key?.length ?? 0;
  const valueBytes = value?.length ?? 0;
  const headers = (message.headers ?? []).map((header) => {
    const [name = ''] = Object.keys(header);
    return [Buffer.from(name), header[name]!] as const;
  });
  const headerBytes = headers.reduce(
    (sum, [name, content]) => sum + HEADER_PREFIX_BYTES + name.length + content.length,
    0,
  );
  const bytes = keyBytes + valueBytes + headerBytes;
  if (batch.count === batch.maxRecords) return false;
  if (batch.bytes + bytes > batch.data.length) {
    if (batch.bytes > 0 || bytes <= batch.data.length) return false;
    batch.data = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(bytes)));
  }
  const i = batch.count;
  let at = batch.bytes;
  batch.topic[i] = topic;
  batch.partition[i] = message.partition;
  batch.offset[i] = message.offset;
  batch.timestamp[i] = message.timestamp;
  batch.leaderEpoch[i] = -1;
  batch.keyStart[i] = at;
  batch.keyLength[i] = key?.length ?? -1;
  at += key?.copy(batch.data, at) ?? 0;
  batch.valueStart[i] = at;
  batch.valueLength[i] = value?.length ?? -1;
  at += value?.copy(batch.data, at) ?? 0;
  batch.headersStart[i] = at;
  batch.headersLength[i] = headerBytes;
  batch.headersCount[i] = headers.length;
  for (const [name, content] of headers) {
    at = batch.data.writeInt32LE(name.length, at);
    at = batch.data.writeInt32LE(content.length, at);
    at += name.copy(batch.data, at);
    at += content.copy(batch.data, at);
  }
  batch.bytes = at;
  batch.count = i + 1;
  return true;
}
