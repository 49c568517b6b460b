/**
 * A time-sorted source of rows, read part by part and record batch by record batch.
 *
 * Rows are taken synchronously while they are resident; the state is `waiting` when the next batch has not arrived
 * yet, and `load` waits for it. While one batch is read the next is fetched, across parts too, so two batches per
 * source are in memory, whatever the size of the source and of its parts.
 */
import { readArrowPart, type PartBytes } from './arrow-part.ts';
import type { RowBatch } from './columns.ts';
import type { SourcePosition } from './replay-cursor.ts';
import { ReplayError } from './replay-error.ts';

/** What the merge needs of a source. */
export interface TimeSource {
  readonly name: string;
  /** Order among sources with rows at the same moment: the lowest goes first. Unique within a merge. */
  readonly rank: number;
  /** The batch of the current row, valid while `state` is `row`. */
  readonly batch: RowBatch;
  /** Index of the current row in `batch`. */
  readonly row: number;
  /** Its event time, microseconds since the epoch. */
  readonly time: number;
  /** `row`: a row is current. `waiting`: `load` must be awaited. `ended`: there are no more rows. */
  readonly state: 'row' | 'waiting' | 'ended';
  /** Leaves the current row. */
  advance(): void;
  /** Fetches what the next row needs; resolves with state `row` or `ended`. */
  load(): Promise<void>;
}

export interface PartedSourceOptions {
  readonly name: string;
  readonly rank: number;
  readonly timeColumn: string;
  readonly partCount: number;
  /** Opens a part (an Arrow IPC file), 0 … partCount-1; called once per part, in order. */
  readonly openPart: (index: number) => Promise<PartBytes>;
  /** Where to begin: the position of the next row. Default the first. */
  readonly from?: SourcePosition;
}

/** A batch of the part that is being read, or null for its end. */
type Fetched = RowBatch | null;

interface BatchFetch {
  readonly fetched: Promise<Fetched>;
  /** The result, once it is there. */
  arrived: { readonly batch: Fetched } | null;
}

const NO_ROWS: RowBatch = { rows: 0, time: new Float64Array(0), columns: new Map() };

/** A source whose rows lie in Arrow IPC parts, sorted within and across parts. */
export class PartedSource implements TimeSource {
  readonly name: string;
  readonly rank: number;
  batch: RowBatch = NO_ROWS;
  row = 0;
  time = NaN;
  state: 'row' | 'waiting' | 'ended' = 'waiting';

  readonly #options: PartedSourceOptions;
  #part: number;
  /** Rows of the part that lie before the current batch. */
  #rowsBefore = 0;
  #skip: number;
  /** What follows the current batch, on its way. */
  #next: BatchFetch | null = null;
  readonly #batches: AsyncIterator<Fetched, void, undefined>;
  #end: SourcePosition | null = null;

  constructor(options: PartedSourceOptions) {
    this.#options = options;
    this.name = options.name;
    this.rank = options.rank;
    this.#part = options.from?.part ?? 0;
    this.#skip = options.from?.row ?? 0;
    this.#batches = fetchBatches(options, this.#part);
    if (this.#part > options.partCount || (this.#part === options.partCount && this.#skip > 0)) {
      throw new ReplayError(
        'CURSOR_INVALID',
        `${this.name}: part ${this.#part}, row ${this.#skip} of ${options.partCount} parts`,
      );
    }
    if (this.#part === options.partCount) this.close();
  }

  /** The position of the current row; after the last row, one past the last part; once closed, where that was. */
  get position(): SourcePosition {
    if (this.#end !== null) return this.#end;
    return { part: this.#part, row: this.#rowsBefore + this.row + this.#skip };
  }

  advance(): void {
    const row = this.row + 1;
    if (row < this.batch.rows) {
      this.row = row;
      this.time = this.batch.time[row]!;
      return;
    }
    this.#leaveBatch();
    this.#settle();
  }

  async load(): Promise<void> {
    while (this.state === 'waiting') {
      const next = (this.#next ??= this.#fetch());
      next.arrived = { batch: await next.fetched };
      // Closed meanwhile: what has arrived is of no use.
      if (this.#end !== null) return;
      this.#settle();
    }
  }

  /** Ends the source where it stands, for a cap: it gives no more rows and lets its memory go. */
  close(): void {
    this.#end = this.position;
    this.state = 'ended';
    this.batch = NO_ROWS;
    this.#next = null;
  }

  #leaveBatch(): void {
    this.#rowsBefore += this.batch.rows;
    this.batch = NO_ROWS;
    this.row = 0;
  }

  /** Goes on to the next resident row, or to `waiting` or `ended`. */
  #settle(): void {
    for (;;) {
      const arrived = this.#next?.arrived ?? null;
      if (arrived === null) {
        this.state = 'waiting';
        return;
      }
      this.#next = null;
      const { batch } = arrived;
      if (batch === null) {
        this.#endOfPart();
        if (this.#part === this.#options.partCount) {
          this.close();
          return;
        }
      }
      this.#next = this.#fetch();
      if (batch === null) continue;
      if (this.#skip >= batch.rows) {
        // Rows before the cursor, already replayed.
        this.#skip -= batch.rows;
        this.#rowsBefore += batch.rows;
        continue;
      }
      this.batch = batch;
      this.row = this.#skip;
      this.#skip = 0;
      this.time = batch.time[this.row]!;
      this.state = 'row';
      return;
    }
  }

  #endOfPart(): void {
    if (this.#skip > 0) {
      throw new ReplayError(
        'CURSOR_INVALID',
        `${this.name}: part ${this.#part} has ${this.#rowsBefore} rows, the cursor says ${this.#rowsBefore + this.#skip}`,
      );
    }
    this.#part += 1;
    this.#rowsBefore = 0;
  }

  #fetch(): BatchFetch {
    const fetched = this.#batches.next().then((step): Fetched => {
      if (step.done === true) throw new Error(`${this.name} was read beyond its last part`);
      return step.value;
    });
    const next: BatchFetch = { fetched, arrived: null };
    // A failure is thrown by the `load` that awaits the batch; until then it must not count as unhandled.
    fetched.then(
      (batch) => {
        next.arrived = { batch };
      },
      () => undefined,
    );
    return next;
  }
}

/** Every batch from the beginning of a part on, and the end of each part. */
async function* fetchBatches(
  options: PartedSourceOptions,
  from: number,
): AsyncGenerator<Fetched, void, undefined> {
  let notBefore = -Infinity;
  for (let part = from; part < options.partCount; part += 1) {
    const bytes = await options.openPart(part);
    const batches = readArrowPart(bytes, {
      name: `${options.name} part ${part}`,
      timeColumn: options.timeColumn,
      notBefore,
    });
    for await (const batch of batches) {
      if (batch.rows > 0) notBefore = batch.time[batch.rows - 1]!;
      yield batch;
    }
    yield null;
  }
}
