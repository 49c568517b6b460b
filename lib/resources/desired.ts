/** What a cluster and a schema registry should hold. Everything not named here is somebody else's. */
import type { AvroSchemaJson } from '../serde/compile-avro.ts';
import type { Compatibility } from '../serde/registry-client.ts';

export interface DesiredTopic {
  readonly name: string;
  readonly partitions: number;
  /** Default: the broker's. Cannot change in place. */
  readonly replicationFactor?: number;
  /** Topic configuration by Kafka's names. Keys that are not listed keep whatever value they have. */
  readonly configs: Readonly<Record<string, string>>;
  /**
   * True when records find their partition by key, or another topic must have as many: the count then never changes in
   * place, because a key's later records would stand in another partition than its earlier ones.
   */
  readonly fixedPartitions?: boolean;
}

export interface DesiredSubject {
  readonly subject: string;
  readonly schemaType: 'AVRO';
  readonly schema: AvroSchemaJson;
  readonly compatibility: Compatibility;
  /** Subjects of one group hold one schema under one id, so that its bytes may move between their topics. */
  readonly group?: string;
}

export interface DesiredResources {
  readonly topics: readonly DesiredTopic[];
  readonly subjects: readonly DesiredSubject[];
  /** Refuse any cluster but this one. */
  readonly clusterId?: string;
}

/** The desired state contradicts itself. */
export class InvalidDesiredState extends Error {
  override readonly name = 'InvalidDesiredState';
}

const TOPIC_NAME = /^[a-zA-Z0-9._-]{1,249}$/;

/** Throws InvalidDesiredState with everything that is wrong with it. */
export function validateDesired(desired: DesiredResources): void {
  const problems: string[] = [];
  const names = new Set<string>();
  for (const { name, partitions, replicationFactor } of desired.topics) {
    if (names.has(name)) problems.push(`topic ${name} is listed twice`);
    names.add(name);
    if (!TOPIC_NAME.test(name) || name === '.' || name === '..')
      problems.push(`${name} is no legal topic name`);
    if (!Number.isInteger(partitions) || partitions < 1)
      problems.push(`topic ${name} wants ${partitions} partitions`);
    if (replicationFactor !== undefined && (!Number.isInteger(replicationFactor) || replicationFactor < 1)) {
      problems.push(`topic ${name} wants a replication factor of ${replicationFactor}`);
    }
  }
  const subjects = new Set<string>();
  const schemaOfGroup = new Map<string, { readonly subject: string; readonly text: string }>();
  for (const { subject, schema, group } of desired.subjects) {
    if (subjects.has(subject)) problems.push(`subject ${subject} is listed twice`);
    subjects.add(subject);
    if (group === undefined) continue;
    const text = JSON.stringify(schema);
    const first = schemaOfGroup.get(group) ?? { subject, text };
    schemaOfGroup.set(group, first);
    if (first.text !== text) {
      problems.push(`subjects ${first.subject} and ${subject} of group ${group} have different schemas`);
    }
  }
  if (problems.length > 0)
    throw new InvalidDesiredState(`the desired resources are wrong: ${problems.join('; ')}`);
}
