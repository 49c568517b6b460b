/** Lists of partitions as columns, checked: the form in which they cross into the addon. */
import { KafkaError } from './kafka-error.ts';
import type { TopicPartition } from './client.ts';

interface MaybeOffset extends TopicPartition {
  readonly offset?: number;
  readonly metadata?: string;
}

export type PartitionColumns = [topics: string[], partitions: Int32Array, offsets: Float64Array];

/** Throws a KafkaError naming the first entry that is no partition or whose offset is not an integer. */
export function partitionColumns(operation: string, list: readonly MaybeOffset[]): PartitionColumns {
  const topics = new Array<string>(list.length);
  const partitions = new Int32Array(list.length);
  const offsets = new Float64Array(list.length);
  list.forEach((entry, i) => {
    const offset = entry.offset ?? 0;
    if (!Number.isInteger(entry.partition) || entry.partition < 0 || entry.partition > 0x7fffffff) {
      throw invalid(operation, `${entry.topic} [${entry.partition}] is not a partition`);
    }
    if (!Number.isSafeInteger(offset)) {
      throw invalid(operation, `${entry.topic} [${entry.partition}]: ${offset} is not an offset`);
    }
    topics[i] = entry.topic;
    partitions[i] = entry.partition;
    offsets[i] = offset;
  });
  return [topics, partitions, offsets];
}

export function metadataColumn(list: readonly MaybeOffset[]): (string | undefined)[] {
  return list.map((entry) => entry.metadata);
}

/** An error of the caller's arguments (librdkafka's `_INVALID_ARG`). */
export function invalid(operation: string, reason: string): KafkaError {
  return new KafkaError(operation, -186, '_INVALID_ARG', reason);
}

/** What every call answers once the client is closed (librdkafka's `_DESTROY`). */
export function closedError(operation: string): KafkaError {
  return new KafkaError(operation, -197, '_DESTROY', 'the client is closed');
}
