/**
 * A time-sorted source of rows, read part by part.
 *
 * Rows are taken synchronously while they are resident; `advance` says false when the next part has not arrived
 * yet, and `load` waits for it. While one part is read the next is fetched, so at most two parts per source are in
 * memory, whatever the size of the source.
 */
import { readArrowPart } from './arrow-part.ts';
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
  /** The bytes of a part (Arrow IPC), 0 … partCount-1; called once per part, in order, one ahead of the reading. */
  readonly readPart: (index: number) => Promise<Buffer>;
  /** Where to begin: the position of the next row. Default the first. */
  readonly from?: SourcePosition;
}

interface PartFetch {
  readonly part: number;
  readonly bytes: Promise<Buffer>;
  /** The bytes, once they are there. */
  arrived: Buffer | null;
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
  #batches: Iterator<RowBatch, void, undefined> | null = null;
  #lastTime = -Infinity;
  #next: PartFetch | null = null;
  #end: SourcePosition | null = null;

  constructor(options: PartedSourceOptions) {
    this.#options = options;
    this.name = options.name;
    this.rank = options.rank;
    this.#part = options.from?.part ?? 0;
    this.#skip = options.from?.row ?? 0;
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
      const next = this.#fetch(this.#part);
      next.arrived = await next.bytes;
      this.#settle();
    }
  }

  /** Ends the source where it stands, for a cap: it gives no more rows and lets its memory go. */
  close(): void {
    this.#end = this.position;
    this.state = 'ended';
    this.batch = NO_ROWS;
    this.#batches = null;
    this.#next = null;
  }

  #leaveBatch(): void {
    this.#rowsBefore += this.batch.rows;
    if (this.batch.rows > 0) this.#lastTime = this.batch.time[this.batch.rows - 1]!;
    this.batch = NO_ROWS;
    this.row = 0;
  }

  /** Goes on to the next resident row, or to `waiting` or `ended`. */
  #settle(): void {
    for (;;) {
      this.#batches ??= this.#openResident();
      if (this.#batches === null) return;
      const step = this.#batches.next();
      if (step.done === true) {
        this.#endOfPart();
        if (this.#part === this.#options.partCount) {
          this.close();
          return;
        }
        continue;
      }
      const batch = step.value;
      if (this.#skip >= batch.rows) {
        // Rows before the cursor, already replayed.
        this.#skip -= batch.rows;
        this.#rowsBefore += batch.rows;
        if (batch.rows > 0) this.#lastTime = batch.time[batch.rows - 1]!;
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
    this.#batches = null;
    this.#part += 1;
    this.#rowsBefore = 0;
  }

  #openResident(): Iterator<RowBatch, void, undefined> | null {
    const next = this.#next;
    if (next === null || next.part !== this.#part || next.arrived === null) {
      this.state = 'waiting';
      return null;
    }
    const bytes = next.arrived;
    this.#next = null;
    if (this.#part + 1 < this.#options.partCount) this.#fetch(this.#part + 1);
    return readArrowPart(bytes, {
      name: `${this.name} part ${this.#part}`,
      timeColumn: this.#options.timeColumn,
      notBefore: this.#lastTime,
    });
  }

  #fetch(part: number): PartFetch {
    if (this.#next?.part === part) return this.#next;
    const next: PartFetch = { part, bytes: this.#options.readPart(part), arrived: null };
    this.#next = next;
    // A failure is thrown by the `load` that awaits the part; until then it must not count as unhandled.
    next.bytes.then(
      (bytes) => {
        next.arrived = bytes;
      },
      () => undefined,
    );
    return next;
  }
}
