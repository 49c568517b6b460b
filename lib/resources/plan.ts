/** The difference between what should be and what is: a pure function, and the whole of the decisions. */
import type { Compatibility } from '../serde/registry-client.ts';
import type { AvroSchemaJson } from '../serde/compile-avro.ts';
import { validateDesired, type DesiredResources, type DesiredSubject, type DesiredTopic } from './desired.ts';
import type { LiveResources, LiveTopic } from './live.ts';

export type Change =
  | {
      readonly kind: 'create-topic';
      readonly topic: string;
      readonly partitions: number;
      readonly replicationFactor?: number;
      readonly configs: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'add-partitions'; readonly topic: string; readonly from: number; readonly to: number }
  /** `from` is undefined when the broker does not know the key (yet). */
  | {
      readonly kind: 'alter-config';
      readonly topic: string;
      readonly key: string;
      readonly from?: string;
      readonly to: string;
    }
  | {
      readonly kind: 'set-compatibility';
      readonly subject: string;
      /** Undefined when the registry's default applied. */
      readonly from?: Compatibility;
      readonly to: Compatibility;
    }
  | {
      readonly kind: 'register-schema';
      readonly subject: string;
      /** True when the subject exists: the schema becomes its next version. */
      readonly evolves: boolean;
      readonly schema: AvroSchemaJson;
    }
  | { readonly kind: 'delete-topic'; readonly topic: string }
  | { readonly kind: 'delete-subject'; readonly subject: string };

export type RefusalCode =
  | 'WRONG_CLUSTER'
  /** The partition count of a topic with fixed partitions differs. */
  | 'PARTITIONS_FIXED'
  /** Kafka cannot take partitions away. */
  | 'PARTITIONS_DECREASE'
  | 'REPLICATION_FACTOR_DIFFERS'
  | 'INCOMPATIBLE_SCHEMA'
  /** Subjects of one group hold the schema under different ids already. */
  | 'SCHEMA_IDS_DIFFER'
  /** Deletion was allowed for something that is desired. */
  | 'DELETE_OF_DESIRED';

export interface Refusal {
  readonly code: RefusalCode;
  /** The topic, subject, group or cluster that it is about. */
  readonly resource: string;
  readonly message: string;
}

export interface Plan {
  readonly clusterId: string;
  /** In the order in which they are applied. */
  readonly changes: readonly Change[];
  /** With any of these nothing is applied. */
  readonly refusals: readonly Refusal[];
  /** What exists without being desired. Never touched. */
  readonly unmanaged: { readonly topics: readonly string[]; readonly subjects: readonly string[] };
}

export interface PlanOptions {
  /** Names of undesired topics and subjects to delete. A name that does not exist is nothing to do. */
  readonly allowDelete?: readonly string[];
}

/** Throws InvalidDesiredState when the desired state contradicts itself. */
export function plan(desired: DesiredResources, live: LiveResources, options: PlanOptions = {}): Plan {
  validateDesired(desired);
  const changes: Change[] = [];
  const refusals: Refusal[] = [];
  if (desired.clusterId !== undefined && desired.clusterId !== live.clusterId) {
    refusals.push({
      code: 'WRONG_CLUSTER',
      resource: live.clusterId,
      message: `this is cluster ${live.clusterId}, the desired state is for ${desired.clusterId}: check the bootstrap servers`,
    });
  }
  for (const topic of desired.topics) planTopic(topic, live.topics.get(topic.name), changes, refusals);
  for (const subject of desired.subjects) planSubject(subject, live, changes, refusals);
  refuseUnequalIds(desired.subjects, live, refusals);

  const deletable = new Set(options.allowDelete ?? []);
  const wanted = new Set([
    ...desired.topics.map(({ name }) => name),
    ...desired.subjects.map(({ subject }) => subject),
  ]);
  for (const name of deletable) {
    if (!wanted.has(name)) continue;
    refusals.push({
      code: 'DELETE_OF_DESIRED',
      resource: name,
      message: `${name} is desired: take it out of the desired state before deleting it`,
    });
  }
  for (const topic of live.otherTopics)
    if (deletable.has(topic)) changes.push({ kind: 'delete-topic', topic });
  for (const subject of live.otherSubjects)
    if (deletable.has(subject)) changes.push({ kind: 'delete-subject', subject });
  return {
    clusterId: live.clusterId,
    changes,
    refusals,
    unmanaged: {
      topics: live.otherTopics.filter((name) => !deletable.has(name)),
      subjects: live.otherSubjects.filter((name) => !deletable.has(name)),
    },
  };
}

