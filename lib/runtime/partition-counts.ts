/** The check before start: source and changelog topics exist, with equal partition counts where tasks need them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Consumer } from '../kafka/client.ts';
import type { Logger } from '../telemetry/logger.ts';
import { changelogTopic, TopologyError, type Topology } from '../topology/graph.ts';

const METADATA_TIMEOUT_MS = 10_000;
const RETRY_MS = 1000;
const LOG_EVERY = 10;

/**
 * Waits for topics that do not exist yet (services start in any order), then checks that partition p of every source
 * of a subtopology, and of its changelogs, exists exactly when it does in the others. Throws TopologyError with the
 * topics and counts when they differ: counts never change in place.
 */
export async function checkPartitionCounts(
  topology: Topology,
  applicationId: string,
  consumer: Consumer,
  logger: Logger,
  stopping: () => boolean,
): Promise<void> {
  const needed = topology.subtopologies.map((part) => [
    ...part.sources.map((source) => source.topic),
    ...part.stores
      .filter((store) => store.changelog !== 'none')
      .map((store) => changelogTopic(applicationId, store.name)),
  ]);
  const all = needed.flat();
  for (let attempt = 0; !stopping(); attempt++) {
    const counts = await consumer.partitionCounts(all, METADATA_TIMEOUT_MS).catch((error: unknown) => {
      logger.warn({ error: (error as Error).message }, 'brokers cannot be reached; trying again');
      return new Map<string, number>();
    });
    const missing = all.filter((topic) => !counts.has(topic));
    if (missing.length === 0) {
      for (const topics of needed) {
        if (new Set(topics.map((topic) => counts.get(topic))).size <= 1) continue;
        const list = topics.map((topic) => `${topic} has ${counts.get(topic)!}`).join(', ');
        throw new TopologyError(`topics of one subtopology need equal partition counts: ${list}`);
      }
      return;
    }
    if (attempt % LOG_EVERY === 0) logger.info({ missing }, 'waiting for topics');
    await delay(RETRY_MS);
  }
}
