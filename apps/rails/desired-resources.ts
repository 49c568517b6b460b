/**
 * What must exist on the cluster and in the registry for the platform to run: topics/*.yaml and schemas/ completed
 * by the profile and the gate's policy. Plain data; planning and applying it is the library's work.
 */
import { fileURLToPath } from 'node:url';
import {
  ConfigError,
  loadConfig,
  type Compatibility,
  type ConfigProblem,
  type DesiredResources,
  type DesiredSubject,
  type DesiredTopic,
} from '../../lib/index.ts';
import { eventSchema, eventTypes, outcomeSchema, recordName, type RecordSchema } from './event-schemas.ts';
import { configSchema, loadPolicies, type Policies } from './policies.ts';
import type { Settings } from './settings.ts';

/** A subject with what it is for; to the library it is a DesiredSubject like any other. */
export interface PlatformSubject extends DesiredSubject {
  readonly recordName: string;
  readonly topic: string;
}

export interface PlatformResources extends DesiredResources {
  readonly subjects: readonly PlatformSubject[];
}

interface TopicsDocument {
  readonly defaults: Readonly<Record<string, string>>;
  readonly topics: readonly {
    readonly name: string;
    readonly dedupe_changelog: boolean;
    readonly configs: Readonly<Record<string, string>>;
  }[];
}

interface SubjectsDocument {
  readonly compatibility: Compatibility;
  readonly events: readonly {
    readonly bus: string;
    readonly ingress: string;
    readonly event_types: readonly string[];
  }[];
  readonly records: readonly { readonly topic: string; readonly record: string }[];
}

const TOPICS = fileURLToPath(new URL('../../topics/topics.yaml', import.meta.url));
const SUBJECTS = fileURLToPath(new URL('../../topics/subjects.yaml', import.meta.url));
const DAY_MS = 86_400_000;

/**
 * The platform's desired topics and subjects, in the order of their files. Throws ConfigError when files, profile
 * and policies do not fit together: a dedupe memory shorter than the bus retention, an event type that is on no
 * topic, a topic that settings know and the file does not.
 */
export function platformResources(
  settings: Settings,
  policies: Policies = loadPolicies(settings.policies),
): PlatformResources {
  return { topics: desiredTopics(settings, policies), subjects: desiredSubjects(settings, policies) };
}

function desiredTopics(settings: Settings, policies: Policies): DesiredTopic[] {
  const document = loadConfig<TopicsDocument>({ files: [TOPICS], schema: configSchema('topics'), env: null });
  const dedupeTtlMs = policies.gate.dedupe_ttl_days * DAY_MS;
  const topics = document.topics.map((topic) => ({
    name: settings.topics.prefix + topic.name,
    partitions: settings.partitions,
    fixedPartitions: true,
    replicationFactor: settings.replicationFactor,
    configs: {
      ...document.defaults,
      'min.insync.replicas': String(settings.minInsyncReplicas),
      ...topic.configs,
      ...(topic.dedupe_changelog ? { 'retention.ms': String(dedupeTtlMs) } : {}),
    },
  }));
  const problems = topicProblems(topics, settings, policies);
  if (problems.length > 0) throw new ConfigError(problems);
  return topics;
}

function topicProblems(
  topics: readonly DesiredTopic[],
  settings: Settings,
  policies: Policies,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const byName = new Map<string, DesiredTopic>(topics.map((topic) => [topic.name, topic]));
  const { prefix: _prefix, ...names } = settings.topics;
  for (const [part, name] of Object.entries(names)) {
    if (!byName.has(name))
      problems.push({ file: TOPICS, path: 'topics', message: `the ${part} topic ${name} is missing` });
  }
  const dedupeTtlMs = policies.gate.dedupe_ttl_days * DAY_MS;
  // A consumer may replay what the ingress or the traffic topic still holds: none of it may be admitted again.
  for (const name of [settings.topics.ingress, settings.topics.traffic]) {
    const retention = Number(byName.get(name)?.configs['retention.ms']);
    if (retention > dedupeTtlMs) {
      const message = `${name} keeps records for ${retention} ms, longer than dedupe_ttl_days remembers (${dedupeTtlMs} ms)`;
      problems.push({ file: TOPICS, path: 'topics', message });
    }
  }
  const longest = byName.get(settings.topics.ingress)?.configs['max.message.bytes'];
  if (Number(longest) < policies.gate.max_record_bytes) {
    const message = `ingress takes ${longest ?? 'no'} bytes, less than max_record_bytes ${policies.gate.max_record_bytes}`;
    problems.push({ file: TOPICS, path: 'topics', message });
  }
  return problems;
}

function desiredSubjects(settings: Settings, policies: Policies): PlatformSubject[] {
  const document = loadConfig<SubjectsDocument>({
    files: [SUBJECTS],
    schema: configSchema('subjects'),
    env: null,
  });
  const { prefix } = settings.topics;
  const subject = (topic: string, schema: RecordSchema): PlatformSubject => ({
    subject: `${topic}-${recordName(schema)}`,
    schemaType: 'AVRO',
    schema,
    compatibility: document.compatibility,
    // Their records are forwarded as bytes from topic to topic: one schema, one id.
    group: recordName(schema),
    recordName: recordName(schema),
    topic,
  });
  const subjects = document.events.flatMap(({ ingress, bus, event_types }) =>
    event_types.flatMap((eventType) =>
      [ingress, bus].map((topic) => subject(prefix + topic, eventSchema(eventType))),
    ),
  );
  const problems = subjectProblems(document, settings, policies);
  if (problems.length > 0) throw new ConfigError(problems);
  return [...subjects, ...document.records.map(({ topic }) => subject(prefix + topic, outcomeSchema()))];
}

function subjectProblems(
  document: SubjectsDocument,
  settings: Settings,
  policies: Policies,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const problem = (message: string): void => void problems.push({ file: SUBJECTS, path: 'events', message });
  const listed = new Set(document.events.flatMap((events) => events.event_types));
  for (const eventType of eventTypes()) {
    if (!listed.has(eventType)) problem(`${eventType} has a payload schema and is on no topic`);
  }
  for (const { bus, event_types } of document.events) {
    for (const eventType of event_types) {
      const expected = settings.topics[policies.partitioning.profileOf(eventType).bus];
      if (settings.topics.prefix + bus !== expected) {
        problem(`${eventType} is listed under ${bus}, and its partitioning profile routes it to ${expected}`);
      }
    }
  }
  return problems;
}
