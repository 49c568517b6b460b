/**
 * Looking after a cluster: topics and their configuration, groups and their offsets, access control.
 *
 * kafkajs is used for this alone (here and in acl.ts): its admin client speaks to today's brokers. It connects at the first
 * call. Every failure is a KafkaError, every call ends within `timeoutMs`.
 */
import kafkajs, { type Admin as KafkaJsAdmin } from 'kafkajs';
import {
  ACL_OPERATIONS,
  ACL_PATTERN_TYPES,
  ACL_PERMISSIONS,
  ACL_RESOURCE_TYPES,
  type AclBinding,
  type AclBindingFilter,
  aclName,
} from './acl.ts';
import { adminError, adminTimeout } from './admin-error.ts';
import { OFFSET_INVALID, type TopicPartitionOffset, type Watermarks } from './client.ts';
import { KafkaError } from './kafka-error.ts';
import { invalid } from './partition-columns.ts';

// A CommonJS module whose names Node cannot see statically.
const {
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  AssignerProtocol,
  ConfigResourceTypes,
  ConfigSource,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} = kafkajs;

export interface AdminOptions {
  /** host:port, comma separated. */
  readonly bootstrapServers: string;
  readonly clientId?: string;
  /** For each call, milliseconds. Default 30,000. */
  readonly timeoutMs?: number;
  /** The admin client's own log; by default nothing is written. */
  readonly onLog?: (level: 'error' | 'warn' | 'info' | 'debug', message: string) => void;
}

export interface TopicDescription {
  readonly name: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  /** Effective values, the broker's defaults included; sensitive values are left out. */
  readonly configs: Readonly<Record<string, string>>;
}

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** The broker's default when left out. */
  readonly replicationFactor?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

export interface GroupMember {
  readonly memberId: string;
  readonly clientId: string;
  readonly clientHost: string;
  /** Partition numbers by topic; undefined while the group is rebalancing. */
  readonly assignment?: Readonly<Record<string, readonly number[]>>;
}

export interface GroupDescription {
  readonly groupId: string;
  /** Stable, PreparingRebalance, CompletingRebalance, Empty, Dead or Unknown. */
  readonly state: string;
  readonly protocol: string;
  readonly members: readonly GroupMember[];
}

const LOG_LEVELS = new Map<number, 'error' | 'warn' | 'info' | 'debug'>([
  [logLevel.ERROR, 'error'],
  [logLevel.WARN, 'warn'],
  [logLevel.INFO, 'info'],
  [logLevel.DEBUG, 'debug'],
]);

export class Admin {
  readonly #admin: KafkaJsAdmin;
  readonly #timeoutMs: number;
  #connected: Promise<void> | undefined;
  /** Configuration changes read and write back: one after the other, or one would undo the other. */
  #changes: Promise<unknown> = Promise.resolve();

  constructor(options: AdminOptions) {
    const { onLog } = options;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    const kafka = new Kafka({
      brokers: options.bootstrapServers.split(',').map((server) => server.trim()),
      clientId: options.clientId ?? 'kafka-stream-topologies-admin',
      connectionTimeout: Math.min(this.#timeoutMs, 5000),
      requestTimeout: this.#timeoutMs,
      retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 2000 },
      logLevel: onLog === undefined ? logLevel.NOTHING : logLevel.INFO,
      logCreator: () => (entry) => onLog?.(LOG_LEVELS.get(entry.level) ?? 'info', entry.log.message),
    });
    this.#admin = kafka.admin();
  }

