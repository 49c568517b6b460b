/** How the topics that belong to an application are named, in the graph and on the cluster. */

/** Names in the graph of topics that only the application itself reads and writes start with this. */
export const INTERNAL_PREFIX = 'internal:';

/** The topic of an application for a topic of the graph: `internal:x` is `<application>-x`, others are themselves. */
export function resolveTopic(applicationId: string, topic: string): string {
  return topic.startsWith(INTERNAL_PREFIX)
    ? `${applicationId}-${topic.slice(INTERNAL_PREFIX.length)}`
    : topic;
}

/** The changelog topic of a store, as Kafka Streams names it. */
export function changelogTopic(applicationId: string, store: string): string {
  return `${applicationId}-${store}-changelog`;
}
