/**
 * Collects the nodes of a graph while it is being written, and names what has not been named. Generated names follow
 * Kafka Streams' style; they shift when operators are added before them, so state should be named.
 */
import { nullable, type Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import {
  Topology,
  TopologyError,
  type GlobalSpec,
  type InternalTopicSpec,
  type NodeSpec,
  type OperatorSpec,
  type SourceSpec,
} from './graph.ts';
import { kafkaTimestamp } from './record.ts';
import { sinkReceiver } from './sink.ts';
import type { DynamicTopic, Named, Produced } from './stream-options.ts';
import { INTERNAL_PREFIX } from './topic-names.ts';

export interface OperatorDraft {
  /** Its word in the DSL. */
  readonly type: string;
  /** Kafka Streams' prefix for a generated name. */
  readonly prefix: string;
  readonly name?: string | undefined;
  readonly parents: readonly string[];
  /** Read at build(): may still grow until then. */
  readonly stores?: () => readonly StoreSpec<StateStore>[];
  readonly instantiate: OperatorSpec['instantiate'];
}

type Draft =
  | Exclude<NodeSpec, OperatorSpec>
  | (Omit<OperatorSpec, 'stores'> & { readonly openStores: () => readonly StoreSpec<StateStore>[] });

export class GraphWriter {
  readonly #drafts: Draft[] = [];
  readonly #globals: GlobalSpec[] = [];
  readonly #internalTopics: InternalTopicSpec[] = [];
  readonly #requireNames: boolean;
  #counter = 0;

  constructor(requireNames: boolean) {
    this.#requireNames = requireNames;
  }

  build(): Topology {
    const nodes = this.#drafts.map((draft): NodeSpec => {
      if (draft.kind !== 'operator') return draft;
      const { openStores, ...operator } = draft;
      return { ...operator, stores: [...new Set(openStores())] };
    });
    return new Topology(nodes, this.#globals, this.#internalTopics);
  }

  source(source: Omit<SourceSpec, 'kind'>): string {
    const { topic } = source;
    const taken =
      this.#drafts.some((node) => node.kind === 'source' && node.topic === topic) ||
      this.#globals.some((one) => one.topic === topic);
    if (taken) {
      throw new TopologyError(`topic "${topic}" is a source already; use the stream that was made of it`);
    }
    this.#drafts.push({ kind: 'source', ...source });
    return source.name;
  }

  global(spec: GlobalSpec): void {
    if (this.#drafts.some((node) => node.kind === 'source' && node.topic === spec.topic)) {
      throw new TopologyError(
        `topic "${spec.topic}" is a source already; it cannot be a global table as well`,
      );
    }
    this.#globals.push(spec);
  }

  operator(draft: OperatorDraft): string {
    const name = draft.name ?? this.nextName(draft.prefix);
    this.#drafts.push({
      kind: 'operator',
      name,
      type: draft.type,
      parents: draft.parents,
      openStores: draft.stores ?? (() => []),
      instantiate: draft.instantiate,
    });
    return name;
  }

  sink<K, V>(parent: string, target: string | DynamicTopic<K, V>, produced: Produced<K, V> & Named): void {
    this.#drafts.push({
      kind: 'sink',
      name: produced.name ?? this.nextName('KSTREAM-SINK'),
      parents: [parent],
      topics: typeof target === 'string' ? [target] : target.topics,
      serdes: [...(produced.key === undefined ? [] : [produced.key]), produced.value] as Serde<unknown>[],
      instantiate: (environment, resolve) => sinkReceiver(target, produced, environment, resolve),
    });
  }

  /**
   * Writes a stream to an internal topic and reads it again: partitioned by its key.
   * Returns the node of the source behind the topic.
   */
  repartition(parent: string, through: RepartitionDraft): string {
    const topic = `${INTERNAL_PREFIX}${through.name}`;
    if (this.#internalTopics.some((one) => one.topic === topic)) {
      throw new TopologyError(`two internal topics are named "${through.name}"; name one of the operators`);
    }
    this.#internalTopics.push({ topic, partitions: through.partitions ?? null });
    this.sink(parent, topic, {
      name: `${through.name}-sink`,
      key: through.key,
      value: through.value,
      ...(through.partition === undefined ? {} : { partition: through.partition }),
    });
    return this.source({
      name: `${through.name}-source`,
      topic,
      key: nullable(through.key),
      value: nullable(through.value),
      timestamp: kafkaTimestamp,
      onDeserializationError: { kind: 'fail' },
      offsetReset: 'earliest',
    });
  }

  /** A generated name: prefix and a number that counts every name given. */
  nextName(prefix: string): string {
    const name = `${prefix}-${String(this.#counter).padStart(10, '0')}`;
    this.#counter += 1;
    return name;
  }

  /** The name of something that outlives the process (a store, an internal topic): generated only when allowed. */
  durableName(given: string | undefined, prefix: string, what: string): string {
    if (given !== undefined) return given;
    const name = this.nextName(prefix);
    if (this.#requireNames) {
      throw new TopologyError(
        `${what} has no name and would be "${name}", which changes with the topology; name its operator`,
      );
    }
    return name;
  }
}

export interface RepartitionDraft {
  /** Of the topic, without prefix: `counts-repartition`. */
  readonly name: string;
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
  readonly partitions?: number | undefined;
  readonly partition?: Produced<unknown, unknown>['partition'];
}
