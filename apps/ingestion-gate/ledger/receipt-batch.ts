/**
 * Receipts on their way to PostgreSQL: rows already in COPY format, kept apart by partition so that a partition
 * whose fence has failed can be taken out of the batch without touching the others.
 *
 * Two batches take turns: one is filled while the other is written.
 */
import { segmentOf } from '../../rails/index.ts';
import { CopyRows } from './copy-rows.ts';
import { partitionName } from './positions.ts';
import type { ReceiptKind } from './receipt-kinds.ts';

interface Tally {
  readonly kind: ReceiptKind;
  records: number;
  first: number;
  last: number;
}

export interface UnreadableRecord {
  readonly offset: number;
  readonly reason: string;
}

/** What a batch holds of one partition. */
export class PartitionSlice {
  readonly topic: string;
  readonly partition: number;
  /** The position the slice begins at, and the one it leads to. */
  start = 0;
  next = 0;
  readonly admitted = new CopyRows();
  readonly outcomes = new CopyRows(4 * 1024);
  readonly tallies = new Map<string, Tally>();
  /** Records by `<run> <segment>`. */
  readonly segments = new Map<string, { readonly run: string; readonly segment: number; records: number }>();
  readonly unreadable: UnreadableRecord[] = [];
  #lastKind: Tally | undefined;
  #lastSegment: { readonly run: string; readonly segment: number; records: number } | undefined;

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }

  get name(): string {
    return partitionName(this.topic, this.partition);
  }

  get empty(): boolean {
    return this.next === this.start;
  }

  begin(position: number): void {
    this.start = position;
    this.next = position;
    this.admitted.clear();
    this.outcomes.clear();
    this.tallies.clear();
    this.segments.clear();
    this.unreadable.length = 0;
    this.#lastKind = undefined;
    this.#lastSegment = undefined;
  }

  /** Counts a record whose row has been written. `run` is the text of its platform run, empty when it has none. */
  count(kind: ReceiptKind, run: string, offset: number): void {
    let tally = this.#lastKind;
    if (tally?.kind !== kind) {
      tally = this.tallies.get(kind.number);
      if (tally === undefined) {
        tally = { kind, records: 0, first: offset, last: offset };
        this.tallies.set(kind.number, tally);
      }
      this.#lastKind = tally;
    }
    tally.records += 1;
    tally.last = offset;

    const number = segmentOf(offset);
    let segment = this.#lastSegment;
    if (segment?.segment !== number || segment.run !== run) {
      const key = `${run} ${String(number)}`;
      segment = this.segments.get(key);
      if (segment === undefined) {
        segment = { run, segment: number, records: 0 };
        this.segments.set(key, segment);
      }
      this.#lastSegment = segment;
    }
    segment.records += 1;
  }
}

export class ReceiptBatch {
  readonly #slices = new Map<string, PartitionSlice>();
  /** Milliseconds of the monotonic clock when the first record came in. */
  startedAt = 0;

  /** The slice of a partition, begun at `position` if this is its first record in the batch. */
  slice(topic: string, partition: number, position: number): PartitionSlice {
    const name = partitionName(topic, partition);
    let slice = this.#slices.get(name);
    if (slice === undefined) {
      slice = new PartitionSlice(topic, partition);
      slice.begin(position);
      this.#slices.set(name, slice);
    } else if (slice.empty) {
      slice.begin(position);
    }
    return slice;
  }

  /** Takes a partition out, whatever it holds. */
  drop(name: string): void {
    this.#slices.get(name)?.begin(0);
  }

  clear(): void {
    for (const slice of this.#slices.values()) slice.begin(0);
  }

  /** Slices that hold something, in one order for all instances (so that row locks are taken in one order). */
  filled(): PartitionSlice[] {
    return [...this.#slices.values()]
      .filter((slice) => !slice.empty)
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  get rows(): number {
    let rows = 0;
    for (const slice of this.#slices.values()) rows += slice.admitted.rows + slice.outcomes.rows;
    return rows;
  }

  get bytes(): number {
    let bytes = 0;
    for (const slice of this.#slices.values()) bytes += slice.admitted.bytes + slice.outcomes.bytes;
    return bytes;
  }
}
