/** Errors of a replay: what is wrong with a source, and where. */

export type ReplayErrorCode =
  /** A row is earlier than the one before it in the same source. */
  | 'NOT_SORTED'
  /** A column that the replay needs is not in the part. */
  | 'COLUMN_MISSING'
  /** A column has a type, or the time column a null or a value, that cannot be replayed. */
  | 'COLUMN_UNSUPPORTED'
  /** The bytes are not a complete Arrow IPC file or stream. */
  | 'PART_UNREADABLE'
  /** A cursor names a part or row that its source does not have, or is not a cursor at all. */
  | 'CURSOR_INVALID'
  /** A speedup, cap or rate plan that makes no sense. */
  | 'OPTION_INVALID';

export class ReplayError extends Error {
  override readonly name = 'ReplayError';
  readonly code: ReplayErrorCode;

  constructor(code: ReplayErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
