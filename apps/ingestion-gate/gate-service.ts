/** The gate as a process: waits for what it needs, then runs the admission topology until it is stopped. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  avroAnyReader,
  avroSerde,
  createLogger,
  exposeInstance,
  Metrics,
  nativeClient,
  SchemaRegistry,
  SchemaRegistryError,
  serveMetrics,
  StreamsApp,
  type KafkaClient,
  type Logger,
} from '../../lib/index.ts';
import { loadPolicies, OUTCOME_RECORD, type Outcome, type Settings } from '../rails/index.ts';
import { admissionTopology } from './admission-topology.ts';

const DAY_MS = 86_400_000;
const RETRY_MS = 1000;
const TOPIC_TIMEOUT_MS = 10_000;

export interface GateOptions {
  readonly settings: Settings;
  readonly client?: KafkaClient;
  readonly logger?: Logger;
  readonly commitIntervalMs?: number;
  /** Port of GET /metrics on loopback; none by default. */
  readonly metricsPort?: number;
  /** Stops the gate after a last commit. */
  readonly signal: AbortSignal;
}

/** Resolves when the signal has stopped the gate; rejects with the reason when it cannot go on. */
export async function runGate(options: GateOptions): Promise<void> {
  const { settings, signal, client = nativeClient } = options;
  const logger = options.logger ?? createLogger({ component: 'ingestion_gate' });
  const policies = loadPolicies(settings.policies);
  const { topics } = settings;
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const outcomeSerde = avroSerde<Outcome>(registry, { subject: `${topics.outcomes}-${OUTCOME_RECORD}` });
  if (!(await waitFor(() => outcomeSerde.prepare(), 'the schema of outcomes', logger, signal))) return;
  if (!(await waitFor(() => checkBusPartitions(settings, client), 'the bus topics', logger, signal))) return;

  const topology = admissionTopology(
    topics,
    {
      policies,
      reader: avroAnyReader(registry),
      partitions: settings.partitions,
      dedupeTtlMs: policies.gate.dedupe_ttl_days * DAY_MS,
    },
    outcomeSerde,
  );
  const app = new StreamsApp({
    applicationId: settings.groups.gate,
    topology,
    client,
    bootstrapServers: settings.kafka.bootstrapServers,
    stateDir: settings.stateDir,
    logger,
    onStateChange: (state) => logger.info({ state, policy: policies.gateRev }, 'gate state'),
    ...(options.commitIntervalMs === undefined ? {} : { commitIntervalMs: options.commitIntervalMs }),
  });
  const stop = (): void => void app.close();
  signal.addEventListener('abort', stop, { once: true });
  const metrics = new Metrics({ labels: { service: 'ingestion_gate' }, process: true });
  exposeInstance(metrics, app);
  const server = options.metricsPort === undefined ? null : await serveMetrics(metrics, options.metricsPort);
  try {
    if (!signal.aborted) await app.run();
  } finally {
    signal.removeEventListener('abort', stop);
    await server?.close();
  }
}

/** Partition p of ingress feeds partition p of the bus, so a different count would break the order of keys. */
async function checkBusPartitions(settings: Settings, client: KafkaClient): Promise<void> {
  const { ingress, traffic, control, audit, outcomes } = settings.topics;
  const names = [ingress, traffic, control, audit, outcomes];
  const consumer = client.createConsumer({
    'bootstrap.servers': settings.kafka.bootstrapServers,
    'group.id': `${settings.groups.gate}-check`,
  });
  try {
    const counts = await consumer.partitionCounts(names, TOPIC_TIMEOUT_MS);
    const missing = names.filter((name) => !counts.has(name));
    if (missing.length > 0)
      throw new NotThereYet(`no topic ${missing.join(', ')}; \`npm run topology:apply\` makes them`);
    const wrong = names.filter((name) => counts.get(name) !== settings.partitions);
    if (wrong.length > 0) {
      throw new Error(
        `every topic of the bus needs ${settings.partitions} partitions (topics.partitions of the profile), but ` +
          wrong.map((name) => `${name} has ${counts.get(name)!}`).join(', '),
      );
    }
  } finally {
    await consumer.close();
  }
}

/** What will be there when somebody has started or applied it. */
class NotThereYet extends Error {}

/** Services start in any order: waits until `attempt` succeeds. False when stopped meanwhile. */
async function waitFor(
  attempt: () => Promise<void>,
  what: string,
  logger: Logger,
  signal: AbortSignal,
): Promise<boolean> {
  for (let said = ''; !signal.aborted;) {
    try {
      await attempt();
      return true;
    } catch (error) {
      if (!isPassing(error)) throw error;
      const { message } = error as Error;
      if (message !== said) logger.info({ reason: message }, `waiting for ${what}`);
      said = message;
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
  return false;
}

function isPassing(error: unknown): boolean {
  if (error instanceof NotThereYet) return true;
  if (error instanceof SchemaRegistryError) return error.retriable || error.code.endsWith('_NOT_FOUND');
  return (error as { name?: string }).name === 'KafkaError' && !(error as { fatal?: boolean }).fatal;
}
