/** The platform's topics read back whole, decoded from the registry alone: the independent side of every proof. */
import { readTopic } from '../../apps/ingestion-gate/index.ts';
import type { Envelope, Outcome, Settings } from '../../apps/rails/index.ts';
import {
  avroAnyReader,
  Bytes,
  HeaderBlock,
  partitionOf,
  SchemaRegistry,
  type RecordBatch,
} from '../../lib/index.ts';

export interface LoggedRecord<Value> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Epoch milliseconds, as the record carries it. */
  readonly timestamp: number;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string | null>>;
  readonly value: Value;
}

/** Every committed record of the three bus topics, in offset order per partition. */
export async function readBus(settings: Settings): Promise<LoggedRecord<Envelope>[]> {
  const { traffic, control, audit } = settings.topics;
  const logs = [];
  for (const topic of [traffic, control, audit]) logs.push(await readDecoded<Envelope>(settings, topic));
  return logs.flat();
}

export function readOutcomes(settings: Settings): Promise<LoggedRecord<Outcome>[]> {
  return readDecoded<Outcome>(settings, settings.topics.outcomes);
}

export async function readDecoded<Value>(settings: Settings, topic: string): Promise<LoggedRecord<Value>[]> {
  const reader = avroAnyReader(new SchemaRegistry({ url: settings.schemaRegistry.url }));
  const value = new Bytes();
  const records: LoggedRecord<Value>[] = [];
  await readTopic({ bootstrapServers: settings.kafka.bootstrapServers, topic }, (batch, i) => {
    value.buffer = batch.data;
    value.start = batch.valueStart[i]!;
    value.length = batch.valueLength[i]!;
    // First, because it may have to wait for a schema and be called again.
    const decoded = reader.schemaOf(value).decode(value) as Value;
    records.push({
      topic,
      partition: batch.partition[i]!,
      offset: batch.offset[i]!,
      timestamp: batch.timestamp[i]!,
      key: textOf(batch, batch.keyStart[i]!, batch.keyLength[i]!),
      headers: headersOf(batch, i),
      value: decoded,
    });
    return true;
  });
  return records;
}

function textOf(batch: RecordBatch, start: number, length: number): string | null {
  return length < 0 ? null : batch.data.toString('utf8', start, start + length);
}

function headersOf(batch: RecordBatch, i: number): Record<string, string | null> {
  const block = new HeaderBlock();
  block.buffer = batch.data;
  block.start = batch.headersStart[i]!;
  block.length = batch.headersLength[i]!;
  block.count = batch.headersCount[i]!;
  return Object.fromEntries([...block].map(([name, value]) => [name, value?.toString('utf8') ?? null]));
}

/** The partition that Java's default partitioner gives a key. */
export function partitionOfKey(key: string, partitions: number): number {
  const bytes = Buffer.from(key);
  return partitionOf(bytes, 0, bytes.length, partitions);
}
