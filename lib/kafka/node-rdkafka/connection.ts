/** Connecting in the background, and the events that consumers and producers have in common. */
import type { ConsumerEvent } from '../client.ts';
import { called, rdkafkaError } from './rdkafka-module.ts';

/** The part of node-rdkafka's clients that both kinds share, untyped there for events. */
export interface RdClient {
  connect(options: object, done: (error: unknown) => void): unknown;
  disconnect(done: (error: unknown) => void): unknown;
  isConnected(): boolean;
  getMetadata(options: object, done: (error: unknown, data?: Metadata) => void): unknown;
  on(event: string, listener: (...values: never[]) => void): unknown;
}

interface Metadata {
  readonly topics: readonly { readonly name: string; readonly partitions: readonly unknown[] }[];
}

const RETRY_MS = 1000;
const MOST_EVENTS = 1000;

export class Connection {
  /** Resolves when calls to the client are possible; never when it is closed before. */
  readonly ready: Promise<void>;
  #events: ConsumerEvent[] = [];
  #closing = false;
  readonly #client: RdClient;
  readonly #onEvent: () => void;
  #settled: Promise<unknown> = Promise.resolve();

  constructor(client: RdClient, onEvent: () => void) {
    this.#client = client;
    this.#onEvent = onEvent;
    client.on('event.error', (error: unknown) =>
      this.push({ type: 'error', error: rdkafkaError('client', error) }),
    );
    client.on('event.stats', ({ message }: { message: string }) =>
      this.push({ type: 'statistics', json: message }),
    );
    client.on('event.log', ({ severity, fac, message }: { severity: number; fac: string; message: string }) =>
      this.push({ type: 'log', level: severity, facility: fac, message }),
    );
    this.ready = this.#connect();
  }

  async #connect(): Promise<void> {
    for (;;) {
      const attempt = called('connect', (done) =>
        this.#client.connect({ allTopics: false, timeout: 5000 }, done),
      );
      this.#settled = attempt.catch(() => undefined);
      try {
        await attempt;
        return;
      } catch (error) {
        this.push({ type: 'error', error: rdkafkaError('connect', error) });
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
        if (this.#closing) await new Promise(() => undefined);
      }
    }
  }

  push(event: ConsumerEvent): void {
    const droppable = event.type === 'log' || event.type === 'error' || event.type === 'statistics';
    if (droppable && this.#events.length >= MOST_EVENTS) return;
    this.#events.push(event);
    this.#onEvent();
  }

  get waiting(): boolean {
    return this.#events.length > 0;
  }

  take(): readonly ConsumerEvent[] {
    const events = this.#events;
    this.#events = [];
    return events;
  }

  /** Partition counts of the topics that exist, of all of them: naming one could create it. */
  async partitionCounts(operation: string, timeoutMs: number): Promise<Map<string, number>> {
    await this.ready;
    const metadata = await called<Metadata | undefined>(operation, (done) =>
      this.#client.getMetadata({ allTopics: true, timeout: timeoutMs }, done),
    );
    const topics = metadata?.topics.filter(({ partitions }) => partitions.length > 0) ?? [];
    return new Map(topics.map(({ name, partitions }) => [name, partitions.length]));
  }

  async disconnect(): Promise<void> {
    this.#closing = true;
    await this.#settled;
    if (this.#client.isConnected()) await called('close', (done) => this.#client.disconnect(done));
  }
}
