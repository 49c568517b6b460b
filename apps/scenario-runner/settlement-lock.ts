/**
 * The settlement lock: in a managed profile (dev, prod) the runner is not even built on local servers, without
 * knowing which release runs as whom, or over roots that could mean something else tomorrow.
 */
import type { Settings } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

const MANAGED: ReadonlySet<Settings['profile']> = new Set(['dev', 'prod']);
const LOOPBACK = /^(localhost|127(\.\d+){3}|\[?::1\]?|0\.0\.0\.0)$/i;
/** Roots that name whatever is there now instead of one thing. */
const AMBIGUOUS = /[*?[\]{}]|(^|[/_.-])(latest|current|newest)([/_.-]|$)/i;
const PACK_ROOT = /^s3:\/\/([a-z0-9.-]+)\/packs\/[a-f0-9]{64}\/$/;

/** What is against running here; empty for profiles that are not managed. */
export function settlementProblems(settings: Settings): readonly string[] {
  if (!MANAGED.has(settings.profile)) return [];
  const { kafka, schemaRegistry, postgres, objectStore, oracleStore, service } = settings;
  const problems: string[] = [];
  const hosts: readonly (readonly [string, string])[] = [
    ...kafka.bootstrapServers.split(',').map((server) => ['kafka', server.replace(/:\d+$/, '')] as const),
    ['schema_registry', new URL(schemaRegistry.url).hostname],
    ['postgres', new URL(postgres.dsn).hostname],
    ['object_store', new URL(objectStore.endpoint).hostname],
  ];
  for (const [name, host] of hosts) {
    if (LOOPBACK.test(host)) problems.push(`${name} is on this machine (${host})`);
  }
  for (const [name, bucket] of [
    ['object_store.bucket', objectStore.bucket],
    ['oracle_store.bucket', oracleStore.bucket],
  ] as const) {
    if (AMBIGUOUS.test(bucket)) problems.push(`${name} '${bucket}' does not name one place`);
  }
  if (settings.scenarioRunner.auth.mode === 'disabled')
    problems.push('scenario_runner.auth_mode is disabled');
  if (service.releaseId === null) problems.push('service.release_id is not known: set FP_SERVICE_RELEASE_ID');
  if (service.launchRef === null) problems.push('service.launch_ref is not known: set FP_LAUNCH_REF');
  if (service.identity === null) problems.push('service.identity is not known: set FP_SERVICE_IDENTITY');
  return problems;
}

/** Throws SR_SETTLEMENT_LOCK_FAIL_CLOSED with every problem. */
export function assertSettled(settings: Settings): void {
  const problems = settlementProblems(settings);
  if (problems.length === 0) return;
  throw new ScenarioRunnerError(
    'SR_SETTLEMENT_LOCK_FAIL_CLOSED',
    `the profile ${settings.profile} is managed and may not run here: ${problems.join('; ')}`,
  );
}

/** What is wrong with a pack root as a reference; undefined when it names one place, for good. */
export function packRootProblem(
  packRoot: string,
  profile: Settings['profile'],
  oracleBucket: string,
): string | undefined {
  if (AMBIGUOUS.test(packRoot))
    return `${packRoot} does not name one pack: wildcards and 'latest' are not allowed`;
  if (!MANAGED.has(profile)) return undefined;
  const match = PACK_ROOT.exec(packRoot);
  if (match?.[1] === oracleBucket) return undefined;
  return `${packRoot} is not a managed pack: expected s3://${oracleBucket}/packs/<oracle_pack_id>/`;
}
