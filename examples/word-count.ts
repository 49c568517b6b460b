/** Counts the words of lines, per word: a stream regrouped by a new key becomes a table of counts. */
import { countSerde, nullable, StreamBuilder, stringSerde, type Topology } from '../lib/index.ts';

export function wordCount(): Topology {
  const builder = new StreamBuilder({ requireNames: true });
  builder
    .stream('lines', { value: stringSerde })
    .flatMapValues((line) => line.toLowerCase().match(/[\p{L}']+/gu) ?? [])
    .groupBy((word) => word, { key: stringSerde, value: stringSerde })
    .count({ name: 'counts' })
    .toStream()
    .to('word-counts', { key: stringSerde, value: nullable(countSerde) });
  return builder.build();
}
