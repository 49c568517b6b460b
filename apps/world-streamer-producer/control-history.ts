/**
 * What a control partition asks for, read from its beginning: for each run the latest READY, and which of its lanes
 * have told their end. Held against the cursors it shows runs whose cursor was lost.
 */
import {
  consumerDefaults,
  OFFSET_BEGINNING,
  RecordBatch,
  type ClientConfig,
  type KafkaClient,
} from '../../lib/index.ts';
import type { Envelope, StreamCompletedPayload, StreamFailedPayload } from '../rails/index.ts';
import type { ControlRecordReader } from './control-record.ts';
import { readyOf, type Ready } from './ready.ts';
import { StreamError } from './stream-error.ts';

export interface RunAsked {
  readonly ready: Ready;
  /** As its facts have it; null when it has told none of its lanes' ends. */
  readonly laneCount: number | null;
  readonly ended: ReadonlySet<number>;
}

const WAIT_MS = 100;

export interface ControlHistoryOptions {
  readonly client: KafkaClient;
  readonly kafkaConfig: ClientConfig;
  readonly topic: string;
  readonly partition: number;
  readonly reader: ControlRecordReader;
  readonly timeoutMs: number;
}

/** Reads the records below `before`. Rejects with KAFKA_UNAVAILABLE after `timeoutMs` without any. */
export async function readControlHistory(
  options: ControlHistoryOptions,
  before: number,
): Promise<readonly RunAsked[]> {
  const { client, kafkaConfig, topic, partition, reader, timeoutMs } = options;
  if (before <= 0) return [];
  const consumer = client.createConsumer({
    ...consumerDefaults,
    ...kafkaConfig,
    // librdkafka wants a group; this one never subscribes and never commits.
    'group.id': `wsp-control-reader-${process.pid}-${partition}`,
  });
  const history = new ControlHistory();
  try {
    consumer.assign([{ topic, partition, offset: OFFSET_BEGINNING }]);
    const batch = new RecordBatch({ maxRecords: 1024, slabBytes: 1 << 20 });
    let deadline = performance.now() + timeoutMs;
    let position = 0;
    while (position < before) {
      const count = consumer.poll(batch);
      for (let i = 0; i < count; i += 1) {
        position = batch.offset[i]! + 1;
        if (position > before) break;
        const envelope = await reader.read(batch, i);
        if (envelope !== null) history.add(envelope);
      }
      for (const event of consumer.takeEvents()) if (event.type === 'end') position = before;
      if (count > 0) deadline = performance.now() + timeoutMs;
      else if (position < before) {
        if (performance.now() > deadline) {
          throw new StreamError(
            'KAFKA_UNAVAILABLE',
            `${topic}/${partition} gives no record after offset ${position} of ${before} for ${timeoutMs} ms`,
          );
        }
        await consumer.wait(WAIT_MS);
      }
    }
  } finally {
    await consumer.close();
  }
  return history.runs();
}

/** Folds the facts of a control partition, in their order. */
export class ControlHistory {
  readonly #runs = new Map<string, { ready: Ready; laneCount: number | null; ended: Set<number> }>();

  add(envelope: Envelope): void {
    const key = `${envelope.platform_run_id ?? ''}|${envelope.scenario_run_id ?? ''}`;
    const known = this.#runs.get(key);
    if (envelope.event_type === 'run.ready') {
      const ready = readable(envelope);
      if (ready !== null && ready.attempt > (known?.ready.attempt ?? 0)) {
        this.#runs.set(key, { ready, laneCount: null, ended: new Set() });
      }
    } else if (envelope.event_type === 'stream.completed' || envelope.event_type === 'stream.failed') {
      const fact = envelope.payload as unknown as StreamCompletedPayload | StreamFailedPayload;
      if (known?.ready.attempt !== fact.attempt) return;
      known.laneCount = fact.lane_count;
      known.ended.add(fact.lane);
    }
  }

  /** Runs whose lanes have not all told their end. */
  runs(): readonly RunAsked[] {
    return [...this.#runs.values()].filter(
      ({ laneCount, ended }) => laneCount === null || ended.size < laneCount,
    );
  }
}

function readable(envelope: Envelope): Ready | null {
  try {
    return readyOf(envelope);
  } catch (error) {
    // Refused when it was taken, and again if it came once more.
    if (error instanceof StreamError) return null;
    throw error;
  }
}