function planTopic(
  topic: DesiredTopic,
  live: LiveTopic | undefined,
  changes: Change[],
  refusals: Refusal[],
): void {
  const { name, partitions, replicationFactor, configs } = topic;
  if (live === undefined) {
    const factor = replicationFactor === undefined ? {} : { replicationFactor };
    changes.push({ kind: 'create-topic', topic: name, partitions, ...factor, configs });
    return;
  }
  if (partitions !== live.partitions) {
    const counts = `${name} has ${live.partitions} partitions, ${partitions} are desired`;
    if (partitions < live.partitions) {
      refusals.push({
        code: 'PARTITIONS_DECREASE',
        resource: name,
        message: `${counts}: Kafka takes no partitions away; make a new topic and move to it`,
      });
    } else if (topic.fixedPartitions === true) {
      refusals.push({
        code: 'PARTITIONS_FIXED',
        resource: name,
        message: `${counts}: its records are placed by key, so the count never changes in place; make a new topic and move to it`,
      });
    } else {
      changes.push({ kind: 'add-partitions', topic: name, from: live.partitions, to: partitions });
    }
  }
  if (replicationFactor !== undefined && replicationFactor !== live.replicationFactor) {
    refusals.push({
      code: 'REPLICATION_FACTOR_DIFFERS',
      resource: name,
      message: `${name} has replication factor ${live.replicationFactor}, ${replicationFactor} is desired: reassign its replicas with Kafka's own tool`,
    });
  }
  for (const [key, to] of Object.entries(configs)) {
    const from = live.configs[key];
    if (from !== to) {
      changes.push({ kind: 'alter-config', topic: name, key, ...(from === undefined ? {} : { from }), to });
    }
  }
}

function planSubject(
  desired: DesiredSubject,
  live: LiveResources,
  changes: Change[],
  refusals: Refusal[],
): void {
  const { subject, compatibility: to, schema } = desired;
  const existing = live.subjects.get(subject);
  const from = existing?.compatibility;
  if (from !== to)
    changes.push({ kind: 'set-compatibility', subject, ...(from === undefined ? {} : { from }), to });
  if (existing?.id !== undefined) return;
  if (existing !== undefined && existing.incompatible.length > 0) {
    refusals.push({
      code: 'INCOMPATIBLE_SCHEMA',
      resource: subject,
      message: `${subject} refuses the schema: ${existing.incompatible.join('; ')}`,
    });
    return;
  }
  changes.push({ kind: 'register-schema', subject, evolves: existing !== undefined, schema });
}

function refuseUnequalIds(
  subjects: readonly DesiredSubject[],
  live: LiveResources,
  refusals: Refusal[],
): void {
  for (const [group, ids] of idsByGroup(subjects, (subject) => live.subjects.get(subject)?.id)) {
    if (new Set(ids.values()).size > 1) refusals.push(unequalIds(group, ids));
  }
}

/** Ids by subject for each group; subjects without an id are left out. */
export function idsByGroup(
  subjects: readonly DesiredSubject[],
  idOf: (subject: string) => number | undefined,
): Map<string, Map<string, number>> {
  const groups = new Map<string, Map<string, number>>();
  for (const { subject, group } of subjects) {
    const id = idOf(subject);
    if (group === undefined || id === undefined) continue;
    groups.set(group, (groups.get(group) ?? new Map<string, number>()).set(subject, id));
  }
  return groups;
}

export function unequalIds(group: string, ids: ReadonlyMap<string, number>): Refusal {
  const each = [...ids].map(([subject, id]) => `${subject} ${id}`).join(', ');
  return {
    code: 'SCHEMA_IDS_DIFFER',
    resource: group,
    message: `the schema of ${group} has different ids (${each}): bytes written for one topic would not decode by another's subject; delete the odd subject and apply again`,
  };
}
