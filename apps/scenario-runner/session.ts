/**
 * The session of a platform run: every fact of it on the control and audit topics, in the order of the bus, and what
 * follows from them. Both are projections: reading again gives the same file and the same governance facts.
 */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { avroAnyReader, Bytes, SchemaRegistry } from '../../lib/index.ts';
import { readTopic } from '../ingestion-gate/index.ts';
import { artifactProblems, type CanonicalValue, type Envelope, type Settings } from '../rails/index.ts';
import { governanceFacts, tellGovernance, type GovernanceAct, type GovernanceFamily } from './governance.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { RunnerContext } from './runner-context.ts';

/** A fact and where it stands on the bus. */
export interface SessionLine {
  readonly event_id: string;
  readonly event_type: string;
  readonly ts_utc: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string | null;
  readonly producer: string | null;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly payload: Readonly<Record<string, CanonicalValue>>;
}

/** Reads the facts of a platform run from the bus, in topic, partition and offset order. */
export async function readSession(
  settings: Settings,
  platformRunId: string,
): Promise<readonly SessionLine[]> {
  const reader = avroAnyReader(new SchemaRegistry({ url: settings.schemaRegistry.url }));
  const value = new Bytes();
  const lines: SessionLine[] = [];
  for (const topic of [settings.topics.control, settings.topics.audit]) {
    await readTopic({ bootstrapServers: settings.kafka.bootstrapServers, topic }, (batch, i) => {
      value.buffer = batch.data;
      value.start = batch.valueStart[i]!;
      value.length = batch.valueLength[i]!;
      const event = reader.schemaOf(value).decode(value) as Envelope;
      if (event.platform_run_id === platformRunId) {
        lines.push(lineOf(event, platformRunId, topic, batch.partition[i]!, batch.offset[i]!));
      }
      return true;
    });
  }
  return lines.sort((a, b) => compare(a.topic, b.topic) || a.partition - b.partition || a.offset - b.offset);
}

function lineOf(
  event: Envelope,
  platformRunId: string,
  topic: string,
  partition: number,
  offset: number,
): SessionLine {
  return {
    event_id: event.event_id,
    event_type: event.event_type,
    ts_utc: event.ts_utc,
    platform_run_id: platformRunId,
    scenario_run_id: event.scenario_run_id,
    producer: event.producer,
    topic,
    partition,
    offset,
    payload: event.payload as Readonly<Record<string, CanonicalValue>>,
  };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Writes `session.jsonl` into the run's folder, whole, and returns its path. Throws ARTIFACT_SCHEMA_INVALID on a
 * fact that does not fit its contract.
 */
export async function writeSession(
  runsDir: string,
  platformRunId: string,
  lines: readonly SessionLine[],
): Promise<string> {
  for (const line of lines) {
    const problems = artifactProblems('session_line', line);
    if (problems.length === 0) continue;
    throw new ScenarioRunnerError(
      'ARTIFACT_SCHEMA_INVALID',
      `${line.topic}/${line.partition}/${line.offset}: ${problems.join('; ')}`,
    );
  }
  const folder = join(runsDir, platformRunId);
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'session.jsonl');
  await writeFile(`${path}.${process.pid}`, lines.map((line) => JSON.stringify(line) + '\n').join(''));
  await rename(`${path}.${process.pid}`, path);
  return path;
}

interface Meaning {
  readonly families: readonly GovernanceFamily[];
  readonly component: string;
}

const STREAMER = 'world_streamer_producer';

/** The governance families that a fact of the bus stands for. */
export function meaningOf(line: SessionLine): Meaning | undefined {
  switch (line.event_type) {
    case 'stream.started':
      return { families: ['RUN_READY_SEEN', 'RUN_STARTED'], component: STREAMER };
    case 'stream.completed':
      return {
        families: [line.payload['stop_reason'] === 'cancelled' ? 'RUN_CANCELLED' : 'RUN_ENDED'],
        component: STREAMER,
      };
    case 'stream.failed':
      return { families: ['RUN_ENDED'], component: STREAMER };
    case 'ig.policy.activation':
      return { families: ['POLICY_REV_CHANGED'], component: 'ingestion_gate' };
    case 'ig.quarantine.spike':
      return { families: ['CORRIDOR_ANOMALY'], component: 'ingestion_gate' };
    default:
      return undefined;
  }
}

/** Tells the governance facts that the session's facts stand for, and renews their projection. */
export async function projectGovernance(
  context: RunnerContext,
  platformRunId: string,
  lines: readonly SessionLine[],
): Promise<void> {
  const { pool } = context.store;
  for (const line of lines) {
    for (const act of actsOf(context, line)) await tellGovernance(pool, context.objects, act);
  }
  await context.objects.projectGovernance(platformRunId, await governanceFacts(pool, platformRunId));
}

function actsOf(context: RunnerContext, line: SessionLine): GovernanceAct[] {
  const meaning = meaningOf(line);
  if (meaning === undefined) return [];
  return meaning.families.map((event_family) => ({
    event_family,
    dedupeKey: line.event_id,
    tsUtc: line.ts_utc,
    actor: {
      actor_id: line.producer ?? `svc:${meaning.component}`,
      source_type: 'SYSTEM',
      source_component: meaning.component,
    },
    pins: {
      platform_run_id: line.platform_run_id,
      scenario_run_id: line.scenario_run_id,
      manifest_fingerprint: null,
    },
    provenance: { service_release_id: null, environment: context.environment },
    details: {
      event_type: line.event_type,
      event_id: line.event_id,
      bus: `${line.topic}/${line.partition}/${line.offset}`,
      payload: line.payload,
    },
  }));
}