  async #call<Result>(operation: string, work: (admin: KafkaJsAdmin) => Promise<Result>): Promise<Result> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(adminTimeout(operation, this.#timeoutMs)), this.#timeoutMs);
    });
    const answer = async (): Promise<Result> => {
      this.#connected ??= this.#admin.connect();
      try {
        await this.#connected;
      } catch (error) {
        this.#connected = undefined;
        throw error;
      }
      return work(this.#admin);
    };
    try {
      return await Promise.race([answer(), timeout]);
    } catch (error) {
      throw adminError(operation, error);
    } finally {
      clearTimeout(timer);
    }
  }

  clusterId(): Promise<string> {
    return this.#call('clusterId', async (admin) => (await admin.describeCluster()).clusterId);
  }

  /** Every topic's name, internal ones included, sorted. */
  listTopics(): Promise<readonly string[]> {
    return this.#call('listTopics', async (admin) => (await admin.listTopics()).sort());
  }

  /** The named topics that exist; the others are left out. */
  describeTopics(names: readonly string[]): Promise<readonly TopicDescription[]> {
    return this.#call('describeTopics', async (admin) => {
      const wanted = new Set(names);
      // All topics are asked for: naming one that does not exist would be an error.
      const { topics } = await admin.fetchTopicMetadata();
      const found = topics.filter(({ name }) => wanted.has(name));
      if (found.length === 0) return [];
      const { resources } = await admin.describeConfigs({
        resources: found.map(({ name }) => ({ type: ConfigResourceTypes.TOPIC, name })),
        includeSynonyms: false,
      });
      const configs = new Map(resources.map((resource) => [resource.resourceName, resource.configEntries]));
      return found.map(({ name, partitions }) => ({
        name,
        partitions: partitions.length,
        replicationFactor: partitions[0]?.replicas.length ?? 0,
        configs: Object.fromEntries(
          (configs.get(name) ?? [])
            .filter((entry) => !entry.isSensitive)
            .map((entry) => [entry.configName, entry.configValue]),
        ),
      }));
    });
  }

  /** Creates topics and waits until they have leaders. Fails with TOPIC_ALREADY_EXISTS when one exists. */
  async createTopics(topics: readonly NewTopic[]): Promise<void> {
    if (topics.length === 0) return;
    const created = await this.#call('createTopics', (admin) =>
      admin.createTopics({
        waitForLeaders: false,
        timeout: this.#timeoutMs,
        topics: topics.map(({ name, partitions, replicationFactor, configs }) => ({
          topic: name,
          numPartitions: partitions,
          replicationFactor: replicationFactor ?? -1,
          configEntries: Object.entries(configs ?? {}).map(([key, value]) => ({ name: key, value })),
        })),
      }),
    );
    // The client answers false instead of failing when a topic is there already.
    if (!created) {
      const reason = `one of ${topics.map(({ name }) => name).join(', ')} exists`;
      throw new KafkaError('createTopics', 36, 'TOPIC_ALREADY_EXISTS', reason);
    }
    await this.#untilLed('createTopics', new Map(topics.map(({ name, partitions }) => [name, partitions])));
  }

  /** Brokers learn of new partitions a moment after the controller has answered. */
  async #untilLed(operation: string, partitionCounts: ReadonlyMap<string, number>): Promise<void> {
    await this.#call(operation, async (admin) => {
      const deadline = performance.now() + this.#timeoutMs;
      for (;;) {
        const { topics } = await admin.fetchTopicMetadata();
        const led = topics.filter(({ name, partitions }) => {
          const alive = partitions.filter(({ leader }) => leader >= 0).length;
          return alive >= (partitionCounts.get(name) ?? Infinity);
        });
        if (led.length === partitionCounts.size || performance.now() > deadline) return;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
  }

  /** Raises the partition count to `total`, and waits until the new ones have leaders. */
  async createPartitions(topic: string, total: number): Promise<void> {
    await this.#call('createPartitions', (admin) =>
      admin.createPartitions({ timeout: this.#timeoutMs, topicPartitions: [{ topic, count: total }] }),
    );
    await this.#untilLed('createPartitions', new Map([[topic, total]]));
  }

  /**
   * Sets these keys of a topic and no other. The broker's call behind it replaces all keys, so those set on the
   * topic are read and sent again; calls of one Admin are serialised, but another writer in between would lose.
   */
  async alterConfigs(topic: string, configs: Readonly<Record<string, string>>): Promise<void> {
    const change = this.#changes.then(() =>
      this.#call('alterConfigs', async (admin) => {
        const { resources } = await admin.describeConfigs({
          resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
          includeSynonyms: false,
        });
        const own = (resources[0]?.configEntries ?? []).filter(
          (entry) => entry.configSource === ConfigSource.TOPIC_CONFIG,
        );
        const unreadable = own.find((entry) => entry.isSensitive && !(entry.configName in configs));
        if (unreadable !== undefined) {
          throw invalid(
            'alterConfigs',
            `${topic}: ${unreadable.configName} is sensitive and would be lost; name it, too`,
          );
        }
        const merged = {
          ...Object.fromEntries(own.map((entry) => [entry.configName, entry.configValue])),
          ...configs,
        };
        await admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: ConfigResourceTypes.TOPIC,
              name: topic,
              configEntries: Object.entries(merged).map(([name, value]) => ({ name, value })),
            },
          ],
        });
        await this.#untilConfigured(admin, topic, merged);
      }),
    );
    this.#changes = change.catch(() => undefined);
    await change;
  }

  /**
   * A broker answers with its own image of the metadata, which follows the controller's a moment later: the next change
   * must not read the keys as they were before this one.
   */
  async #untilConfigured(
    admin: KafkaJsAdmin,
    topic: string,
    expected: Readonly<Record<string, string>>,
  ): Promise<void> {
    const deadline = performance.now() + this.#timeoutMs;
    for (;;) {
      const { resources } = await admin.describeConfigs({
        resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
        includeSynonyms: false,
      });
      const found = new Map(resources[0]?.configEntries.map((one) => [one.configName, one]) ?? []);
      const visible = Object.entries(expected).every(([name, value]) => {
        const entry = found.get(name);
        return entry?.isSensitive === true || entry?.configValue === value;
      });
      if (visible || performance.now() > deadline) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async deleteTopics(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#call('deleteTopics', (admin) =>
      admin.deleteTopics({ topics: [...names], timeout: this.#timeoutMs }),
    );
  }

  /** Deletes the records before each offset (exclusive). All entries must be of one topic. */
  async deleteRecords(
    topic: string,
    before: readonly { partition: number; offset: number }[],
  ): Promise<void> {
    if (before.length === 0) return;
    await this.#call('deleteRecords', (admin) =>
      admin.deleteTopicRecords({
        topic,
        partitions: before.map(({ partition, offset }) => ({ partition, offset: String(offset) })),
      }),
    );
  }

  /** Log start and end (read uncommitted) of every partition of a topic, by partition number. */
  topicOffsets(topic: string): Promise<readonly Watermarks[]> {
    return this.#call('topicOffsets', async (admin) => {
      const offsets = await admin.fetchTopicOffsets(topic);
      return offsets
        .map(({ partition, low, high }) => ({ topic, partition, low: Number(low), high: Number(high) }))
        .sort((a, b) => a.partition - b.partition);
    });
  }

  /** Ids of the groups that the cluster knows, sorted. */
  listGroups(): Promise<readonly string[]> {
    return this.#call('listGroups', async (admin) =>
      (await admin.listGroups()).groups.map(({ groupId }) => groupId).sort(),
    );
  }

  /** A group that does not exist is described as Dead. */
  async describeGroups(groupIds: readonly string[]): Promise<readonly GroupDescription[]> {
    if (groupIds.length === 0) return [];
    return this.#call('describeGroups', async (admin) =>
      (await admin.describeGroups([...groupIds])).groups.map((group) => ({
        groupId: group.groupId,
        state: group.state,
        protocol: group.protocol,
        members: group.members.map(({ memberId, clientId, clientHost, memberAssignment }) => {
          const assignment =
            memberAssignment.length === 0
              ? undefined
              : AssignerProtocol.MemberAssignment.decode(memberAssignment);
          return {
            memberId,
            clientId,
            clientHost,
            ...(assignment == null ? {} : { assignment: assignment.assignment }),
          };
        }),
      })),
    );
  }

  /** Committed offsets of a group; of all topics it has committed to when none are named. */
  groupOffsets(groupId: string, topics?: readonly string[]): Promise<readonly TopicPartitionOffset[]> {
    return this.#call('groupOffsets', async (admin) => {
      const found = await admin.fetchOffsets({
        groupId,
        ...(topics === undefined ? {} : { topics: [...topics] }),
      });
      return found.flatMap(({ topic, partitions }) =>
        partitions.map(({ partition, offset, metadata }) => ({
          topic,
          partition,
          offset: Number(offset) < 0 ? OFFSET_INVALID : Number(offset),
          ...(metadata === null ? {} : { metadata }),
        })),
      );
    });
  }

  /** Deletes groups without members, with their offsets. */
  async deleteGroups(groupIds: readonly string[]): Promise<void> {
    if (groupIds.length === 0) return;
    await this.#call('deleteGroups', (admin) => admin.deleteGroups([...groupIds]));
  }

  /** Fails with SECURITY_DISABLED when the broker has no authorizer. */
  describeAcls(filter: AclBindingFilter = {}): Promise<readonly AclBinding[]> {
    return this.#call('describeAcls', async (admin) => {
      const { resources } = await admin.describeAcls(protocolFilter(filter));
      return resources.flatMap((resource) => resource.acls.map((acl) => bindingOf({ ...resource, ...acl })));
    });
  }

  async createAcls(bindings: readonly AclBinding[]): Promise<void> {
    if (bindings.length === 0) return;
    await this.#call('createAcls', (admin) =>
      admin.createAcls({
        acl: bindings.map(
          ({ resourceType, resourceName, patternType, principal, host, operation, permission }) => ({
            resourceType: ACL_RESOURCE_TYPES[resourceType],
            resourceName,
            resourcePatternType: ACL_PATTERN_TYPES[patternType],
            principal,
            host,
            operation: ACL_OPERATIONS[operation],
            permissionType: ACL_PERMISSIONS[permission],
          }),
        ),
      }),
    );
  }

  /** Deletes what a filter matches, and says what that was. */
  async deleteAcls(filters: readonly AclBindingFilter[]): Promise<readonly AclBinding[]> {
    if (filters.length === 0) return [];
    return this.#call('deleteAcls', async (admin) => {
      const { filterResponses } = await admin.deleteAcls({ filters: filters.map(protocolFilter) });
      return filterResponses.flatMap((response) => response.matchingAcls.map(bindingOf));
    });
  }

  async close(): Promise<void> {
    if (this.#connected === undefined) return;
    await this.#connected.catch(() => undefined);
    this.#connected = undefined;
    await this.#admin.disconnect();
  }
}

