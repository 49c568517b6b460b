/** Errors of the Kafka clients, with what a caller needs to decide: retry, abort the transaction, or stop. */

export interface KafkaErrorFlags {
  /** The producer (or consumer) instance is unusable: fenced, or its epoch is invalid. */
  readonly fatal?: boolean;
  /** The same call may be made again. */
  readonly retriable?: boolean;
  /** The current transaction must be aborted; the producer stays usable. */
  readonly abortable?: boolean;
}

export class KafkaError extends Error {
  override readonly name = 'KafkaError';
  /** librdkafka's error code: negative for local errors, Kafka's protocol code otherwise. */
  readonly code: number;
  /** The code's name, such as `_QUEUE_FULL`, `ILLEGAL_GENERATION`, `PRODUCER_FENCED`. */
  readonly codeName: string;
  readonly fatal: boolean;
  readonly retriable: boolean;
  readonly abortable: boolean;

  constructor(
    operation: string,
    code: number,
    codeName: string,
    reason: string,
    flags: KafkaErrorFlags = {},
  ) {
    super(`${operation}: ${reason} (${codeName}, ${code})`);
    this.code = code;
    this.codeName = codeName;
    this.fatal = flags.fatal ?? false;
    this.retriable = flags.retriable ?? false;
    this.abortable = flags.abortable ?? false;
  }
}
