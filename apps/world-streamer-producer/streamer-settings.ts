/** The streamer's options from its policy, the command line and the environment (WSP_*), checked before anything connects. */
import {
  nativeClient,
  ObjectStore,
  SchemaRegistry,
  type PacerOptions,
  type RateStep,
} from '../../lib/index.ts';
import {
  isMicros,
  loadPolicies,
  loadSettings,
  microsToEpochMillis,
  type S3Keys,
  type Settings,
} from '../rails/index.ts';
import { ReadyRecords } from './ready-records.ts';
import type { StreamerContext, StreamOverrides } from './streamer-context.ts';

export interface StreamFlags {
  readonly speedup?: string;
  readonly maxEvents?: string;
  readonly maxEventsPerOutput?: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const TIMEOUT_MS = 30_000;

function numberOf(name: string, text: string | undefined, whole: boolean): number | undefined {
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  const least = whole ? 1 : 0;
  if (!Number.isFinite(value) || value < least || (whole && !Number.isSafeInteger(value))) {
    throw new RangeError(
      `${name} is ${JSON.stringify(text)}: it must be a ${whole ? 'whole ' : ''}number from ${least}`,
    );
  }
  return value;
}

/** The command line wins over the environment. Throws a RangeError that names the flag or variable. */
export function streamOverrides(flags: StreamFlags, env: Environment): StreamOverrides {
  const speedup =
    numberOf('--speedup', flags.speedup, false) ?? numberOf('WSP_SPEEDUP', env['WSP_SPEEDUP'], false);
  const maxEvents =
    numberOf('--max-events', flags.maxEvents, true) ??
    numberOf('WSP_MAX_EVENTS', env['WSP_MAX_EVENTS'], true);
  const maxEventsPerOutput =
    numberOf('--max-events-per-output', flags.maxEventsPerOutput, true) ??
    numberOf('WSP_MAX_EVENTS_PER_OUTPUT', env['WSP_MAX_EVENTS_PER_OUTPUT'], true);
  return {
    ...(speedup === undefined ? {} : { speedup }),
    ...(maxEvents === undefined ? {} : { maxEvents }),
    ...(maxEventsPerOutput === undefined ? {} : { maxEventsPerOutput }),
  };
}

/** WSP_TARGET_EPS (with WSP_TARGET_BURST_SECONDS, WSP_TARGET_INITIAL_TOKENS), WSP_RATE_PLAN_JSON, WSP_CAMPAIGN_START_UTC. */
export function pacingOf(env: Environment): Omit<PacerOptions, 'speedup' | 'now'> {
  const start = env['WSP_CAMPAIGN_START_UTC'];
  if (start !== undefined && start !== '' && !isMicros(start)) {
    throw new RangeError(
      `WSP_CAMPAIGN_START_UTC is ${JSON.stringify(start)}: write 2026-01-01T00:00:00.000000Z`,
    );
  }
  const ratePlan = ratePlanOf(env);
  return {
    ...(ratePlan === undefined ? {} : { ratePlan }),
    ...(start === undefined || start === '' ? {} : { notBeforeEpochMs: microsToEpochMillis(start) }),
  };
}

function ratePlanOf(env: Environment): RateStep[] | undefined {
  const json = env['WSP_RATE_PLAN_JSON'];
  const eps = numberOf('WSP_TARGET_EPS', env['WSP_TARGET_EPS'], false);
  if (json !== undefined && json !== '') {
    if (eps !== undefined)
      throw new RangeError('WSP_RATE_PLAN_JSON and WSP_TARGET_EPS are both set; set one');
    const plan: unknown = JSON.parse(json);
    if (!Array.isArray(plan)) throw new RangeError('WSP_RATE_PLAN_JSON is not a list of steps');
    return plan as RateStep[];
  }
  if (eps === undefined) return undefined;
  const burst = numberOf('WSP_TARGET_BURST_SECONDS', env['WSP_TARGET_BURST_SECONDS'], false);
  const tokens = numberOf('WSP_TARGET_INITIAL_TOKENS', env['WSP_TARGET_INITIAL_TOKENS'], false);
  return [
    {
      start_offset_seconds: 0,
      target_eps: eps,
      ...(burst === undefined ? {} : { burst_seconds: burst }),
      ...(tokens === undefined ? {} : { initial_tokens: tokens }),
    },
  ];
}

export interface ConnectedStreamer {
  readonly context: StreamerContext;
  /** Where runs keep what became of them. */
  readonly records: ReadyRecords;
  close(): void;
}

/** Everything the service needs, from the process's settings. Connects to nothing yet. */
export function connectStreamer(
  flags: StreamFlags,
  env: Environment = process.env,
  settings: Settings = loadSettings(env),
): ConnectedStreamer {
  const policies = loadPolicies(settings.policies);
  const policy = policies.worldStreamer;
  const { endpoint } = settings.objectStore;
  const store = ObjectStore.connect({ endpoint, ...settings.oracleStore.reader }, env);
  const context: StreamerContext = {
    client: nativeClient,
    kafkaConfig: { 'bootstrap.servers': settings.kafka.bootstrapServers },
    store,
    schemas: new SchemaRegistry({ url: settings.schemaRegistry.url }),
    partitioning: policies.partitioning,
    topics: settings.topics,
    group: settings.groups.worldStreamer,
    producerId: policy.producer_id,
    producerAllowlist: policy.producer_allowlist,
    schemaVersion: policy.schema_version,
    laneCount: numberOf('WSP_LANE_COUNT', env['WSP_LANE_COUNT'], true) ?? 1,
    policy: {
      speedup: policy.stream_speedup,
      max_events: policy.max_events,
      max_events_per_output: policy.max_events_per_output,
    },
    overrides: streamOverrides(flags, env),
    pacing: pacingOf(env),
    timeoutMs: TIMEOUT_MS,
  };
  const platform = ObjectStore.connect({ endpoint, ...keysOf(settings.objectStore) }, env);
  return {
    context,
    records: new ReadyRecords(platform.bucket(settings.objectStore.bucket)),
    close: () => {
      store.close();
      platform.close();
    },
  };
}

function keysOf({ accessKey, secretKey }: S3Keys): S3Keys {
  return { accessKey, secretKey };
}
