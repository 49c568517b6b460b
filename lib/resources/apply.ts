/** Carries a plan out, and waits until the cluster shows it. */
import { SchemaRegistryError } from '../serde/registry-client.ts';
import type { DesiredResources } from './desired.ts';
import { readLive, type SubjectRegistry, type TopicAdmin } from './live.ts';
import {
  idsByGroup,
  plan as difference,
  unequalIds,
  type Change,
  type Plan,
  type PlanOptions,
  type Refusal,
} from './plan.ts';

/** The plan holds refusals, or the registry refused while applying. What was applied before stays. */
export class ResourcesRefused extends Error {
  override readonly name = 'ResourcesRefused';
  readonly refusals: readonly Refusal[];

  constructor(refusals: readonly Refusal[]) {
    super(refusals.map(({ code, message }) => `${code}: ${message}`).join('\n'));
    this.refusals = refusals;
  }
}

export interface ApplyOptions extends PlanOptions {
  /** Milliseconds to wait until every topic shows all its partitions. Default 30000. */
  readonly visibleTimeoutMs?: number;
  /** Called before each change. */
  readonly onChange?: (change: Change) => void;
}

export interface Applied {
  readonly plan: Plan;
  /** Schema id by subject, for every desired subject. */
  readonly schemaIds: ReadonlyMap<string, number>;
}

/** Reads the live state and gives the difference; changes nothing. */
export async function planResources(
  desired: DesiredResources,
  admin: TopicAdmin,
  registry: SubjectRegistry,
  options: PlanOptions = {},
): Promise<Plan> {
  return difference(desired, await readLive(desired, admin, registry), options);
}

/**
 * Makes the live state the desired one. A second call finds nothing to do. Rejects with ResourcesRefused, before
 * any change when the plan already holds refusals.
 */
export async function applyResources(
  desired: DesiredResources,
  admin: TopicAdmin,
  registry: SubjectRegistry,
  options: ApplyOptions = {},
): Promise<Applied> {
  const plan = await planResources(desired, admin, registry, options);
  if (plan.refusals.length > 0) throw new ResourcesRefused(plan.refusals);
  for (const step of steps(plan.changes)) {
    step.forEach((change) => options.onChange?.(change));
    await carryOut(step, admin, registry);
  }
  await untilVisible(desired, admin, options.visibleTimeoutMs ?? 30_000);
  return { plan, schemaIds: await assertEqualIds(desired, registry) };
}

/** Neighbouring changes that one call makes: all new topics, and all keys of one topic. */
function steps(changes: readonly Change[]): Change[][] {
  const all: Change[][] = [];
  const creations = changes.filter(({ kind }) => kind === 'create-topic');
  if (creations.length > 0) all.push(creations);
  for (const change of changes) {
    if (change.kind === 'create-topic') continue;
    const last = all.at(-1)?.[0];
    if (change.kind === 'alter-config' && last?.kind === 'alter-config' && last.topic === change.topic) {
      all.at(-1)!.push(change);
    } else {
      all.push([change]);
    }
  }
  return all;
}

async function carryOut(
  step: readonly Change[],
  admin: TopicAdmin,
  registry: SubjectRegistry,
): Promise<void> {
  const change = step[0]!;
  switch (change.kind) {
    case 'create-topic': {
      const topics = step.flatMap((one) =>
        one.kind === 'create-topic' ? [{ ...one, name: one.topic }] : [],
      );
      return admin.createTopics(topics);
    }
    case 'add-partitions':
      return admin.createPartitions(change.topic, change.to);
    case 'alter-config': {
      const entries = step.flatMap((one) =>
        one.kind === 'alter-config' ? [[one.key, one.to] as const] : [],
      );
      return admin.alterConfigs(change.topic, Object.fromEntries(entries));
    }
    case 'set-compatibility':
      return registry.client.setCompatibility(change.subject, change.to);
    case 'register-schema':
      await register(change.subject, change, registry);
      return;
    case 'delete-topic':
      return admin.deleteTopics([change.topic]);
    case 'delete-subject':
      return registry.client.deleteSubject(change.subject);
  }
}

async function register(
  subject: string,
  change: Extract<Change, { kind: 'register-schema' }>,
  registry: SubjectRegistry,
): Promise<void> {
  try {
    await registry.register(subject, change.schema);
  } catch (error) {
    if (!(error instanceof SchemaRegistryError) || error.retriable) throw error;
    throw new ResourcesRefused([{ code: 'INCOMPATIBLE_SCHEMA', resource: subject, message: error.message }]);
  }
}

async function untilVisible(desired: DesiredResources, admin: TopicAdmin, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const names = desired.topics.map(({ name }) => name);
  while (names.length > 0) {
    const counts = new Map(
      (await admin.describeTopics(names)).map(({ name, partitions }) => [name, partitions]),
    );
    const missing = desired.topics.filter(({ name, partitions }) => (counts.get(name) ?? 0) < partitions);
    if (missing.length === 0) return;
    if (Date.now() > deadline) {
      const which = missing.map(
        ({ name, partitions }) => `${name} (${counts.get(name) ?? 0} of ${partitions})`,
      );
      throw new Error(`not visible after ${timeoutMs} ms with all partitions: ${which.join(', ')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function assertEqualIds(
  desired: DesiredResources,
  registry: SubjectRegistry,
): Promise<Map<string, number>> {
  const ids = new Map<string, number>();
  await Promise.all(
    desired.subjects.map(async ({ subject, schema }) => {
      const id = await registry.idOf(subject, schema);
      if (id === undefined)
        throw new Error(`${subject} does not hold the schema that was just registered in it`);
      ids.set(subject, id);
    }),
  );
  const groups = [...idsByGroup(desired.subjects, (subject) => ids.get(subject))];
  const unequal = groups.filter(([, held]) => new Set(held.values()).size > 1);
  if (unequal.length > 0) throw new ResourcesRefused(unequal.map(([group, held]) => unequalIds(group, held)));
  return ids;
}
