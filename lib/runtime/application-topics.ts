/**
 * The check before start: the topics that the application was given exist, its own (repartition topics, changelogs)
 * are made where they are missing, and partition counts fit together.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { Admin } from '../kafka/admin.ts';
import type { Consumer } from '../kafka/client.ts';
import { KafkaError } from '../kafka/kafka-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import { TopologyError, type Topology } from '../topology/graph.ts';
import type { TopicResource } from '../topology/topic-resources.ts';

const METADATA_TIMEOUT_MS = 10_000;
const RETRY_MS = 1000;
const LOG_EVERY = 10;
const TOPIC_ALREADY_EXISTS = 'TOPIC_ALREADY_EXISTS';

export interface ApplicationTopicsOptions {
  /** Bound to the application: with its own topic names. */
  readonly topology: Topology;
  readonly applicationId: string;
  readonly bootstrapServers: string;
  readonly consumer: Consumer;
  readonly logger: Logger;
  readonly stopping: () => boolean;
}

/**
 * Waits for the given topics (services start in any order), makes the application's own, and throws TopologyError with
 * the topics and counts when they do not fit: counts never change in place.
 */
export async function ensureApplicationTopics(options: ApplicationTopicsOptions): Promise<void> {
  const { topology, applicationId } = options;
  const own = topology.resources(applicationId);
  const ownNames = new Set(own.map((resource) => resource.name));
  const given = [...topology.sourceTopics, ...topology.globals.map((one) => one.topic)].filter(
    (topic) => !ownNames.has(topic),
  );
  const counts = await waitForTopics(options, given);
  if (counts === null) return;
  for (const [topic, count] of await existing(options, [...ownNames])) counts.set(topic, count);
  for (const resource of own) await settle(options, resource, counts);
  for (const topics of topology.copartitionGroups) requireEqual(topics, counts);
}

/** Counts of topics that somebody else makes; null when the instance is stopped meanwhile. */
async function waitForTopics(
  options: ApplicationTopicsOptions,
  topics: readonly string[],
): Promise<Map<string, number> | null> {
  for (let attempt = 0; !options.stopping(); attempt++) {
    const counts = await existing(options, topics);
    const missing = topics.filter((topic) => !counts.has(topic));
    if (missing.length === 0) return counts;
    if (attempt % LOG_EVERY === 0) options.logger.info({ missing }, 'waiting for topics');
    await delay(RETRY_MS);
  }
  return null;
}

async function existing(
  { consumer, logger, stopping }: ApplicationTopicsOptions,
  topics: readonly string[],
): Promise<Map<string, number>> {
  if (topics.length === 0) return new Map();
  for (;;) {
    try {
      return await consumer.partitionCounts(topics, METADATA_TIMEOUT_MS);
    } catch (error) {
      if (!(error instanceof KafkaError) || error.fatal || stopping()) throw error;
      logger.warn({ error: error.message }, 'brokers cannot be reached; trying again');
      await delay(RETRY_MS);
    }
  }
}

/** Makes one of the application's own topics, or checks the one that is there. */
async function settle(
  options: ApplicationTopicsOptions,
  resource: TopicResource,
  counts: Map<string, number>,
): Promise<void> {
  const like = resource.partitionsLike.map((topic) => counts.get(topic)!);
  if (resource.purpose === 'changelog') requireEqual(resource.partitionsLike, counts);
  const wanted = resource.partitions ?? Math.max(1, ...like);
  if (!counts.has(resource.name)) {
    await create(options, resource, wanted);
    const made = (await existing(options, [resource.name])).get(resource.name);
    counts.set(resource.name, made ?? wanted);
  }
  const found = counts.get(resource.name)!;
  if (found !== wanted) {
    throw new TopologyError(
      `${resource.purpose} topic ${resource.name} has ${found} partitions, and the topology needs ${wanted}` +
        `${like.length > 0 ? ` (as ${resource.partitionsLike.join(', ')})` : ''}; reset the application, or give it back its topics' counts`,
    );
  }
}

async function create(
  options: ApplicationTopicsOptions,
  resource: TopicResource,
  partitions: number,
): Promise<void> {
  const admin = new Admin({ bootstrapServers: options.bootstrapServers });
  try {
    await admin.createTopics([{ name: resource.name, partitions, configs: resource.configs }]);
    options.logger.info({ topic: resource.name, partitions }, `made ${resource.purpose} topic`);
  } catch (error) {
    // Another instance was faster.
    if (!(error instanceof KafkaError) || error.codeName !== TOPIC_ALREADY_EXISTS) throw error;
  } finally {
    await admin.close();
  }
}

function requireEqual(topics: readonly string[], counts: ReadonlyMap<string, number>): void {
  if (new Set(topics.map((topic) => counts.get(topic))).size <= 1) return;
  const list = topics.map((topic) => `${topic} has ${counts.get(topic) ?? 0}`).join(', ');
  throw new TopologyError(`topics of one subtopology need equal partition counts: ${list}`);
}
