/**
 * Telling a run what to do: a stream.command fact through the front door, admitted by the gate like every other, and
 * taken by whichever instance owns the run.
 *
 * The run's READY on the control topic gives the pins, so nothing but the bus is needed to command a run.
 */
import { randomBytes } from 'node:crypto';

import { avroAnyReader, Bytes, nativeClient, SchemaRegistry } from '../../lib/index.ts';
import { readTopic } from '../ingestion-gate/index.ts';
import {
  controlEventId,
  epochMillisToMicros,
  FrontDoor,
  loadPolicies,
  type Envelope,
  type FrontDoorReceipt,
  type Settings,
  type StreamCommandPayload,
} from '../rails/index.ts';
import { StreamError } from './stream-error.ts';

const EVENT_TYPE = 'stream.command';
const PRODUCER = 'svc:operator_console';

export interface CommandRequest extends Omit<StreamCommandPayload, 'command_id'> {
  readonly platformRunId: string;
  /** Every scenario run of the platform run when it is left out. */
  readonly scenarioRunId?: string;
}

export interface SentCommand {
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly command: string;
  readonly command_id: string;
  readonly event_id: string;
  readonly ingress: FrontDoorReceipt;
}

/**
 * Publishes the command for each scenario run that has a READY, and resolves when the front door has them. Rejects with
 * StreamError (COMMAND_RUN_UNKNOWN) when no READY of the run stands on the control topic.
 */
export async function sendCommand(settings: Settings, request: CommandRequest): Promise<SentCommand[]> {
  const schemas = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const runs = await readyRuns(settings, schemas, request);
  if (runs.length === 0) {
    const which = request.scenarioRunId === undefined ? '' : ` for the scenario run ${request.scenarioRunId}`;
    throw new StreamError(
      'COMMAND_RUN_UNKNOWN',
      `${settings.topics.control} holds no READY of ${request.platformRunId}${which}`,
    );
  }
  const door = FrontDoor.connect({
    client: nativeClient,
    bootstrapServers: settings.kafka.bootstrapServers,
    schemas,
    topic: settings.topics.ingress,
    partitioning: loadPolicies(settings.policies).partitioning,
  });
  try {
    const sent: SentCommand[] = [];
    for (const ready of runs) {
      const event = commandEvent(ready, request);
      const ingress = await door.publish(event);
      sent.push({
        platform_run_id: request.platformRunId,
        scenario_run_id: ready.scenario_run_id ?? '',
        command: request.command,
        command_id: (event.payload as unknown as StreamCommandPayload).command_id,
        event_id: event.event_id,
        ingress,
      });
    }
    return sent;
  } finally {
    await door.close();
  }
}

/** The command as an event of the run that a READY belongs to. */
export function commandEvent(
  ready: Envelope,
  request: Omit<StreamCommandPayload, 'command_id'>,
  commandId = randomBytes(16).toString('hex'),
): Envelope {
  const now = epochMillisToMicros();
  const { command, attempt, speedup, target_eps, actor, reason } = request;
  return {
    ...ready,
    event_id: controlEventId(EVENT_TYPE, ready.platform_run_id ?? '', ready.scenario_run_id ?? '', commandId),
    event_type: EVENT_TYPE,
    ts_utc: now,
    schema_version: 'v1',
    emitted_at_utc: now,
    producer: PRODUCER,
    parent_event_id: ready.event_id,
    payload: { command_id: commandId, command, attempt, speedup, target_eps, actor, reason },
  };
}

/** The latest READY of each scenario run that is meant. */
async function readyRuns(
  settings: Settings,
  schemas: SchemaRegistry,
  request: CommandRequest,
): Promise<Envelope[]> {
  const reader = avroAnyReader(schemas);
  const value = new Bytes();
  const found = new Map<string, Envelope>();
  const { control: topic } = settings.topics;
  await readTopic({ bootstrapServers: settings.kafka.bootstrapServers, topic }, (batch, i) => {
    value.buffer = batch.data;
    value.start = batch.valueStart[i]!;
    value.length = batch.valueLength[i]!;
    const schema = reader.schemaOf(value);
    if (schema.recordName !== 'run.ready') return true;
    const ready = schema.decode(value) as Envelope;
    const { platform_run_id: platform, scenario_run_id: scenario } = ready;
    const meant = platform === request.platformRunId && (request.scenarioRunId ?? scenario) === scenario;
    if (meant && scenario !== null) found.set(scenario, ready);
    return true;
  });
  return [...found.values()];
}
