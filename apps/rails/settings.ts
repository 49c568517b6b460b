/**
 * Where this process runs: one typed object from the wiring profile and the environment. Everything is checked
 * before anything connects; what is missing is named by its variable.
 */
import { fileURLToPath } from 'node:url';
import { dirname, resolve } from 'node:path';
import {
  ConfigError,
  assertWiringOnly,
  loadConfig,
  readYamlFile,
  type ConfigProblem,
  type Environment,
} from '../../lib/index.ts';
import { configSchema, type PolicyRefs } from './policies.ts';

export interface S3Keys {
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface Settings {
  readonly profile: 'local' | 'local_parity' | 'dev' | 'prod';
  readonly kafka: { readonly bootstrapServers: string };
  readonly schemaRegistry: { readonly url: string };
  readonly postgres: { readonly dsn: string };
  readonly objectStore: S3Keys & { readonly endpoint: string; readonly bucket: string };
  readonly oracleStore: {
    readonly bucket: string;
    /** The services' keys: they may read and nothing else. */
    readonly reader: S3Keys;
    /** The keys of `fp oracle` commands that write worlds; absent unless set. */
    readonly writer?: S3Keys;
  };
  readonly topics: {
    readonly prefix: string;
    readonly ingress: string;
    readonly traffic: string;
    readonly control: string;
    readonly audit: string;
    readonly outcomes: string;
    readonly cursors: string;
    readonly dedupeChangelog: string;
  };
  readonly groups: { readonly gate: string; readonly ledger: string; readonly worldStreamer: string };
  /** Of every topic: a key has one partition number everywhere. */
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly lagConsole: { readonly url: string; readonly host: string; readonly port: number };
  /** The program that makes worlds for runs that may not reuse one. */
  readonly engine: {
    /** The command's words, with `{placeholders}`; empty when there is no engine here. */
    readonly command: readonly string[];
    /** Names of further environment variables that the engine sees. */
    readonly environment: readonly string[];
    readonly timeoutSeconds: number;
  };
  readonly scenarioRunner: {
    readonly url: string;
    readonly host: string;
    readonly port: number;
    readonly auth: {
      readonly mode: 'disabled' | 'allowlist';
      /** Actor ids. */
      readonly submit: readonly string[];
      readonly reemit: readonly string[];
    };
  };
  /** Which release runs, what launched it and as whom; null where the environment does not say. */
  readonly service: {
    readonly releaseId: string | null;
    readonly launchRef: string | null;
    readonly identity: string | null;
  };
  /** Absolute. Local stores and locks. */
  readonly stateDir: string;
  /** Absolute. Reports by platform run. */
  readonly runsDir: string;
  readonly policies: PolicyRefs;
}

interface ProfileDocument {
  profile: Settings['profile'];
  kafka: { bootstrap_servers: string };
  schema_registry: { url: string };
  postgres: { dsn: string };
  object_store: { endpoint: string; access_key: string; secret_key: string; bucket: string };
  oracle_store: { bucket: string; writer_access_key?: string; writer_secret_key?: string };
  topics: { prefix: string; partitions: number; replication_factor: number; min_insync_replicas: number };
  lag_console: { url: string };
  engine: { command: string; environment: string; timeout_seconds: number };
  scenario_runner: {
    url: string;
    auth_mode: 'disabled' | 'allowlist';
    submit_allowlist: string;
    reemit_allowlist: string;
  };
  service: { release_id: string; launch_ref: string; identity: string };
  state_dir: string;
  runs_dir: string;
  policies: {
    class_map_ref: string;
    partitioning_profiles_ref: string;
    partitioning_profile_id: string;
    schema_policy_ref: string;
    ingestion_gate_ref: string;
    scenario_runner_ref: string;
    world_streamer_producer_ref: string;
  };
}

/** Keys that decide outcomes, and so may stand in policies only. */
const OUTCOME_KEYS: ReadonlySet<string> = new Set([
  'policy_id',
  'revision',
  'classes',
  'event_types',
  'required_pins',
  'profiles',
  'key_precedence',
  'versions',
  'schema_version',
  'default_action',
  'dedupe_ttl_days',
  'max_record_bytes',
  'quarantine_spike',
  'require_gate_pass',
  'require_sealed_pack',
  'reuse_policy',
  'attempt_limit',
  'evidence_wait_seconds',
  'default_traffic_mode',
  'traffic_mode',
  'traffic_modes',
  'stream_speedup',
  'max_events',
  'max_events_per_output',
  'cross_run_override_reasons',
]);

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/**
 * Loads the profile that FP_PROFILE names (default `local`). Throws ConfigError listing every problem, with the
 * environment variables that are missing by name.
 *
 * @param profilesDir where `<profile>.yaml` lies; the project's own by default
 */
export function loadSettings(
  env: Environment = process.env,
  profilesDir = resolve(ROOT, 'config/profiles'),
): Settings {
  const name = env['FP_PROFILE'] === undefined || env['FP_PROFILE'] === '' ? 'local' : env['FP_PROFILE'];
  if (!/^[a-z_]+$/.test(name)) {
    throw new ConfigError([
      {
        file: 'environment',
        path: 'FP_PROFILE',
        message: `${JSON.stringify(name)} is not the name of a profile`,
      },
    ]);
  }
  const file = resolve(profilesDir, `${name}.yaml`);
  assertWiringOnly(readYamlFile(file), file, OUTCOME_KEYS);
  const document = loadConfig<ProfileDocument>({
    files: [file],
    schema: configSchema('profile'),
    env,
    check: inconsistencies,
  });
  return settingsOf(document, dirname(file));
}

function inconsistencies(document: ProfileDocument): Omit<ConfigProblem, 'file'>[] {
  const problems: Omit<ConfigProblem, 'file'>[] = [];
  const { replication_factor: factor, min_insync_replicas: insync } = document.topics;
  if (insync > factor) {
    problems.push({
      path: 'topics.min_insync_replicas',
      message: `${insync} is more than the ${factor} replicas`,
    });
  }
  if (document.oracle_store.bucket === document.object_store.bucket) {
    problems.push({
      path: 'oracle_store.bucket',
      message: `${document.oracle_store.bucket} is the platform's own bucket; sealed worlds need one of their own`,
    });
  }
  const { writer_access_key: access, writer_secret_key: secret } = document.oracle_store;
  if (isSet(access) !== isSet(secret)) {
    const missing = isSet(access) ? 'ORACLE_S3_SECRET_KEY' : 'ORACLE_S3_ACCESS_KEY';
    problems.push({
      path: 'oracle_store',
      message: `environment variable ${missing} is not set; set both or none`,
    });
  }
  return problems;
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== '';
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  return url.protocol === 'https:' ? 443 : 80;
}

function words(text: string): readonly string[] {
  return text.split(' ').filter((word) => word !== '');
}

function orNull(text: string): string | null {
  return text === '' ? null : text;
}

function settingsOf(document: ProfileDocument, profileDir: string): Settings {
  const { prefix } = document.topics;
  const store = document.object_store;
  const { writer_access_key: writerAccess, writer_secret_key: writerSecret } = document.oracle_store;
  const console = new URL(document.lag_console.url);
  const runner = document.scenario_runner;
  const refs = document.policies;
  const group = `${prefix}ingestion-gate`;
  return {
    profile: document.profile,
    kafka: { bootstrapServers: document.kafka.bootstrap_servers },
    schemaRegistry: { url: document.schema_registry.url },
    postgres: { dsn: document.postgres.dsn },
    objectStore: {
      endpoint: store.endpoint,
      accessKey: store.access_key,
      secretKey: store.secret_key,
      bucket: store.bucket,
    },
    oracleStore: {
      bucket: document.oracle_store.bucket,
      reader: { accessKey: store.access_key, secretKey: store.secret_key },
      ...(isSet(writerAccess) && isSet(writerSecret)
        ? { writer: { accessKey: writerAccess, secretKey: writerSecret } }
        : {}),
    },
    topics: {
      prefix,
      ingress: `${prefix}ingress.v1`,
      traffic: `${prefix}bus.traffic.v1`,
      control: `${prefix}bus.control.v1`,
      audit: `${prefix}bus.audit.v1`,
      outcomes: `${prefix}ig.outcomes.v1`,
      cursors: `${prefix}wsp.cursors.v1`,
      // The runtime's name for the changelog of the gate's dedupe store: <application id>-<store>-changelog.
      dedupeChangelog: `${group}-dedupe-changelog`,
    },
    groups: {
      gate: group,
      ledger: `${prefix}receipt-ledger`,
      worldStreamer: `${prefix}world-streamer-producer`,
    },
    partitions: document.topics.partitions,
    replicationFactor: document.topics.replication_factor,
    minInsyncReplicas: document.topics.min_insync_replicas,
    lagConsole: {
      url: document.lag_console.url,
      host: console.hostname,
      port: portOf(console),
    },
    engine: {
      command: words(document.engine.command),
      environment: words(document.engine.environment),
      timeoutSeconds: document.engine.timeout_seconds,
    },
    scenarioRunner: {
      url: runner.url,
      host: new URL(runner.url).hostname,
      port: portOf(new URL(runner.url)),
      auth: {
        mode: runner.auth_mode,
        submit: words(runner.submit_allowlist),
        reemit: words(runner.reemit_allowlist),
      },
    },
    service: {
      releaseId: orNull(document.service.release_id),
      launchRef: orNull(document.service.launch_ref),
      identity: orNull(document.service.identity),
    },
    stateDir: resolve(ROOT, document.state_dir),
    runsDir: resolve(ROOT, document.runs_dir),
    policies: {
      classMapRef: resolve(profileDir, refs.class_map_ref),
      partitioningProfilesRef: resolve(profileDir, refs.partitioning_profiles_ref),
      partitioningProfileId: refs.partitioning_profile_id,
      schemaPolicyRef: resolve(profileDir, refs.schema_policy_ref),
      ingestionGateRef: resolve(profileDir, refs.ingestion_gate_ref),
      scenarioRunnerRef: resolve(profileDir, refs.scenario_runner_ref),
      worldStreamerProducerRef: resolve(profileDir, refs.world_streamer_producer_ref),
    },
  };
}
