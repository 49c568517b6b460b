/**
 * Sends pushed events to ingress, acknowledged by all in-sync replicas. What comes while one group is under way
 * forms the next, so many small requests share round trips and none waits for a timer. Order is that of the calls.
 */
import { OutgoingBatch, producerDefaults, type KafkaClient, type Producer } from '../../../lib/index.ts';
import type { IngressRecord } from './event-reader.ts';

/** On ingress records that came over HTTP: the push's own id, by which its coordinates are found. */
export const PUSH_ID_HEADER = 'ig_push_id';
/** Who pushed it. */
export const PRINCIPAL_HEADER = 'ig_principal';
/** `base64` when the value is the text of what came. */
export const ENCODING_HEADER = 'ig_raw_encoding';
/** What the front door found, as JSON, when it could not map the event. */
export const PROBLEMS_HEADER = 'ig_problems';

export interface IngressWriterOptions {
  readonly client: KafkaClient;
  readonly bootstrapServers: string;
  readonly topic: string;
  /** How long an acknowledgement is waited for. */
  readonly timeoutMs: number;
}

interface Group {
  readonly batch: OutgoingBatch;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

const CLOSE_MS = 5_000;

export class IngressWriter {
  /** Groups that were not acknowledged, one after the other until now. */
  failuresInARow = 0;
  readonly #options: IngressWriterOptions;
  readonly #producer: Producer;
  readonly #spare: OutgoingBatch[] = [];
  #next: Group | undefined;
  #running: Promise<void> | undefined;

  constructor(options: IngressWriterOptions) {
    this.#options = options;
    this.#producer = options.client.createProducer({
      ...producerDefaults,
      'bootstrap.servers': options.bootstrapServers,
      'client.id': 'front-door',
      acks: 'all',
      'linger.ms': 0,
      'message.timeout.ms': options.timeoutMs,
    });
  }

  /**
   * Resolves when the record is acknowledged. Rejects when it was not in time: it may or may not be in the log, and
   * sending the event again is safe, because the gate admits an event once.
   */
  write(record: IngressRecord, pushId: string, principal: string): Promise<void> {
    const group = (this.#next ??= this.#newGroup());
    group.batch.add({
      topic: this.#options.topic,
      partition: record.partition,
      key: record.key,
      value: record.value,
      headers: headersOf(record, pushId, principal),
    });
    this.#running ??= this.#run();
    return group.done;
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#producer.close(CLOSE_MS);
  }

  #newGroup(): Group {
    let resolve!: () => void;
    let reject!: (error: Error) => void;
    const done = new Promise<void>((yes, no) => {
      resolve = yes;
      reject = no;
    });
    // Whoever pushes has his own clock and may be gone.
    done.catch(() => undefined);
    return { batch: this.#spare.pop() ?? new OutgoingBatch(1024), done, resolve, reject };
  }

  async #run(): Promise<void> {
    // Lets the requests of this turn of the event loop join the first group.
    await new Promise((next) => setImmediate(next));
    for (let group = this.#next; group !== undefined; group = this.#next) {
      this.#next = undefined;
      try {
        await this.#producer.produce(group.batch);
        await this.#producer.flush(this.#options.timeoutMs);
        this.failuresInARow = 0;
        group.resolve();
      } catch (error) {
        this.failuresInARow += 1;
        group.reject(error as Error);
      }
      group.batch.reset();
      this.#spare.push(group.batch);
    }
    this.#running = undefined;
  }
}

function* headersOf(
  record: IngressRecord,
  pushId: string,
  principal: string,
): Iterable<readonly [string, string]> {
  yield [PUSH_ID_HEADER, pushId];
  yield [PRINCIPAL_HEADER, principal];
  if (record.base64) yield [ENCODING_HEADER, 'base64'];
  if (record.problems.length > 0) yield [PROBLEMS_HEADER, JSON.stringify(record.problems)];
}
