/** Counts page views per minute, one final result for each window; what comes too late has a topic of its own. */
import {
  countSerde,
  nullable,
  StreamBuilder,
  stringSerde,
  timeWindowedSerde,
  tumbling,
  type Topology,
} from '../lib/index.ts';

const MINUTE = 60_000;

export function viewsPerMinute(): Topology {
  const builder = new StreamBuilder({ requireNames: true });
  const views = builder
    .stream('page-views', { key: stringSerde, value: stringSerde })
    .groupByKey()
    .windowedBy(tumbling({ sizeMs: MINUTE, graceMs: 10_000 }))
    .count({ name: 'views' });
  views
    .suppress({ until: 'window-closes', buffer: 'unbounded', name: 'final-views' })
    .toStream()
    .to('views-per-minute', {
      key: timeWindowedSerde(stringSerde, MINUTE),
      value: nullable(countSerde),
    });
  views.late.to('late-views', { key: stringSerde, value: stringSerde });
  return builder.build();
}
