/**
 * The graph behind a topology: sources, operators and sinks with stable names. It is data. Building it touches no
 * network; the runtime and the TestDriver instantiate it once per task.
 */
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { Punctuation, PunctuationType } from './processor.ts';
import type { SourceRecord, StreamRecord, TimestampExtractor } from './record.ts';
import { resolveTopic } from './topic-names.ts';
import { topicResources, type TopicResource } from './topic-resources.ts';

export { changelogTopic } from './topic-names.ts';

/** Operators are typed at the builder's surface; inside the graph the types are erased. */
export type AnyRecord = StreamRecord<unknown, unknown>;

/** Takes records at run time: an operator instance of one task. */
export interface Receiver {
  receive(record: AnyRecord): void;
  close?(): void;
}

/**
 * A number that lives and dies with the task's transactions: set while processing, kept when the commit succeeds,
 * back to its committed content when it is aborted. NaN until it is first set.
 */
export interface Cell {
  value: number;
}

/** Why an operator left a record out, as Kafka Streams' dropped-records metric counts it. */
export type DropReason = 'late' | 'null-key' | 'null-value' | 'out-of-order' | 'stale-response';

/** The batch that outputs go to. The runtime swaps it when it seals a transaction. */
export interface Collector {
  batch: OutgoingBatch;
}

/** What an operator instance may reach. */
export interface TaskEnvironment {
  readonly source: SourceRecord;
  readonly collector: Collector;
  readonly task: { readonly subtopology: number; readonly partition: number };
  store(name: string): StateStore;
  /** The instance-wide store of a global table. */
  global(name: string): StateStore;
  /** The cell of this name; operators prefix it with their own name. */
  cell(name: string): Cell;
  /** Counts a record that an operator left out. */
  drop(reason: DropReason): void;
  schedule(intervalMs: number, type: PunctuationType, callback: (time: number) => void): Punctuation;
  streamTime(): number;
  wallTime(): number;
}

/** What happens to a record whose bytes cannot be read. */
export type DeserializationPolicy =
  /** Stop the instance with the record's coordinates in the error (the default: nothing is lost). */
  | { readonly kind: 'fail' }
  /** Count it and go on. */
  | { readonly kind: 'skip' }
  /** Produce its bytes to a topic, with the error and its coordinates in headers, in the same transaction. */
  | { readonly kind: 'dead-letter'; readonly topic: string };

export interface SourceSpec {
  readonly kind: 'source';
  readonly name: string;
  readonly topic: string;
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown>;
  readonly timestamp: TimestampExtractor<unknown>;
  readonly onDeserializationError: DeserializationPolicy;
  /** Where a partition without a committed offset begins. */
  readonly offsetReset: 'earliest' | 'latest';
}

export interface OperatorSpec {
  readonly kind: 'operator';
  readonly name: string;
  /** The operator's word in the DSL, for describe(). */
  readonly type: string;
  readonly parents: readonly string[];
  readonly stores: readonly StoreSpec<StateStore>[];
  instantiate(next: Receiver, environment: TaskEnvironment): Receiver;
}

export interface SinkSpec {
  readonly kind: 'sink';
  readonly name: string;
  readonly parents: readonly string[];
  /** Topics it may write: one for a static sink, the declared ones for a dynamic sink. */
  readonly topics: readonly string[];
  readonly serdes: readonly Serde<unknown>[];
  /** @param resolve gives the topic of an application for a topic of the graph */
  instantiate(environment: TaskEnvironment, resolve?: (topic: string) => string): Receiver;
}

/** A topic that every instance reads whole, into one store that all its tasks see. Not part of a subtopology. */
export interface GlobalSpec {
  readonly name: string;
  readonly topic: string;
  /** Takes the topic's records through `restore`: key and value bytes as they are. It has no changelog. */
  readonly store: StoreSpec<StateStore>;
}

/** A topic between two subtopologies of the graph. */
export interface InternalTopicSpec {
  /** Its name in the graph, starting with `internal:`. */
  readonly topic: string;
  /** Partitions asked for; null follows the subtopologies that read and write it. */
  readonly partitions: number | null;
}

export type NodeSpec = SourceSpec | OperatorSpec | SinkSpec;

/** A connected part of the graph: what runs together in a task, once per partition of its source topics. */
export interface Subtopology {
  readonly id: number;
  readonly nodes: readonly NodeSpec[];
  readonly sources: readonly SourceSpec[];
  readonly stores: readonly StoreSpec<StateStore>[];
}

/** A topology that cannot run: says which operator, and what to change. */
export class TopologyError extends Error {
  override readonly name = 'TopologyError';
}

export class Topology {
  readonly nodes: readonly NodeSpec[];
  readonly subtopologies: readonly Subtopology[];
  readonly globals: readonly GlobalSpec[];
  readonly internalTopics: readonly InternalTopicSpec[];
  readonly #children = new Map<string, NodeSpec[]>();

