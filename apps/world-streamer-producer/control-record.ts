/** Records of the control topic as envelopes: waits for a schema rather than skipping a record. */
import {
  AvroReader,
  Bytes,
  NotReady,
  SerdeError,
  type Logger,
  type RecordBatch,
  type SchemaSource,
} from '../../lib/index.ts';
import type { Envelope } from '../rails/index.ts';

/** The facts that the streamer reads; every other one is passed over undecoded. */
const WANTED: ReadonlySet<string> = new Set([
  'run.ready',
  'stream.command',
  'stream.completed',
  'stream.failed',
]);
const REGISTRY_WAIT_MS = 2000;

export class ControlRecordReader {
  readonly #reader: AvroReader;
  readonly #logger: Logger;
  readonly #stopping: () => boolean;

  /** @param stopping ends the wait for a registry that does not answer */
  constructor(schemas: SchemaSource, logger: Logger, stopping: () => boolean) {
    this.#reader = new AvroReader(schemas);
    this.#logger = logger;
    this.#stopping = stopping;
  }

  /** The decoded record if it is one the streamer reads; null for every other. */
  async read(batch: RecordBatch, i: number): Promise<Envelope | null> {
    if (batch.valueLength[i]! < 0) return null;
    const bytes = new Bytes(batch.data, batch.valueStart[i], batch.valueLength[i]);
    for (;;) {
      try {
        const schema = this.#reader.schemaOf(bytes);
        return WANTED.has(schema.recordName) ? (schema.decode(bytes) as Envelope) : null;
      } catch (error) {
        if (error instanceof NotReady) {
          await error.ready.catch((cause: unknown) => {
            this.#logger.warn({ err: cause }, 'schema registry does not answer, waiting');
            return new Promise((resolve) => setTimeout(resolve, REGISTRY_WAIT_MS));
          });
          if (this.#stopping()) return null;
          continue;
        }
        if (!(error instanceof SerdeError)) throw error;
        // The gate admits only what decodes; whatever else wrote here is not ours to stream.
        this.#logger.error(
          { err: error, offset: batch.offset[i], partition: batch.partition[i] },
          'unreadable fact',
        );
        return null;
      }
    }
  }
}
