/** An instance's counters for Prometheus, read at each scrape so that the hot path pays nothing for them. */
import { Counter } from 'prom-client';
import type { Metrics } from '../telemetry/metrics.ts';
import type { InstanceState } from './streams-app.ts';
import type { StreamsMetrics } from './streams-metrics.ts';

type Count = {
  [K in keyof StreamsMetrics]: StreamsMetrics[K] extends number ? K : never;
}[keyof StreamsMetrics];

const COUNTERS: readonly (readonly [field: Count, name: string, help: string])[] = [
  ['recordsPolled', 'streams_records_polled_total', 'Records that the consumer delivered'],
  ['recordsProcessed', 'streams_records_processed_total', 'Records that went through the operators'],
  ['recordsSkipped', 'streams_records_skipped_total', 'Unreadable records that a skip policy dropped'],
  ['deserializationErrors', 'streams_deserialization_errors_total', 'Records whose bytes could not be read'],
  [
    'recordsRewound',
    'streams_records_rewound_total',
    'Records delivered to no running task, read again later',
  ],
  [
    'recordsProduced',
    'streams_records_produced_total',
    'Output and changelog records handed to the producer',
  ],
  [
    'bytesProduced',
    'streams_bytes_produced_total',
    'Bytes of keys, values and headers handed to the producer',
  ],
  ['commits', 'streams_commits_total', 'Transactions committed'],
  ['aborts', 'streams_aborts_total', 'Transactions aborted'],
  ['rebalances', 'streams_rebalances_total', 'Offers of partitions by the group'],
  ['recordsRestored', 'streams_records_restored_total', 'Changelog records read to restore stores'],
];

/** What can be exposed: a StreamsApp. */
export interface ExposedInstance {
  readonly metrics: StreamsMetrics;
  readonly state: InstanceState;
}

/** Registers the counters of an instance; `streams_commit_seconds_total` over `streams_commits_total` is a commit's mean. */
export function exposeInstance(metrics: Metrics, instance: ExposedInstance): void {
  const count = (name: string, help: string, read: () => number): void => {
    new Counter({
      name,
      help,
      registers: [metrics.registry],
      collect() {
        this.reset();
        this.inc(read());
      },
    });
  };
  for (const [field, name, help] of COUNTERS) count(name, help, () => instance.metrics[field]);
  count(
    'streams_commit_seconds_total',
    'Seconds from seal to apply of all commits',
    () => instance.metrics.commitMs / 1000,
  );
  new Counter({
    name: 'streams_records_dropped_total',
    help: 'Records that an operator left out, by reason',
    labelNames: ['reason'],
    registers: [metrics.registry],
    collect() {
      this.reset();
      for (const [reason, dropped] of Object.entries(instance.metrics.dropped)) this.inc({ reason }, dropped);
    },
  });
  metrics.gauge('streams_instance_running', '1 while the instance is RUNNING', [], (gauge) => {
    gauge.set(instance.state === 'RUNNING' ? 1 : 0);
  });
}
