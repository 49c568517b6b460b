/**
 * Reads groups, offsets and log ends once a second, whoever is looking, so that a page opened late has a history and
 * ten pages cost no more than one.
 */
import {
  LagHistory,
  type ConsumerLag,
  type LagStatus,
  type Logger,
  type PartitionLag,
  type TopicPartition,
} from '../../lib/index.ts';
import type { GroupDetail, PartitionView, Snapshot, TopicView } from './snapshot.ts';

export interface GroupMember {
  readonly memberId: string;
  readonly clientId: string;
  readonly host: string;
  readonly partitions: readonly TopicPartition[];
}

export interface GroupState {
  readonly group: string;
  readonly state: string;
  readonly members: readonly GroupMember[];
  /** Committed offsets; partitions without a commit are absent. */
  readonly committed: readonly (TopicPartition & { readonly offset: number })[];
}

/** What the sampler asks of the cluster. */
export interface ClusterSource {
  groups(): Promise<readonly GroupState[]>;
  /** All topics that are to be shown, with their partition counts. */
  topics(): Promise<ReadonlyMap<string, number>>;
}

export interface ClusterSamplerOptions {
  readonly source: ClusterSource;
  readonly lag: Pick<ConsumerLag, 'ends' | 'measure'>;
  readonly bootstrapServers: string;
  readonly logger: Logger;
  /** Milliseconds between readings. Default 1,000. */
  readonly intervalMs?: number;
  /** Wall clock, epoch milliseconds; for tests. */
  readonly now?: () => number;
}

/** Readings kept for the page's trends: two minutes. */
const HISTORY = 120;
const TIMEOUT_MS = 3_000;
/** Of each reading, the time spent on looking into small gaps. */
const LOOK_MS = 300;
/** A group or topic that is gone is forgotten after this many readings. */
const FORGET_AFTER = 60;

/** Statuses from the most to the least urgent: a group shows its worst partition's. */
const URGENCY: readonly LagStatus[] = [
  'stalled',
  'rewound',
  'falling-behind',
  'draining',
  'no-commit',
  'caught-up',
];

interface Series {
  readonly values: number[];
  seen: number;
}

export class ClusterSampler {
  readonly #options: ClusterSamplerOptions;
  readonly #now: () => number;
  readonly #trends = new Map<string, { readonly history: LagHistory; seen: number }>();
  readonly #ends = new Map<string, { readonly history: LagHistory; seen: number }>();
  readonly #groupLag = new Map<string, Series>();
  readonly #topicRate = new Map<string, Series>();
  #snapshot: Snapshot | undefined;
  #problem: string | undefined = 'no reading yet';
  #reading = 0;

