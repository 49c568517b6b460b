/** The probes behind the front door's health: cheap questions to each server, over connections that stay open. */
import type { Pool } from 'pg';
import type { Admin, ObjectStore, SchemaRegistry } from '../../../lib/index.ts';
import { OUTCOME_RECORD, type Settings } from '../../rails/index.ts';
import type { HealthProbe } from './health.ts';
import type { IngressWriter } from './ingress-writer.ts';
import type { OutcomeTail } from './outcome-tail.ts';

export interface ProbedServers {
  readonly settings: Settings;
  readonly admin: Admin;
  readonly registry: SchemaRegistry;
  readonly pool: Pool;
  readonly store: ObjectStore;
  readonly tail: OutcomeTail;
  readonly writer: IngressWriter;
}

/** Groups of events in a row without an acknowledgement, from which on the bus counts as unhealthy. */
const MOST_WRITE_FAILURES = 3;
/** Records that the gate may be behind before pushes are likely to miss their answer. */
const MOST_GATE_LAG = 100_000;

export function healthProbes(servers: ProbedServers): HealthProbe[] {
  const { settings, admin, registry, pool, store, tail, writer } = servers;
  const { topics, groups } = settings;
  return [
    {
      code: 'BUS_UNHEALTHY',
      async check() {
        await admin.topicOffsets(topics.ingress);
        return writer.failuresInARow < MOST_WRITE_FAILURES
          ? undefined
          : { code: 'BUS_UNHEALTHY', detail: `${writer.failuresInARow} writes in a row failed` };
      },
    },
    {
      code: 'SCHEMA_REGISTRY_UNHEALTHY',
      async check() {
        await registry.latest(`${topics.outcomes}-${OUTCOME_RECORD}`);
        return undefined;
      },
    },
    {
      code: 'GATE_NOT_RUNNING',
      async check() {
        const [group] = await admin.describeGroups([groups.gate]);
        const members = group?.members.length ?? 0;
        if (members === 0)
          return { code: 'GATE_NOT_RUNNING', detail: `the group ${groups.gate} has no members` };
        const lag = await gateLag(admin, groups.gate, topics.ingress);
        return lag <= MOST_GATE_LAG
          ? undefined
          : { code: 'GATE_LAGGING', detail: `the gate is ${lag} records behind` };
      },
    },
    {
      code: 'OUTCOME_TAIL_STOPPED',
      check: () =>
        Promise.resolve(
          tail.failure === undefined
            ? undefined
            : { code: 'OUTCOME_TAIL_STOPPED', detail: tail.failure.message },
        ),
    },
    {
      code: 'OPS_DB_UNHEALTHY',
      async check() {
        await pool.query('select 1');
        return undefined;
      },
    },
    {
      code: 'OBJECT_STORE_UNHEALTHY',
      async check() {
        const { bucket } = settings.objectStore;
        return (await store.bucketExists(bucket))
          ? undefined
          : { code: 'OBJECT_STORE_UNHEALTHY', detail: `there is no bucket ${bucket}` };
      },
    },
  ];
}

async function gateLag(admin: Admin, group: string, topic: string): Promise<number> {
  const [ends, committed] = await Promise.all([
    admin.topicOffsets(topic),
    admin.groupOffsets(group, [topic]),
  ]);
  const next = new Map(committed.map((one) => [one.partition, one.offset]));
  return ends.reduce((sum, { partition, low, high }) => {
    const position = next.get(partition);
    return sum + Math.max(0, high - (position === undefined || position < 0 ? low : position));
  }, 0);
}
