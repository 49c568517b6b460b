/** The console's readings as Prometheus metrics, under the names that dashboards expect (kafka_exporter's). */
import { Metrics, type LagStatus } from '../../lib/index.ts';
import type { Snapshot } from './snapshot.ts';

/** Values of `kafka_consumergroup_status`, rising with urgency. */
const STATUS_VALUE: Readonly<Record<LagStatus, number>> = {
  'caught-up': 0,
  'no-commit': 1,
  draining: 2,
  'falling-behind': 3,
  rewound: 4,
  stalled: 5,
};

const OF_PARTITION = ['consumergroup', 'topic', 'partition'] as const;

export interface LagMetrics {
  readonly contentType: string;
  /** The latest reading in Prometheus' text format; what is gone from the cluster is gone from it. */
  exposition(): Promise<string>;
}

export function lagMetrics(latest: () => Snapshot | undefined): LagMetrics {
  const metrics = new Metrics({ process: true });
  const lag = metrics.gauge(
    'kafka_consumergroup_lag',
    'Records still to read; markers of transactions are not counted',
    OF_PARTITION,
  );
  const lagSeconds = metrics.gauge(
    'kafka_consumergroup_lag_seconds',
    'Age of the oldest record still to read',
    OF_PARTITION,
  );
  const eta = metrics.gauge(
    'kafka_consumergroup_lag_eta_seconds',
    'Seconds until caught up at the present rates; +Inf for never',
    OF_PARTITION,
  );
  const drain = metrics.gauge('kafka_consumergroup_drain_rate', 'Offsets committed per second', OF_PARTITION);
  const committed = metrics.gauge('kafka_consumergroup_current_offset', 'Committed offset', OF_PARTITION);
  const status = metrics.gauge(
    'kafka_consumergroup_status',
    '0 caught up, 1 no commit, 2 draining, 3 falling behind, 4 rewound, 5 stalled',
    OF_PARTITION,
  );
  const members = metrics.gauge('kafka_consumergroup_members', 'Members of the group', [
    'consumergroup',
  ] as const);
  const sum = metrics.gauge('kafka_consumergroup_lag_sum', 'Records still to read over all partitions', [
    'consumergroup',
  ] as const);
  const end = metrics.gauge('kafka_topic_partition_current_offset', 'Last stable offset', [
    'topic',
    'partition',
  ] as const);
  const low = metrics.gauge('kafka_topic_partition_oldest_offset', 'First offset in the log', [
    'topic',
    'partition',
  ] as const);
  const rate = metrics.gauge('kafka_topic_partition_rate', 'Offsets written per second', [
    'topic',
    'partition',
  ] as const);
  const all = [lag, lagSeconds, eta, drain, committed, status, members, sum, end, low, rate];
  const readingTime = metrics.gauge(
    'kafka_lag_console_reading_timestamp_seconds',
    'When the cluster was read last',
  );
  const fill = (): void => {
    const snapshot = latest();
    for (const gauge of all) gauge.reset();
    if (snapshot === undefined) return;
    readingTime.set(snapshot.at / 1000);
    for (const group of snapshot.groups) {
      members.set({ consumergroup: group.group }, group.members);
      sum.set({ consumergroup: group.group }, group.lag);
      for (const each of group.partitions) {
        const labels = { consumergroup: group.group, topic: each.topic, partition: String(each.partition) };
        status.set(labels, STATUS_VALUE[each.status]);
        drain.set(labels, each.drainRate);
        if (each.lag === null || each.committed === null) continue;
        lag.set(labels, each.lag);
        committed.set(labels, each.committed);
        eta.set(labels, each.etaSeconds ?? Infinity);
        if (each.lagSeconds !== null) lagSeconds.set(labels, each.lagSeconds);
      }
    }
    for (const { topic, partitions } of snapshot.topics) {
      for (const each of partitions) {
        const labels = { topic, partition: String(each.partition) };
        end.set(labels, each.end);
        low.set(labels, each.low);
        rate.set(labels, each.rate);
      }
    }
  };
  return {
    contentType: metrics.contentType,
    exposition() {
      fill();
      return metrics.exposition();
    },
  };
}
