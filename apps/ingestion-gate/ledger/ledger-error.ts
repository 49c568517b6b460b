/** Errors of the receipt ledger: what happened, to which thing, and the way out. */

export type LedgerErrorCode =
  /** A stored position lies beyond the topic's end: the topic was made anew, the database was not. */
  | 'POSITION_BEYOND_LOG_END'
  /** The topics that the ledger reads do not have the partitions they must have. */
  | 'TOPICS_INCONSISTENT'
  /** A record cannot be read: stored under `unreadable_records`. */
  | 'RECORD_UNREADABLE'
  /** A batch kept failing for a reason that trying again does not cure. */
  | 'BATCH_REFUSED'
  /** The archiver's thread has died. */
  | 'ARCHIVER_FAILED'
  /** A run still has segments to archive. */
  | 'RUN_NOT_ARCHIVED'
  /** A rebuild while a ledger runs. */
  | 'LEDGER_RUNNING'
  /** The bus no longer holds records that have receipts. */
  | 'REBUILD_WOULD_LOSE';

export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly code: LedgerErrorCode;

  constructor(code: LedgerErrorCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
  }
}