  constructor(options: ClusterSamplerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** The latest reading; undefined before the first. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Why the latest attempt failed; undefined when it did not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { intervalMs = 1_000, logger } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const began = performance.now();
      try {
        await this.sample();
        failures = 0;
      } catch (error) {
        this.#problem = error instanceof Error ? error.message : String(error);
        if (failures % 30 === 0)
          logger.warn({ reason: this.#problem }, 'the cluster did not answer: trying again');
        failures += 1;
      }
      const rest = intervalMs - (performance.now() - began);
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, Math.max(50, rest));
        signal.addEventListener('abort', done);
        if (signal.aborted) done();
      });
    }
  }

  /** Takes one reading. Offsets are read before log ends, so that a lag is never too small by more than has come since. */
  async sample(): Promise<Snapshot> {
    const [groups, topics] = await Promise.all([
      this.#options.source.groups(),
      this.#options.source.topics(),
    ]);
    const partitions = [...topics].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => ({ topic, partition })),
    );
    const ends = partitions.length === 0 ? [] : await this.#options.lag.ends(partitions, TIMEOUT_MS);
    const at = this.#now();
    this.#reading += 1;
    const offsets = groups.map((group) => offsetsOf(group, topics));
    const measured = await this.#options.lag.measure(offsets.flat(), ends, LOOK_MS);
    let from = 0;
    const views = groups.map((group, index) => {
      const lags = measured.slice(from, from + offsets[index]!.length);
      from += offsets[index]!.length;
      return this.#group(group, lags, at);
    });
    this.#snapshot = {
      at,
      bootstrapServers: this.#options.bootstrapServers,
      groups: views.sort((a, b) => (a.group < b.group ? -1 : 1)),
      topics: [...topics.keys()].sort().map((topic) =>
        this.#topic(
          topic,
          ends.filter((end) => end.topic === topic),
          at,
        ),
      ),
    };
    this.#forget();
    this.#problem = undefined;
    return this.#snapshot;
  }

  #group(group: GroupState, lags: readonly PartitionLag[], at: number): GroupDetail {
    const owner = new Map<string, GroupMember>();
    for (const member of group.members) for (const each of member.partitions) owner.set(keyOf(each), member);
    const partitions = lags.map((lag): PartitionView => {
      const trend = entry(this.#trends, `${group.group} ${keyOf(lag)}`, () => ({
        history: new LagHistory(),
        seen: 0,
      }));
      trend.seen = this.#reading;
      trend.history.add({ at, end: lag.end, committed: lag.committed, lag: lag.lag });
      const member = owner.get(keyOf(lag));
      return {
        topic: lag.topic,
        partition: lag.partition,
        low: lag.low,
        end: lag.end,
        committed: lag.committed,
        lag: lag.lag,
        lagSeconds:
          lag.lag === 0 ? 0 : lag.oldestUnread === null ? null : Math.max(0, (at - lag.oldestUnread) / 1000),
        ...trend.history.trend,
        member:
          member === undefined
            ? null
            : { memberId: member.memberId, clientId: member.clientId, host: member.host },
      };
    });
    const counted = partitions.filter((each) => each.lag !== null);
    const lag = counted.reduce((sum, each) => sum + each.lag!, 0);
    const ages = counted.map((each) => each.lagSeconds).filter((each) => each !== null);
    const behind = counted.filter((each) => each.lag! > 0);
    const etas = behind.map((each) => each.etaSeconds);
    return {
      group: group.group,
      state: group.state,
      members: group.members.length,
      lag,
      lagSeconds: ages.length === 0 ? null : Math.max(...ages),
      status: worst(counted.length === 0 ? partitions : counted),
      produceRate: sum(partitions, (each) => each.produceRate),
      drainRate: sum(partitions, (each) => each.drainRate),
      etaSeconds: etas.length === 0 ? 0 : etas.includes(null) ? null : Math.max(...etas.map(Number)),
      partitionCount: partitions.length,
      uncommittedPartitions: partitions.length - counted.length,
      history: this.#record(this.#groupLag, group.group, lag),
      partitions,
    };
  }

  #topic(
    topic: string,
    ends: readonly { readonly partition: number; readonly low: number; readonly high: number }[],
    at: number,
  ): TopicView {
    const partitions = ends.map(({ partition, low, high }) => {
      const series = entry(this.#ends, `${topic}/${String(partition)}`, () => ({
        history: new LagHistory({ windowMs: 5_000 }),
        seen: 0,
      }));
      series.seen = this.#reading;
      series.history.add({ at, end: high, committed: null, lag: null });
      return { partition, low, end: high, rate: series.history.trend.produceRate };
    });
    const rate = sum(partitions, (each) => each.rate);
    return {
      topic,
      partitions,
      rate,
      offsets: sum(partitions, (each) => each.end - each.low),
      history: this.#record(this.#topicRate, topic, Math.round(rate)),
    };
  }

  #record(into: Map<string, Series>, key: string, value: number): readonly number[] {
    const series = entry(into, key, () => ({ values: [], seen: 0 }));
    series.seen = this.#reading;
    series.values.push(value);
    if (series.values.length > HISTORY) series.values.shift();
    return [...series.values];
  }

  #forget(): void {
    for (const map of [this.#trends, this.#ends, this.#groupLag, this.#topicRate]) {
      for (const [key, { seen }] of map) if (seen < this.#reading - FORGET_AFTER) map.delete(key);
    }
  }
}

/** The partitions a group is about: those it has committed or holds, on topics that are shown. */
function offsetsOf(
  group: GroupState,
  topics: ReadonlyMap<string, number>,
): (TopicPartition & { readonly committed: number | null })[] {
  const offsets = new Map<string, TopicPartition & { readonly committed: number | null }>();
  for (const member of group.members) {
    for (const { topic, partition } of member.partitions)
      offsets.set(keyOf({ topic, partition }), { topic, partition, committed: null });
  }
  for (const { topic, partition, offset } of group.committed) {
    offsets.set(keyOf({ topic, partition }), { topic, partition, committed: offset });
  }
  return [...offsets.values()]
    .filter(({ topic, partition }) => partition < (topics.get(topic) ?? 0))
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1));
}

function worst(partitions: readonly PartitionView[]): LagStatus {
  return URGENCY.find((status) => partitions.some((each) => each.status === status)) ?? 'no-commit';
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${String(partition)}`;
}

function entry<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}
