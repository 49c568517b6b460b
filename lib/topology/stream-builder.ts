/** Where a topology begins: sources as streams, tables and global tables; and where it ends: the finished graph. */
import { nullable, type Serde } from '../serde/serde.ts';
import { keyValueStore } from '../state/key-value-store.ts';
import { GlobalTable } from './global-table.ts';
import type { Topology } from './graph.ts';
import { GraphWriter } from './graph-writer.ts';
import { KStream } from './k-stream.ts';
import { KTable } from './k-table.ts';
import type { StoreOptions } from './plan.ts';
import { kafkaTimestamp, type TimestampExtractor } from './record.ts';
import type { Consumed } from './stream-options.ts';
import { SourceTable } from './table-operators.ts';

export interface StreamBuilderOptions {
  /**
   * Refuses stores and internal topics with generated names (KIP-1111): those change when operators are added before
   * them, and with the name the state is lost. Default false.
   */
  readonly requireNames?: boolean;
}

/** How a table's topic is read. Its key is needed; its values may be null (tombstones). */
export interface ConsumedTable<K, V> extends Consumed<K, V> {
  readonly key: Serde<K>;
  /** Keeps the table from the start; without it a store is made when an operator needs one. */
  readonly store?: StoreOptions<K, V>;
}

export interface ConsumedGlobalTable<K, V> {
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Names the store. */
  readonly name?: string;
}

export class StreamBuilder {
  readonly #writer: GraphWriter;

  constructor(options: StreamBuilderOptions = {}) {
    this.#writer = new GraphWriter(options.requireNames ?? false);
  }

  /** A stream of a topic's records, in offset order per partition. A topic can be read by one source only. */
  stream<V>(
    topic: string,
    consumed: Omit<Consumed<null, V>, 'key'> & { readonly key?: never },
  ): KStream<null, V>;
  stream<K, V>(topic: string, consumed: Consumed<K, V> & { readonly key: Serde<K> }): KStream<K, V>;
  stream<K, V>(topic: string, consumed: Consumed<K, V>): KStream<K, V> {
    const key = (consumed.key as Serde<unknown> | undefined) ?? null;
    const node = this.#source(topic, consumed, key, consumed.value);
    return new KStream<K, V>({
      writer: this.#writer,
      node,
      key,
      value: consumed.value,
      keyChanged: false,
    });
  }

  /**
   * A topic as a table: the last value of each key; a null value deletes, a record without a key is left out and
   * counted. The topic should be compacted.
   */
  table<K, V>(topic: string, consumed: ConsumedTable<K, V>): KTable<K, V> {
    const { key, value, store } = consumed;
    const node = this.#source(topic, consumed, nullable(key), nullable(value));
    return new KTable<K, V>(
      new SourceTable({
        writer: this.#writer,
        parent: node,
        type: 'table',
        prefix: 'KTABLE-SOURCE',
        name: consumed.name === undefined ? undefined : `${consumed.name}-table`,
        key: store?.key ?? key,
        value: store?.value ?? value,
        store: store as StoreOptions<never, never> | undefined,
        storeName: store?.name ?? consumed.name,
        storePrefix: `${topic}-STATE-STORE`,
      }),
    );
  }

  /** A topic as a table that every instance holds whole. It is read before the first record is processed. */
  globalTable<K, V>(topic: string, consumed: ConsumedGlobalTable<K, V>): GlobalTable<K, V> {
    const name = this.#writer.durableName(consumed.name, `${topic}-STATE-STORE`, `global table "${topic}"`);
    const store = keyValueStore<K, V>(name, {
      key: consumed.key,
      value: consumed.value,
      changelog: 'none',
    });
    const spec = { name: `global-${topic}`, topic, store };
    this.#writer.global(spec);
    return new GlobalTable<K, V>(spec);
  }

  /** The finished graph. Throws TopologyError when it cannot run. */
  build(): Topology {
    return this.#writer.build();
  }

  #source<K, V>(
    topic: string,
    consumed: Consumed<K, V>,
    key: Serde<unknown> | null,
    value: Serde<unknown>,
  ): string {
    return this.#writer.source({
      name: consumed.name ?? `source-${topic}`,
      topic,
      key: key === null ? null : key,
      value,
      timestamp: (consumed.timestamp ?? kafkaTimestamp) as TimestampExtractor<unknown>,
      onDeserializationError: consumed.onDeserializationError ?? { kind: 'fail' },
      offsetReset: consumed.offsetReset ?? 'earliest',
    });
  }
}
