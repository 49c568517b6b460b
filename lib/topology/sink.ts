/** The end of a stream: serialises key, value and headers into the outgoing batch. */
import { PARTITION_BY_KEY } from '../kafka/outgoing-batch.ts';
import type { Placement, Serde } from '../serde/serde.ts';
import type { Receiver, TaskEnvironment } from './graph.ts';
import { HeaderWriter } from './headers.ts';
import type { SourceRecord, StreamRecord } from './record.ts';
import type { DynamicTopic, Produced } from './stream-options.ts';

/** What headers a written record gets: the record's own, none, or what the function adds. */
export type HeaderPolicy<K, V> =
  'forward' | 'none' | ((record: StreamRecord<K, V>, headers: HeaderWriter, source: SourceRecord) => void);

/** A dynamic sink chose a topic that it had not declared. */
export class UndeclaredTopicError extends Error {
  override readonly name = 'UndeclaredTopicError';
}

export function sinkReceiver<K, V>(
  target: string | DynamicTopic<K, V>,
  produced: Produced<K, V>,
  environment: TaskEnvironment,
  resolve: (topic: string) => string = (topic) => topic,
): Receiver {
  const { source, collector } = environment;
  const keySerde = (produced.key ?? null) as Serde<unknown> | null;
  const valueSerde = produced.value as Serde<unknown>;
  const headerPolicy = produced.headers ?? 'forward';
  const wallClock = produced.timestamp === 'wall-clock';
  const partition = produced.partition;
  const staticTopic = typeof target === 'string' ? resolve(target) : '';
  const declared = typeof target === 'string' ? null : new Set(target.topics);
  const key: Placement = { source: 0, start: 0, length: -1 };
  const value: Placement = { source: 0, start: 0, length: -1 };
  const headers: Placement = { source: 0, start: 0, length: 0 };
  const writer = new HeaderWriter();

  return {
    receive(any) {
      const record = any as StreamRecord<K, V>;
      const batch = collector.batch;
      let topic: string;
      if (typeof target === 'string') {
        topic = staticTopic;
      } else {
        topic = target.choose(record, source);
        if (!declared!.has(topic)) {
          throw new UndeclaredTopicError(
            `a sink chose topic "${topic}", which is not among its declared topics (${target.topics.join(', ')})`,
          );
        }
      }
      if (keySerde === null || record.key === null) key.length = -1;
      else keySerde.serialize(record.key, batch, key);
      if (record.value === null) value.length = -1;
      else valueSerde.serialize(record.value, batch, value);
      let headerCount = 0;
      if (headerPolicy === 'forward') {
        headerCount = record.headers.count;
        if (headerCount > 0) {
          headers.source = batch.sourceIndex(record.headers.buffer);
          headers.start = record.headers.start;
          headers.length = record.headers.length;
        }
      } else if (headerPolicy !== 'none') {
        writer.clear();
        headerPolicy(record, writer, source);
        headerCount = writer.count;
        if (headerCount > 0) writer.place(batch, headers);
      }
      batch.append(
        batch.topicIndex(topic),
        partition === undefined ? PARTITION_BY_KEY : partition(record, source),
        wallClock ? environment.wallTime() : record.timestamp,
        key.source,
        key.start,
        key.length,
        value.source,
        value.start,
        value.length,
        headers.source,
        headers.start,
        headerCount === 0 ? 0 : headers.length,
        headerCount,
      );
    },
  };
}
