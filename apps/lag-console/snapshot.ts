/** What the console's API answers: one consistent reading of the cluster, taken once a second for all readers. */
import type { LagStatus } from '../../lib/index.ts';

export interface PartitionView {
  readonly topic: string;
  readonly partition: number;
  readonly low: number;
  readonly end: number;
  readonly committed: number | null;
  /** Records still to read; null when the group has never committed here. */
  readonly lag: number | null;
  /** Age of the oldest record still to read; 0 when caught up, null when unknown. */
  readonly lagSeconds: number | null;
  readonly status: LagStatus;
  readonly produceRate: number;
  readonly drainRate: number;
  readonly etaSeconds: number | null;
  /** The member that has the partition; null when none has. */
  readonly member: { readonly memberId: string; readonly clientId: string; readonly host: string } | null;
}

export interface GroupView {
  readonly group: string;
  /** Kafka's state of the group: Stable, PreparingRebalance, Empty … */
  readonly state: string;
  readonly members: number;
  /** Sum over the partitions with a commit. */
  readonly lag: number;
  readonly lagSeconds: number | null;
  readonly status: LagStatus;
  readonly produceRate: number;
  readonly drainRate: number;
  /** Of the slowest partition; null when it will not catch up at present rates. */
  readonly etaSeconds: number | null;
  readonly partitionCount: number;
  readonly uncommittedPartitions: number;
  /** Lag at each of the last readings, oldest first. */
  readonly history: readonly number[];
}

export interface GroupDetail extends GroupView {
  readonly partitions: readonly PartitionView[];
}

export interface TopicView {
  readonly topic: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly low: number;
    readonly end: number;
    readonly rate: number;
  }[];
  /** Offsets per second, transaction markers included. */
  readonly rate: number;
  /** Offsets in the log, transaction markers included. */
  readonly offsets: number;
  readonly history: readonly number[];
}

export interface Snapshot {
  /** Epoch milliseconds of the reading. */
  readonly at: number;
  readonly bootstrapServers: string;
  readonly groups: readonly GroupDetail[];
  readonly topics: readonly TopicView[];
}
