/** Readings of a small cluster: one group with lag, one caught up with a partition it never committed. */
import type { RunView } from '../../apps/lag-console/run-reconciliation.ts';
import type { GroupDetail, PartitionView, Snapshot } from '../../apps/lag-console/snapshot.ts';

function partition(topic: string, number: number, fields: Partial<PartitionView>): PartitionView {
  return {
    topic,
    partition: number,
    low: 0,
    end: 250_000 + number,
    committed: 250_000 + number,
    lag: 0,
    lagSeconds: 0,
    status: 'caught-up',
    produceRate: 0,
    drainRate: 0,
    etaSeconds: 0,
    member: { memberId: `member-${String(number)}`, clientId: 'ingestion-gate', host: '127.0.0.1' },
    ...fields,
  };
}

export function cluster(lag: number): Snapshot {
  const behind: Partial<PartitionView> =
    lag === 0
      ? {}
      : {
          committed: 250_000 - lag / 4,
          lag: lag / 4,
          lagSeconds: 2.4,
          status: 'draining',
          produceRate: 5_200,
          drainRate: 6_100,
          etaSeconds: 12,
        };
  const wave = (most: number): number[] =>
    Array.from({ length: 120 }, (_, i) => Math.round(most * (0.55 + 0.4 * Math.sin(i / 11)) * (1 - i / 160)));
  const gate: GroupDetail = {
    group: 'fp.ingestion-gate',
    state: 'Stable',
    members: 2,
    lag,
    lagSeconds: lag === 0 ? 0 : 2.4,
    status: lag === 0 ? 'caught-up' : 'draining',
    produceRate: lag === 0 ? 0 : 20_800,
    drainRate: lag === 0 ? 0 : 24_400,
    etaSeconds: lag === 0 ? 0 : 12,
    partitionCount: 4,
    uncommittedPartitions: 0,
    history: wave(4_000),
    partitions: [0, 1, 2, 3].map((each) => partition('fp.ingress.v1', each, behind)),
  };
  const ledger: GroupDetail = {
    ...gate,
    group: 'fp.receipt-ledger',
    members: 1,
    lag: 0,
    lagSeconds: 0,
    status: 'caught-up',
    produceRate: 0,
    drainRate: 0,
    etaSeconds: 0,
    partitionCount: 2,
    uncommittedPartitions: 1,
    history: wave(900),
    partitions: [
      partition('fp.bus.traffic.v1', 0, {}),
      partition('fp.bus.audit.v1', 3, {
        committed: null,
        lag: null,
        lagSeconds: null,
        status: 'no-commit',
        etaSeconds: null,
      }),
    ],
  };
  return {
    at: Date.now(),
    bootstrapServers: '127.0.0.1:9092',
    groups: [gate, ledger],
    topics: ['fp.bus.audit.v1', 'fp.bus.control.v1', 'fp.bus.traffic.v1', 'fp.ingress.v1'].map(
      (topic, i) => ({
        topic,
        partitions: [0, 1, 2, 3].map((each) => ({ partition: each, low: 0, end: 250_000, rate: i * 1_300 })),
        rate: i * 5_200,
        offsets: i * 333_333,
        history: wave(i * 5_200),
      }),
    ),
  };
}

export function run(id: string): RunView {
  const equal = id === 'platform_20260101T000000Z';
  return {
    platform_run_id: id,
    verdict: equal ? 'reconciled' : 'mismatch',
    sent: 20_000,
    admitted: equal ? 19_990 : 19_995,
    duplicate: 7,
    quarantined: 3,
    difference: equal ? 0 : -5,
    attempts: 1,
    completedAttempts: 1,
    outputs: [
      { outputId: 'arrival_events_5B', sent: 6_000, admitted: 6_000, duplicate: 0, quarantined: 0 },
      {
        outputId: 's3_event_stream_with_fraud_6B',
        sent: 14_000,
        admitted: equal ? 13_990 : 13_995,
        duplicate: 7,
        quarantined: 3,
      },
    ],
    otherReceipts: 5,
    reasons: { WRONG_PARTITION: 3 },
    bus: [0, 1, 2, 3].map((partition) => ({
      topic: 'fp.bus.traffic.v1',
      partition,
      firstOffset: 0,
      lastOffset: 5_012,
      records: 4_998,
    })),
    unreadable: 0,
  };
}
