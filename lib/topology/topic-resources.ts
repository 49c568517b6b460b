/** The topics that an application needs besides those it was given: repartition topics and changelogs, as data. */
import type { Subtopology, Topology } from './graph.ts';
import { changelogTopic, resolveTopic } from './topic-names.ts';

export interface TopicResource {
  readonly name: string;
  readonly purpose: 'repartition' | 'changelog';
  /** The subtopology that reads it (repartition) or owns the store (changelog). */
  readonly subtopology: number;
  /** A partition count asked for; null when it follows from `partitionsLike`. */
  readonly partitions: number | null;
  /**
   * Topics it takes its partition count from: their largest count for a repartition topic, their one count for a
   * changelog. Resolve them in the order of the list: those that come earlier never depend on later ones.
   */
  readonly partitionsLike: readonly string[];
  /** Topic configuration, by Kafka's names. */
  readonly configs: Readonly<Record<string, string>>;
}

const LONG_MAX = '9223372036854775807';

export function topicResources(topology: Topology, applicationId: string): TopicResource[] {
  return [...repartitionTopics(topology, applicationId), ...changelogs(topology, applicationId)];
}

function repartitionTopics(topology: Topology, applicationId: string): TopicResource[] {
  const internal = new Set(topology.internalTopics.map((one) => one.topic));
  const resources = topology.internalTopics.map(({ topic, partitions }): TopicResource => {
    const reader = topology.subtopologies.find((part) =>
      part.sources.some((source) => source.topic === topic),
    )!;
    // Joined with a topic from outside, it has that topic's count; else the count of those who write it.
    const beside = reader.sources.map((source) => source.topic).filter((one) => !internal.has(one));
    const like =
      beside.length > 0
        ? beside
        : writersOf(topology, topic).flatMap((part) => part.sources.map((source) => source.topic));
    return {
      name: resolveTopic(applicationId, topic),
      purpose: 'repartition',
      subtopology: reader.id,
      partitions,
      partitionsLike: partitions === null ? like.map((one) => resolveTopic(applicationId, one)) : [],
      configs: {
        'cleanup.policy': 'delete',
        // Deleted behind the commit with DeleteRecords; time must not delete what has not been read.
        'retention.ms': '-1',
        // Event time may lie anywhere; brokers otherwise refuse what is an hour ahead.
        'message.timestamp.type': 'CreateTime',
        'message.timestamp.after.max.ms': LONG_MAX,
        'message.timestamp.before.max.ms': LONG_MAX,
      },
    };
  });
  return inDependencyOrder(resources);
}

function changelogs(topology: Topology, applicationId: string): TopicResource[] {
  return topology.subtopologies.flatMap((part) =>
    part.stores
      .filter((store) => store.changelog !== 'none')
      .map((store): TopicResource => {
        const policy =
          store.changelog === 'compact-delete'
            ? 'compact,delete'
            : store.changelog === 'compact'
              ? 'compact'
              : 'delete';
        const configs: Record<string, string> = {
          'cleanup.policy': policy,
          ...(store.retentionMs === undefined ? {} : { 'retention.ms': String(store.retentionMs) }),
        };
        return {
          name: changelogTopic(applicationId, store.name),
          purpose: 'changelog',
          subtopology: part.id,
          partitions: null,
          partitionsLike: part.sources.map((source) => resolveTopic(applicationId, source.topic)),
          configs,
        };
      }),
  );
}

function writersOf(topology: Topology, topic: string): Subtopology[] {
  return topology.subtopologies.filter((part) =>
    part.nodes.some((node) => node.kind === 'sink' && node.topics.includes(topic)),
  );
}

/** A topic after those it takes its count from, as far as they are in the list; order is kept otherwise. */
function inDependencyOrder(resources: readonly TopicResource[]): TopicResource[] {
  const byName = new Map(resources.map((one) => [one.name, one]));
  const ordered = new Set<TopicResource>();
  const visit = (one: TopicResource, path: ReadonlySet<string>): void => {
    if (ordered.has(one) || path.has(one.name)) return;
    for (const name of one.partitionsLike) {
      const other = byName.get(name);
      if (other !== undefined) visit(other, new Set([...path, one.name]));
    }
    ordered.add(one);
  };
  for (const one of resources) visit(one, new Set());
  return [...ordered];
}
