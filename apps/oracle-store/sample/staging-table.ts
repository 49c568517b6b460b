/**
 * Rows on their way into DuckDB, as numbers only: columns of one data chunk, handed over when it is full. Ids, text
 * and times are made from these numbers in SQL, which is vectorised; here nothing but numbers is touched.
 */
import {
  DOUBLE,
  DuckDBDataChunk,
  INTEGER,
  type DuckDBAppender,
  type DuckDBConnection,
} from '@duckdb/node-api';

const CHUNK_ROWS = 2048;

const TYPES = { int: INTEGER, double: DOUBLE } as const;
const SQL_TYPES = { int: 'INTEGER', double: 'DOUBLE' } as const;

/** Column types by name: `int` is 32-bit, `double` also carries whole numbers up to 2^53 (microseconds). */
export type StagingColumns = Readonly<Record<string, keyof typeof TYPES>>;

export class StagingTable<C extends StagingColumns> {
  rows = 0;
  readonly #chunk: DuckDBDataChunk;
  readonly #buffers: number[][];
  readonly #appender: DuckDBAppender;
  #buffered = 0;

  private constructor(columns: C, appender: DuckDBAppender) {
    const types = Object.values(columns).map((type) => TYPES[type]);
    this.#chunk = DuckDBDataChunk.create(types);
    this.#buffers = types.map(() => new Array<number>(CHUNK_ROWS).fill(0));
    this.#appender = appender;
  }

  static async create<C extends StagingColumns>(
    connection: DuckDBConnection,
    table: string,
    columns: C,
  ): Promise<StagingTable<C>> {
    const declared = Object.entries(columns).map(([name, type]) => `${name} ${SQL_TYPES[type]}`);
    await connection.run(`CREATE TABLE ${table} (${declared.join(', ')})`);
    return new StagingTable(columns, await connection.createAppender(table));
  }

  /** One value per column, in the order of the declaration. */
  append(...values: readonly number[]): void {
    const at = this.#buffered;
    for (let c = 0; c < this.#buffers.length; c += 1) this.#buffers[c]![at] = values[c]!;
    this.#buffered = at + 1;
    this.rows += 1;
    if (this.#buffered === CHUNK_ROWS) this.#flush();
  }

  /** Hands over what is left. The table can be queried afterwards. */
  close(): void {
    if (this.#buffered > 0) this.#flush();
    this.#appender.closeSync();
  }

  #flush(): void {
    const rows = this.#buffered;
    // One chunk for the table's life: its memory is DuckDB's, and would wait for our garbage collector.
    const chunk = this.#chunk;
    chunk.reset();
    chunk.rowCount = rows;
    for (let c = 0; c < this.#buffers.length; c += 1) {
      const column = this.#buffers[c]!;
      chunk.setColumnValues(c, rows === CHUNK_ROWS ? column : column.slice(0, rows));
    }
    this.#appender.appendDataChunk(chunk);
    this.#buffered = 0;
  }
}
