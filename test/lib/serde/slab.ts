/** Puts bytes into the middle of a larger buffer, as a polled batch does, with a neighbour's bytes behind. */
import { OutgoingBatch } from '../../../lib/kafka/outgoing-batch.ts';
import { Bytes, type Placement } from '../../../lib/serde/serde.ts';

export function inSlab(content: Buffer, neighbour: Buffer = content): Bytes {
  const before = Buffer.from([0xfe, 0xed, 0xfa]);
  return new Bytes(Buffer.concat([before, content, neighbour]), before.length, content.length);
}

/** What an encoder wrote into a batch. */
export function placed(
  write: (batch: OutgoingBatch, placement: Placement) => void,
  batch = new OutgoingBatch(),
): Bytes {
  const placement: Placement = { source: -1, start: -1, length: -1 };
  write(batch, placement);
  const source = batch.sources[placement.source];
  if (source === undefined)
    throw new Error(`placed in source ${placement.source}, which the batch does not have`);
  return new Bytes(source, placement.start, placement.length);
}
