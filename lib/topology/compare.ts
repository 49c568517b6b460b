/**
 * What a changed topology would break of one that runs: state that would be lost, records that would be left behind,
 * partitions that would no longer fit. An empty answer means that the new one can take over.
 */
import type { Subtopology, Topology } from './graph.ts';
import { topicResources } from './topic-resources.ts';

export interface Incompatibility {
  readonly kind:
    | 'store-removed'
    | 'store-changed'
    | 'store-moved'
    | 'internal-topic-removed'
    | 'internal-topic-changed'
    | 'subtopology-changed';
  /** The store, topic or subtopology it is about. */
  readonly subject: string;
  /** What it means, and the way out. */
  readonly message: string;
}

/** Compares the graph that is running with the one to run next, under the same application id. */
export function compareTopologies(running: Topology, changed: Topology): Incompatibility[] {
  return [
    ...comparedStores(running, changed),
    ...comparedInternalTopics(running, changed),
    ...comparedSubtopologies(running, changed),
  ];
}

function comparedStores(running: Topology, changed: Topology): Incompatibility[] {
  const next = ownersOfStores(changed);
  const found: Incompatibility[] = [];
  for (const [name, { store, part }] of ownersOfStores(running)) {
    const other = next.get(name);
    if (other === undefined) {
      found.push({
        kind: 'store-removed',
        subject: name,
        message: `store "${name}" is gone: its changelog stays behind unread. If it was renamed, name it as before, or reset the application`,
      });
      continue;
    }
    if (other.store.changelog !== store.changelog || other.store.retentionMs !== store.retentionMs) {
      found.push({
        kind: 'store-changed',
        subject: name,
        message:
          `store "${name}" changes its changelog from ${store.changelog} (retention ${store.retentionMs ?? 'unlimited'}) ` +
          `to ${other.store.changelog} (retention ${other.store.retentionMs ?? 'unlimited'}): give it a new name, or reset the application`,
      });
    }
    const before = topicsOf(part);
    const after = topicsOf(other.part);
    if (before.join() !== after.join()) {
      found.push({
        kind: 'store-moved',
        subject: name,
        message:
          `store "${name}" was fed by ${before.join(', ')} and would be by ${after.join(', ')}: ` +
          'its partitions may hold other keys then. Give it a new name, or reset the application',
      });
    }
  }
  return found;
}

function comparedInternalTopics(running: Topology, changed: Topology): Incompatibility[] {
  const partitionsOf = (topology: Topology): Map<string, string> =>
    new Map(
      topicResources(topology, '')
        .filter((one) => one.purpose === 'repartition')
        .map((one) => [
          one.name.slice(1),
          one.partitions === null ? `those of ${one.partitionsLike.join(', ')}` : String(one.partitions),
        ]),
    );
  const next = partitionsOf(changed);
  const found: Incompatibility[] = [];
  for (const [name, partitions] of partitionsOf(running)) {
    const other = next.get(name);
    if (other === undefined) {
      found.push({
        kind: 'internal-topic-removed',
        subject: name,
        message: `internal topic "${name}" is gone: records in it that are not yet processed would be lost. Name it as before, or drain it first`,
      });
    } else if (other !== partitions) {
      found.push({
        kind: 'internal-topic-changed',
        subject: name,
        message: `internal topic "${name}" has as many partitions as ${partitions} and would have ${other}: counts never change in place, so name it anew`,
      });
    }
  }
  return found;
}

function comparedSubtopologies(running: Topology, changed: Topology): Incompatibility[] {
  const shape = (part: Subtopology): string => topicsOf(part).join(', ');
  const next = new Set(changed.subtopologies.map(shape));
  const kept = new Set(changed.sourceTopics);
  return running.subtopologies
    .filter((part) => !next.has(shape(part)) && part.sources.every((source) => kept.has(source.topic)))
    .map((part) => ({
      kind: 'subtopology-changed' as const,
      subject: shape(part),
      message:
        `${shape(part)} made up a task of their own and would be read together with others, or apart: ` +
        'stop all instances before the new ones start, they cannot share the work',
    }));
}

function topicsOf(part: Subtopology): string[] {
  return part.sources.map((source) => source.topic).sort();
}

function ownersOfStores(
  topology: Topology,
): Map<string, { readonly store: Subtopology['stores'][number]; readonly part: Subtopology }> {
  return new Map(
    topology.subtopologies.flatMap((part) =>
      part.stores.map((store) => [store.name, { store, part }] as const),
    ),
  );
}