  /** Use StreamBuilder.build(). Throws TopologyError for duplicate names or a source without a reader. */
  constructor(
    nodes: readonly NodeSpec[],
    globals: readonly GlobalSpec[] = [],
    internalTopics: readonly InternalTopicSpec[] = [],
  ) {
    this.nodes = Object.freeze([...nodes]);
    this.globals = Object.freeze([...globals]);
    this.internalTopics = Object.freeze([...internalTopics]);
    const byName = new Map<string, NodeSpec>();
    for (const node of nodes) {
      if (byName.has(node.name))
        throw new TopologyError(`two operators are named "${node.name}"; give one another name`);
      byName.set(node.name, node);
      this.#children.set(node.name, []);
    }
    for (const node of nodes) {
      if (node.kind === 'source') continue;
      for (const parent of node.parents) this.#children.get(parent)!.push(node);
    }
    this.subtopologies = connected(nodes);
  }

  /** Operators and sinks that read a node's output, in the order they were added. */
  childrenOf(name: string): readonly NodeSpec[] {
    return this.#children.get(name) ?? [];
  }

  /**
   * The same graph with the topic names of an application in place of the `internal:` ones. The runtime and the
   * TestDriver run a bound topology; nodes, stores and subtopologies are the same.
   */
  bind(applicationId: string): Topology {
    const resolve = (topic: string): string => resolveTopic(applicationId, topic);
    const nodes = this.nodes.map((node): NodeSpec => {
      if (node.kind === 'source') return { ...node, topic: resolve(node.topic) };
      if (node.kind === 'operator') return node;
      return {
        ...node,
        topics: node.topics.map(resolve),
        instantiate: (environment: TaskEnvironment) => node.instantiate(environment, resolve),
      };
    });
    const internal = this.internalTopics.map((one) => ({ ...one, topic: resolve(one.topic) }));
    return new Topology(nodes, this.globals, internal);
  }

  /**
   * Topics whose partition counts must be equal, per subtopology: partition p of each of them is one task's input.
   * (Kafka Streams asks this of joined topics only; here it holds for merged ones too.)
   */
  get copartitionGroups(): readonly (readonly string[])[] {
    return this.subtopologies
      .map((part) => part.sources.map((source) => source.topic))
      .filter((topics) => topics.length > 1);
  }

  /** The internal topics and changelogs that an application running this graph needs. */
  resources(applicationId: string): TopicResource[] {
    return topicResources(this, applicationId);
  }

  /** Every topic the topology reads, without those of global tables. */
  get sourceTopics(): string[] {
    return this.subtopologies.flatMap((part) => part.sources.map((source) => source.topic));
  }

  /** Every topic a sink may write, without internal ones. */
  get sinkTopics(): string[] {
    return [...new Set(this.nodes.flatMap((node) => (node.kind === 'sink' ? node.topics : [])))];
  }

  /** Every serde that a source, a sink or a store uses: those with a `prepare` must run it before the first record. */
  get serdes(): Serde<unknown>[] {
    const ofNodes = this.nodes.flatMap((node) =>
      node.kind === 'source'
        ? [...(node.key === null ? [] : [node.key]), node.value]
        : node.kind === 'sink'
          ? [...node.serdes]
          : node.stores.flatMap((store) => [...(store.serdes ?? [])]),
    );
    return [...new Set([...ofNodes, ...this.globals.flatMap((one) => [...(one.store.serdes ?? [])])])];
  }
}

/** Groups nodes that share an edge or a store; numbered in the order their first node was added. */
function connected(nodes: readonly NodeSpec[]): Subtopology[] {
  const leader = new Map<string, string>(nodes.map((node) => [node.name, node.name]));
  const find = (name: string): string => {
    let root = name;
    while (leader.get(root) !== root) root = leader.get(root)!;
    return root;
  };
  const unite = (a: string, b: string): void => {
    leader.set(find(b), find(a));
  };
  const ownerOfStore = new Map<string, string>();
  for (const node of nodes) {
    if (node.kind === 'source') continue;
    for (const parent of node.parents) unite(parent, node.name);
    if (node.kind !== 'operator') continue;
    for (const store of node.stores) {
      const owner = ownerOfStore.get(store.name);
      if (owner === undefined) ownerOfStore.set(store.name, node.name);
      else unite(owner, node.name);
    }
  }
  const groups = new Map<string, NodeSpec[]>();
  for (const node of nodes) {
    const root = find(node.name);
    const group = groups.get(root);
    if (group === undefined) groups.set(root, [node]);
    else group.push(node);
  }
  return [...groups.values()].map((group, id) => {
    const stores = new Map<string, StoreSpec<StateStore>>();
    for (const node of group) {
      if (node.kind !== 'operator') continue;
      for (const store of node.stores) {
        const known = stores.get(store.name);
        if (known !== undefined && known !== store) {
          throw new TopologyError(
            `two different stores are named "${store.name}"; share one declaration or rename one`,
          );
        }
        stores.set(store.name, store);
      }
    }
    const sources = group.filter((node): node is SourceSpec => node.kind === 'source');
    return { id, nodes: group, sources, stores: [...stores.values()] };
  });
}
