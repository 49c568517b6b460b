/** A cluster and a registry in memory behind the ports of lib/resources, with everything that was called. */
import type { AvroSchemaJson } from '../../../lib/serde/compile-avro.ts';
import type { Compatibility } from '../../../lib/serde/registry-client.ts';
import { SchemaRegistryError } from '../../../lib/serde/registry-client.ts';
import type { LiveTopic, SubjectRegistry, TopicAdmin } from '../../../lib/resources/live.ts';

const BROKER_DEFAULTS = {
  'cleanup.policy': 'delete',
  'retention.ms': '604800000',
  'compression.type': 'producer',
};

export class MemoryCluster implements TopicAdmin {
  readonly topics = new Map<string, LiveTopic>();
  readonly calls: string[] = [];
  /** Describes for which new topics stay unseen. */
  hiddenFor = 0;
  #unseen = new Map<string, number>();

  clusterId(): Promise<string> {
    return Promise.resolve('cluster-1');
  }

  listTopics(): Promise<string[]> {
    return Promise.resolve([...this.topics.keys(), '__consumer_offsets']);
  }

  describeTopics(names: readonly string[]): Promise<LiveTopic[]> {
    return Promise.resolve(
      names.flatMap((name) => {
        const hidden = this.#unseen.get(name) ?? 0;
        this.#unseen.set(name, hidden - 1);
        const topic = this.topics.get(name);
        return topic === undefined || hidden > 0 ? [] : [topic];
      }),
    );
  }

  createTopics(topics: Parameters<TopicAdmin['createTopics']>[0]): Promise<void> {
    this.calls.push(`create ${topics.map(({ name }) => name).join(' ')}`);
    for (const { name, partitions, replicationFactor, configs } of topics) {
      this.topics.set(name, {
        name,
        partitions,
        replicationFactor: replicationFactor ?? 1,
        configs: { ...BROKER_DEFAULTS, ...configs },
      });
      this.#unseen.set(name, this.hiddenFor);
    }
    return Promise.resolve();
  }

  createPartitions(topic: string, total: number): Promise<void> {
    this.calls.push(`partitions ${topic} ${total}`);
    this.topics.set(topic, { ...this.topics.get(topic)!, partitions: total });
    return Promise.resolve();
  }

  alterConfigs(topic: string, configs: Readonly<Record<string, string>>): Promise<void> {
    this.calls.push(`alter ${topic} ${JSON.stringify(configs)}`);
    const live = this.topics.get(topic)!;
    this.topics.set(topic, { ...live, configs: { ...live.configs, ...configs } });
    return Promise.resolve();
  }

  deleteTopics(names: readonly string[]): Promise<void> {
    this.calls.push(`delete ${names.join(' ')}`);
    for (const name of names) this.topics.delete(name);
    return Promise.resolve();
  }
}

export class MemoryRegistry implements SubjectRegistry {
  readonly levels = new Map<string, Compatibility>();
  readonly schemas = new Map<string, Map<string, number>>();
  readonly calls: string[] = [];
  /** Subjects that refuse whatever is new to them, with the reason. */
  readonly refusing = new Map<string, string>();
  /** Refuse only at registration, as a registry does whose check and rule differ. */
  checksPass = false;
  readonly #ids = new Map<string, number>();

  readonly client = {
    subjects: (): Promise<string[]> => Promise.resolve([...this.schemas.keys()]),
    compatibility: (subject: string): Promise<Compatibility | undefined> =>
      Promise.resolve(this.levels.get(subject)),
    setCompatibility: (subject: string, level: Compatibility): Promise<void> => {
      this.calls.push(`level ${subject} ${level}`);
      this.levels.set(subject, level);
      return Promise.resolve();
    },
    deleteSubject: (subject: string): Promise<void> => {
      this.calls.push(`delete ${subject}`);
      this.schemas.delete(subject);
      return Promise.resolve();
    },
  };

  idOf(subject: string, schema: AvroSchemaJson): Promise<number | undefined> {
    return Promise.resolve(this.schemas.get(subject)?.get(JSON.stringify(schema)));
  }

  check(subject: string): Promise<{ compatible: boolean; reasons: string[] }> {
    const reason = this.refusing.get(subject);
    const compatible = reason === undefined || this.checksPass;
    return Promise.resolve({ compatible, reasons: compatible ? [] : [reason] });
  }

  register(subject: string, schema: AvroSchemaJson): Promise<number> {
    this.calls.push(`register ${subject}`);
    const reason = this.refusing.get(subject);
    if (reason !== undefined) return Promise.reject(new SchemaRegistryError(reason, 'INCOMPATIBLE'));
    const text = JSON.stringify(schema);
    const id = this.#ids.get(text) ?? this.#ids.size + 1;
    this.#ids.set(text, id);
    this.hold(subject, schema, id);
    return Promise.resolve(id);
  }

  /** Puts a schema under an id of the test's choice. */
  hold(subject: string, schema: AvroSchemaJson, id: number): void {
    this.schemas.set(
      subject,
      (this.schemas.get(subject) ?? new Map<string, number>()).set(JSON.stringify(schema), id),
    );
  }
}
