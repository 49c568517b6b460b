/** What a cluster and a schema registry do hold, as far as a plan needs it, and the calls that say so. */
import type { AvroSchemaJson } from '../serde/compile-avro.ts';
import type { Compatibility } from '../serde/registry-client.ts';
import type { DesiredResources } from './desired.ts';

export interface LiveTopic {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Effective values, the broker's defaults included. */
  readonly configs: Readonly<Record<string, string>>;
}

/** The part of Kafka's admin API that resources need. */
export interface TopicAdmin {
  clusterId(): Promise<string>;
  /** Every topic's name, internal ones (`__consumer_offsets` …) included. */
  listTopics(): Promise<readonly string[]>;
  /** The named topics that exist; the others are left out. */
  describeTopics(names: readonly string[]): Promise<readonly LiveTopic[]>;
  createTopics(
    topics: readonly {
      readonly name: string;
      readonly partitions: number;
      readonly replicationFactor?: number;
      readonly configs: Readonly<Record<string, string>>;
    }[],
  ): Promise<void>;
  /** Raises the partition count to `total`. */
  createPartitions(topic: string, total: number): Promise<void>;
  /** Sets these keys and no other (incremental). */
  alterConfigs(topic: string, configs: Readonly<Record<string, string>>): Promise<void>;
  deleteTopics(names: readonly string[]): Promise<void>;
}

/** The part of a schema registry that resources need; SchemaRegistry has it. */
export interface SubjectRegistry {
  readonly client: {
    subjects(): Promise<readonly string[]>;
    compatibility(subject: string): Promise<Compatibility | undefined>;
    setCompatibility(subject: string, compatibility: Compatibility): Promise<void>;
    deleteSubject(subject: string): Promise<void>;
  };
  idOf(subject: string, schema: AvroSchemaJson): Promise<number | undefined>;
  check(
    subject: string,
    schema: AvroSchemaJson,
  ): Promise<{ readonly compatible: boolean; readonly reasons: string[] }>;
  register(subject: string, schema: AvroSchemaJson): Promise<number>;
}

export interface LiveSubject {
  readonly subject: string;
  /** The subject's own level; undefined when the registry's default applies. */
  readonly compatibility?: Compatibility;
  /** The id of the desired schema, if this subject holds it. */
  readonly id?: number;
  /** Why the registry would refuse the desired schema; empty when it would take it. */
  readonly incompatible: readonly string[];
}

export interface LiveResources {
  readonly clusterId: string;
  readonly topics: ReadonlyMap<string, LiveTopic>;
  readonly subjects: ReadonlyMap<string, LiveSubject>;
  /** Everything else that exists, Kafka's and the registry's internals left out; sorted. */
  readonly otherTopics: readonly string[];
  readonly otherSubjects: readonly string[];
}

const INTERNAL_TOPIC = /^(__|_schemas$|kafkasql-)/;

/** Reads what a plan for `desired` compares with. */
export async function readLive(
  desired: DesiredResources,
  admin: TopicAdmin,
  registry: SubjectRegistry,
): Promise<LiveResources> {
  const wantedTopics = new Set(desired.topics.map(({ name }) => name));
  const wantedSubjects = new Set(desired.subjects.map(({ subject }) => subject));
  const [clusterId, topicNames, subjectNames] = await Promise.all([
    admin.clusterId(),
    admin.listTopics(),
    registry.client.subjects(),
  ]);
  const topics = new Map<string, LiveTopic>();
  const existing = topicNames.filter((name) => wantedTopics.has(name));
  if (existing.length > 0) {
    for (const topic of await admin.describeTopics(existing)) topics.set(topic.name, topic);
  }
  const subjects = new Map<string, LiveSubject>();
  const present = new Set(subjectNames);
  await Promise.all(
    desired.subjects
      .filter(({ subject }) => present.has(subject))
      .map(async ({ subject, schema }) => {
        const [compatibility, id] = await Promise.all([
          registry.client.compatibility(subject),
          registry.idOf(subject, schema),
        ]);
        const { compatible, reasons } =
          id === undefined ? await registry.check(subject, schema) : { compatible: true, reasons: [] };
        subjects.set(subject, {
          subject,
          ...(compatibility === undefined ? {} : { compatibility }),
          ...(id === undefined ? {} : { id }),
          incompatible: compatible ? [] : reasons.length > 0 ? reasons : ['the registry gave no reason'],
        });
      }),
  );
  return {
    clusterId,
    topics,
    subjects,
    otherTopics: topicNames.filter((name) => !wantedTopics.has(name) && !INTERNAL_TOPIC.test(name)).sort(),
    otherSubjects: subjectNames.filter((subject) => !wantedSubjects.has(subject)).sort(),
  };
}
