/**
 * Consumer lag as people mean it: records still to read.
 *
 * Offsets are not records. A transaction's commit marker takes an offset, so over transactional topics a group that has
 * read everything still stands one short of the log end, on every partition, for ever. So a small gap between the
 * committed offset and the end is looked into, and its records are counted; a large one is taken as it is, because a
 * few markers do not matter there. The first record behind the committed offset also gives the lag in seconds.
 */
import type { Consumer, TopicPartition, TopicPartitionOffset, Watermarks } from '../kafka/client.ts';
import { RecordBatch } from '../kafka/record-batch.ts';

/** Offsets up to which a gap is read to count its records. */
export const COUNTED_GAP = 256;

export interface PartitionLag extends TopicPartition {
  /** First offset still in the log. */
  readonly low: number;
  /** The last stable offset: what a read_committed consumer can reach. */
  readonly end: number;
  /** Exclusive; null when the group has no commit for the partition. */
  readonly committed: number | null;
  /** Records still to read; null without a commit. Exact up to COUNTED_GAP offsets, else the gap in offsets. */
  readonly lag: number | null;
  /** Epoch milliseconds of the first record still to read; null when there is none, or it could not be read in time. */
  readonly oldestUnread: number | null;
}

interface Finding {
  readonly records: number;
  readonly oldest: number | null;
}

const MOST_FINDINGS = 4096;

/**
 * Measures lag with a consumer of its own, which belongs to no group and commits nothing: configured with
 * `isolation.level` read_committed and `enable.partition.eof`.
 */
export class ConsumerLag {
  readonly #consumer: Consumer;
  readonly #records = new RecordBatch({ maxRecords: 1024, slabBytes: 1024 * 1024 });
  /** What was found between an offset and an end: neither changes, so neither does the answer. */
  readonly #findings = new Map<string, Finding>();

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  /** Log start and last stable offset. Rejects when the cluster does not answer in time. */
  ends(partitions: readonly TopicPartition[], timeoutMs: number): Promise<Watermarks[]> {
    return this.#consumer.watermarks(partitions, 'read_committed', timeoutMs);
  }

  /**
   * Lag of one group, or of several at once. `offsets` come from before the call that gave `ends`, or a commit may
   * seem to lie beyond its end; lag is never negative. What cannot be read within `budgetMs` is reported as offsets.
   */
  async measure(
    offsets: readonly (TopicPartition & { readonly committed: number | null })[],
    ends: readonly Watermarks[],
    budgetMs: number,
  ): Promise<PartitionLag[]> {
    const endOf = new Map(ends.map((each) => [keyOf(each), each]));
    const known = offsets.filter((each) => endOf.has(keyOf(each)));
    await this.#look(
      known.flatMap((each) => {
        const { high, low } = endOf.get(keyOf(each))!;
        return each.committed === null || each.committed >= high
          ? []
          : [
              {
                topic: each.topic,
                partition: each.partition,
                offset: Math.max(each.committed, low),
                end: high,
              },
            ];
      }),
      budgetMs,
    );
    return known.map(({ topic, partition, committed }) => {
      const { low, high } = endOf.get(keyOf({ topic, partition }))!;
      const place = { topic, partition, low, end: high, committed };
      if (committed === null) return { ...place, lag: null, oldestUnread: null };
      // Read at different moments, the commit may be newer than the end.
      if (committed >= high) return { ...place, lag: 0, oldestUnread: null };
      const from = Math.max(committed, low);
      const found = this.#findings.get(findingKey(topic, partition, from, high));
      const counted = found !== undefined && high - from <= COUNTED_GAP;
      return { ...place, lag: counted ? found.records : high - from, oldestUnread: found?.oldest ?? null };
    });
  }

  async #look(
    gaps: readonly (TopicPartitionOffset & { readonly end: number })[],
    budgetMs: number,
  ): Promise<void> {
    const deadline = performance.now() + budgetMs;
    // Two groups may stand at different offsets of one partition; the consumer reads one place at a time.
    let left = gaps.filter(
      (gap) => !this.#findings.has(findingKey(gap.topic, gap.partition, gap.offset, gap.end)),
    );
    while (left.length > 0 && performance.now() < deadline) {
      const round = new Map<string, TopicPartitionOffset & { readonly end: number }>();
      for (const gap of left) if (!round.has(keyOf(gap))) round.set(keyOf(gap), gap);
      left = left.filter((gap) => round.get(keyOf(gap)) !== gap);
      await this.#read(round, deadline);
    }
    this.#consumer.assign([]);
  }

  async #read(
    gaps: Map<string, TopicPartitionOffset & { readonly end: number }>,
    deadline: number,
  ): Promise<void> {
    const counting = new Map(
      [...gaps].map(([key, gap]) => [key, { gap, records: 0, oldest: null as number | null }]),
    );
    this.#consumer.assign(
      [...gaps.values()].map(({ topic, partition, offset }) => ({ topic, partition, offset })),
    );
    const settle = (key: string): void => {
      const found = counting.get(key);
      if (found === undefined) return;
      counting.delete(key);
      this.#remember(found.gap, { records: found.records, oldest: found.oldest });
    };
    while (counting.size > 0 && performance.now() < deadline) {
      const count = this.#consumer.poll(this.#records);
      for (let i = 0; i < count; i += 1) {
        const key = `${this.#consumer.topicName(this.#records.topic[i]!)}/${String(this.#records.partition[i]!)}`;
        const found = counting.get(key);
        if (found === undefined) continue;
        const { gap } = found;
        if (this.#records.offset[i]! >= gap.end) {
          settle(key);
          continue;
        }
        found.oldest ??= this.#records.timestamp[i]!;
        found.records += 1;
        // Of a large gap only its first record is wanted; of a small one, the last one that can be there ends it.
        if (gap.end - gap.offset > COUNTED_GAP || this.#records.offset[i]! === gap.end - 1) settle(key);
      }
      for (const event of this.#consumer.takeEvents()) {
        if (event.type === 'end') settle(keyOf(event));
      }
      if (count === 0 && counting.size > 0)
        await this.#consumer.wait(Math.max(1, deadline - performance.now()));
    }
  }

  #remember(gap: TopicPartitionOffset & { readonly end: number }, finding: Finding): void {
    if (this.#findings.size >= MOST_FINDINGS) this.#findings.clear();
    this.#findings.set(findingKey(gap.topic, gap.partition, gap.offset, gap.end), finding);
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${String(partition)}`;
}

function findingKey(topic: string, partition: number, from: number, end: number): string {
  return `${topic}/${String(partition)} ${String(from)} ${String(end)}`;
}