export function createAdmin(options: AdminOptions): Admin {
  return new Admin(options);
}

type ProtocolFilter = Parameters<KafkaJsAdmin['describeAcls']>[0];

function protocolFilter(filter: AclBindingFilter): ProtocolFilter {
  const { resourceType, resourceName, patternType, principal, host, operation, permission } = filter;
  return {
    resourceType: resourceType === undefined ? AclResourceTypes.ANY : ACL_RESOURCE_TYPES[resourceType],
    resourcePatternType:
      patternType === undefined ? ResourcePatternTypes.ANY : ACL_PATTERN_TYPES[patternType],
    operation: operation === undefined ? AclOperationTypes.ANY : ACL_OPERATIONS[operation],
    permissionType: permission === undefined ? AclPermissionTypes.ANY : ACL_PERMISSIONS[permission],
    ...(resourceName === undefined ? {} : { resourceName }),
    ...(principal === undefined ? {} : { principal }),
    ...(host === undefined ? {} : { host }),
  };
}

function bindingOf(acl: {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly resourcePatternType: number;
  readonly principal: string;
  readonly host: string;
  readonly operation: number;
  readonly permissionType: number;
}): AclBinding {
  const resourceType = aclName(ACL_RESOURCE_TYPES, acl.resourceType);
  const patternType = aclName(ACL_PATTERN_TYPES, acl.resourcePatternType);
  const operation = aclName(ACL_OPERATIONS, acl.operation);
  const permission = aclName(ACL_PERMISSIONS, acl.permissionType);
  if (
    resourceType === undefined ||
    patternType === undefined ||
    operation === undefined ||
    permission === undefined
  ) {
    throw invalid(
      'acls',
      `the cluster has an access control entry of an unknown kind on ${acl.resourceName}`,
    );
  }
  const { resourceName, principal, host } = acl;
  return { resourceType, resourceName, patternType, principal, host, operation, permission };
}
