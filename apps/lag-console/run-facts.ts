/**
 * What the replayers say they have sent, read from the control topic: stream.progress while a replay goes on,
 * stream.completed when it has ended. A run is sent in attempts, and an attempt in lanes; their latest facts add up.
 */
import {
  avroAnyReader,
  Bytes,
  NotReady,
  OFFSET_BEGINNING,
  RecordBatch,
  SerdeError,
  type AvroReader,
  type Consumer,
  type Logger,
  type SchemaSource,
} from '../../lib/index.ts';
import type { StreamCompletedPayload, StreamProgressPayload, StreamStartedPayload } from '../rails/index.ts';

export interface SentOfRun {
  readonly platformRunId: string;
  /** Events written to the front door, by output, over all attempts and lanes. */
  readonly sentByOutput: Readonly<Record<string, number>>;
  readonly sent: number;
  /** Attempts known to have begun, and those of them whose every lane has ended. */
  readonly attempts: number;
  readonly completed: number;
}

interface LaneFact {
  readonly platformRunId: string;
  readonly attempt: string;
  readonly laneCount: number;
  readonly ended: boolean;
  readonly outputs: StreamStartedPayload['outputs'];
}

interface StreamFact {
  readonly event_type: string;
  readonly platform_run_id: string | null;
  readonly payload: StreamStartedPayload | StreamProgressPayload | StreamCompletedPayload;
}

const STREAM_FACTS = new Set(['stream.started', 'stream.progress', 'stream.completed']);

/** The facts of all runs still in the control topic; small, as facts are few. */
export class RunFacts {
  readonly #lanes = new Map<string, LaneFact>();

  /** Takes a decoded record of the control topic. Later facts replace earlier ones; an end is final. */
  add(fact: StreamFact): void {
    if (!STREAM_FACTS.has(fact.event_type) || fact.platform_run_id === null) return;
    const { message_id: attempt, lane, lane_count: laneCount, outputs } = fact.payload;
    const key = `${fact.platform_run_id} ${attempt} ${String(lane)}`;
    if (this.#lanes.get(key)?.ended === true) return;
    const ended = fact.event_type === 'stream.completed';
    this.#lanes.set(key, { platformRunId: fact.platform_run_id, attempt, laneCount, ended, outputs });
  }

  /** Runs with facts, the latest first. */
  runs(): string[] {
    return [...new Set([...this.#lanes.values()].map((lane) => lane.platformRunId))].sort().reverse();
  }

  /** Undefined when no replay of the run has been announced. */
  of(platformRunId: string): SentOfRun | undefined {
    const lanes = [...this.#lanes.values()].filter((lane) => lane.platformRunId === platformRunId);
    if (lanes.length === 0) return undefined;
    const sentByOutput: Record<string, number> = {};
    for (const lane of lanes) {
      for (const { output_id, sent } of lane.outputs)
        sentByOutput[output_id] = (sentByOutput[output_id] ?? 0) + sent;
    }
    const attempts = new Map<string, { ended: number; laneCount: number }>();
    for (const lane of lanes) {
      const attempt = attempts.get(lane.attempt) ?? { ended: 0, laneCount: lane.laneCount };
      attempts.set(lane.attempt, { ended: attempt.ended + Number(lane.ended), laneCount: lane.laneCount });
    }
    return {
      platformRunId,
      sentByOutput,
      sent: Object.values(sentByOutput).reduce((total, sent) => total + sent, 0),
      attempts: attempts.size,
      completed: [...attempts.values()].filter((attempt) => attempt.ended >= attempt.laneCount).length,
    };
  }
}

/** Follows the control topic from its beginning with a consumer that belongs to no group. */
export class RunFactsReader {
  readonly facts = new RunFacts();
  readonly #consumer: Consumer;
  readonly #topic: string;
  readonly #avro: AvroReader;
  readonly #logger: Logger;
  readonly #records = new RecordBatch({ maxRecords: 1024, slabBytes: 1024 * 1024 });

  constructor(consumer: Consumer, topic: string, schemas: SchemaSource, logger: Logger) {
    this.#consumer = consumer;
    this.#topic = topic;
    this.#avro = avroAnyReader(schemas);
    this.#logger = logger;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const partitions = await this.#consumer.partitionCounts([this.#topic], 3_000).catch(() => undefined);
      const count = partitions?.get(this.#topic);
      if (count !== undefined) {
        this.#consumer.assign(
          Array.from({ length: count }, (_, partition) => ({
            topic: this.#topic,
            partition,
            offset: OFFSET_BEGINNING,
          })),
        );
        break;
      }
      await this.#consumer.wait(1_000);
    }
    while (!signal.aborted) {
      const count = this.#consumer.poll(this.#records);
      this.#consumer.takeEvents();
      for (let i = 0; i < count; i += 1) await this.#read(i, signal);
      if (count === 0) await this.#consumer.wait(250);
    }
  }

  async #read(i: number, signal: AbortSignal): Promise<void> {
    if (this.#records.valueLength[i]! < 0) return;
    const bytes = new Bytes(this.#records.data, this.#records.valueStart[i], this.#records.valueLength[i]);
    while (!signal.aborted) {
      try {
        this.facts.add(this.#avro.schemaOf(bytes).decode(bytes) as StreamFact);
        return;
      } catch (error) {
        if (error instanceof NotReady) {
          await error.ready.catch(async (cause: unknown) => {
            this.#logger.info({ reason: String(cause) }, 'waiting for the schema registry');
            await new Promise((resolve) => setTimeout(resolve, 1_000));
          });
          continue;
        }
        if (!(error instanceof SerdeError)) throw error;
        this.#logger.warn(
          { topic: this.#topic, offset: this.#records.offset[i], reason: error.message },
          'a control record that cannot be read is left out of the reconciliation',
        );
        return;
      }
    }
  }
}
