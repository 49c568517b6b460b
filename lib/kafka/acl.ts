/** Access control entries: Kafka's own names, and the numbers that the admin client wants for them. */
import kafkajs from 'kafkajs';

// A CommonJS module whose names Node cannot see statically.
const { AclOperationTypes, AclPermissionTypes, AclResourceTypes, ResourcePatternTypes } = kafkajs;

export const ACL_RESOURCE_TYPES = {
  topic: AclResourceTypes.TOPIC,
  group: AclResourceTypes.GROUP,
  cluster: AclResourceTypes.CLUSTER,
  transactional_id: AclResourceTypes.TRANSACTIONAL_ID,
} as const;
export const ACL_PATTERN_TYPES = {
  literal: ResourcePatternTypes.LITERAL,
  prefixed: ResourcePatternTypes.PREFIXED,
} as const;
export const ACL_OPERATIONS = {
  all: AclOperationTypes.ALL,
  read: AclOperationTypes.READ,
  write: AclOperationTypes.WRITE,
  create: AclOperationTypes.CREATE,
  delete: AclOperationTypes.DELETE,
  alter: AclOperationTypes.ALTER,
  describe: AclOperationTypes.DESCRIBE,
  cluster_action: AclOperationTypes.CLUSTER_ACTION,
  describe_configs: AclOperationTypes.DESCRIBE_CONFIGS,
  alter_configs: AclOperationTypes.ALTER_CONFIGS,
  idempotent_write: AclOperationTypes.IDEMPOTENT_WRITE,
} as const;
export const ACL_PERMISSIONS = {
  deny: AclPermissionTypes.DENY,
  allow: AclPermissionTypes.ALLOW,
} as const;

export interface AclBinding {
  readonly resourceType: keyof typeof ACL_RESOURCE_TYPES;
  /** `kafka-cluster` for the cluster. */
  readonly resourceName: string;
  readonly patternType: keyof typeof ACL_PATTERN_TYPES;
  /** Such as `User:gate`. */
  readonly principal: string;
  /** `*` is every host. */
  readonly host: string;
  readonly operation: keyof typeof ACL_OPERATIONS;
  readonly permission: keyof typeof ACL_PERMISSIONS;
}

/** Fields left out match everything. */
export type AclBindingFilter = Partial<AclBinding>;

/** The name behind a protocol number; undefined when this table does not know it. */
export function aclName<Names extends Readonly<Record<string, number>>>(
  names: Names,
  number: number,
): (keyof Names & string) | undefined {
  return Object.keys(names).find((name) => names[name] === number);
}
