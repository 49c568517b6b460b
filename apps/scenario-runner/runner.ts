/** The runner put together from the settings: connections, tables, stores, front door, policy. */
import { join } from 'node:path';
import { Pool } from 'pg';
import {
  createLogger,
  nativeClient,
  ObjectStore,
  SchemaRegistry,
  type RunLogsOptions,
} from '../../lib/index.ts';
import {
  FrontDoor,
  loadPolicies,
  runLogsOf,
  secretsOf,
  type ScenarioRunnerPolicy,
  type Settings,
} from '../rails/index.ts';
import { migrateScenarioRunner } from './migrate.ts';
import type { ControlPublisher } from './outbox.ts';
import { SubprocessEngine, type EngineInvoker } from './engine-invoker.ts';
import { RunObjectStore } from './run-objects.ts';
import { RunStore } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';
import { assertSettled } from './settlement-lock.ts';
import { writerPacker, type WorldPacker } from './world-packer.ts';

const COMPONENT = 'scenario_runner';

export interface ScenarioRunnerOptions extends Pick<RunnerContext, 'onStep' | 'onWaiting'> {
  /** Where lines go besides the logs of the runs. Default: stdout, from `info`. */
  readonly logTo?: NonNullable<RunLogsOptions['also']>;
  /** In place of the platform's front door. Not closed with the runner. */
  readonly publisher?: ControlPublisher;
  /** In place of the program that the wiring names. */
  readonly engine?: EngineInvoker;
  /** In place of packing with the writer's keys; null leaves packing to somebody else. */
  readonly packer?: WorldPacker | null;
  /** In place of the policy that the profile names; its digest stays that of the file. */
  readonly policy?: Partial<ScenarioRunnerPolicy>;
}

export interface ScenarioRunner {
  readonly context: RunnerContext;
  /** Closes every connection. */
  close(): Promise<void>;
}

/**
 * Connects, brings the tables up to date and makes sure of the platform's bucket. The brokers and the registry are
 * contacted when there is something to publish. Close what this returns. Throws SR_SETTLEMENT_LOCK_FAIL_CLOSED, before
 * anything is contacted, when a managed profile may not run here.
 */
export async function openScenarioRunner(
  settings: Settings,
  options: ScenarioRunnerOptions = {},
): Promise<ScenarioRunner> {
  assertSettled(settings);
  const destination = options.logTo?.stream ?? process.stdout;
  const level = options.logTo?.level ?? 'info';
  const secrets = secretsOf(settings);
  const logger = createLogger({ component: COMPONENT, level, destination, secrets });
  const logs = runLogsOf(settings, { also: { stream: destination, level } });
  const policies = loadPolicies(settings.policies);
  const pool = new Pool({ connectionString: settings.postgres.dsn, connectionTimeoutMillis: 10_000 });
  pool.on('error', (error) => logger.warn({ error: error.message }, 'an idle PostgreSQL connection broke'));
  const { endpoint, bucket } = settings.objectStore;
  const platform = ObjectStore.connect({ endpoint, ...keysOf(settings.objectStore) });
  const oracle = ObjectStore.connect({ endpoint, ...keysOf(settings.oracleStore.reader) });
  // Made at the first fact: most commands publish nothing and need neither broker nor registry.
  let door: FrontDoor | undefined;
  const frontDoor: ControlPublisher = {
    publish(event) {
      door ??= FrontDoor.connect({
        client: nativeClient,
        bootstrapServers: settings.kafka.bootstrapServers,
        schemas: new SchemaRegistry({ url: settings.schemaRegistry.url }),
        topic: settings.topics.ingress,
        partitioning: policies.partitioning,
      });
      return door.publish(event);
    },
  };
  const close = async (): Promise<void> => {
    await door?.close();
    await pool.end();
    logs.close();
    platform.close();
    oracle.close();
  };
  try {
    await migrateScenarioRunner(pool, logger);
    await platform.ensureBucket(bucket);
  } catch (error) {
    await close();
    throw error;
  }
  const engine = options.engine ?? engineOf(settings);
  const packer = options.packer === null ? undefined : (options.packer ?? writerPacker(settings));
  const context: RunnerContext = {
    store: new RunStore(pool),
    objects: new RunObjectStore(platform.bucket(bucket)),
    platformBucket: bucket,
    oracle,
    oracleBucket: settings.oracleStore.bucket,
    ...(engine === undefined ? {} : { engine }),
    ...(packer === undefined ? {} : { packer }),
    engineRunsDir: join(settings.stateDir, 'engine-runs'),
    auth: settings.scenarioRunner.auth,
    service: settings.service,
    publisher: options.publisher ?? frontDoor,
    policy: { ...policies.scenarioRunner, ...options.policy },
    policyRev: policies.scenarioRunnerRev,
    environment: settings.profile,
    logger,
    logOf: (platformRunId) => logs.logger(COMPONENT, platformRunId),
    ...(options.onStep === undefined ? {} : { onStep: options.onStep }),
    ...(options.onWaiting === undefined ? {} : { onWaiting: options.onWaiting }),
  };
  return { context, close };
}

function engineOf({ engine }: Settings): EngineInvoker | undefined {
  if (engine.command.length === 0) return undefined;
  return new SubprocessEngine({
    command: engine.command,
    environment: engine.environment,
    timeoutMs: engine.timeoutSeconds * 1000,
  });
}

function keysOf(keys: { readonly accessKey: string; readonly secretKey: string }): {
  accessKey: string;
  secretKey: string;
} {
  return { accessKey: keys.accessKey, secretKey: keys.secretKey };
}
