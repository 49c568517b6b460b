/** The request a person means who names a pack and nothing else: its world, all of its days, one traffic mode. */
import { isObjectStoreError, readJson, type ObjectStore } from '../../lib/index.ts';
import {
  parseRoot,
  viewFolder,
  type OraclePackManifest,
  type StreamViewManifest,
} from '../oracle-store/index.ts';
import { isMicros, type ScenarioRunnerPolicy, type TrafficMode } from '../rails/index.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { RunRequest } from './run-request.ts';

export interface RunRequestDefaults {
  readonly platformRunId: string;
  readonly packRoot: string;
  /** Default: the policy's. */
  readonly mode?: TrafficMode;
  /** Default: the pack's. Another one makes a request that the pack cannot serve. */
  readonly scenarioId?: string;
  readonly invoker?: string;
}

/**
 * Fills in a request from the pack's own documents. Whether the pack may be used at all is not decided here but by
 * the run's evidence. The equivalence key is made of the platform run, the pack and the mode, so that submitting
 * again is the same run, and a new platform run is a new one.
 */
export async function defaultRunRequest(
  oracle: ObjectStore,
  policy: ScenarioRunnerPolicy,
  defaults: RunRequestDefaults,
): Promise<RunRequest> {
  const { bucket: bucketName, key } = parseRoot(defaults.packRoot);
  const bucket = oracle.bucket(bucketName);
  const read = async <T>(path: string, missing: ReasonCode, wayOut: string): Promise<T> => {
    try {
      return await readJson<T>(bucket, `${key}/${path}`);
    } catch (error) {
      if (!isObjectStoreError(error) || error.retriable || error.code === 'ACCESS_DENIED') throw error;
      throw new ScenarioRunnerError(missing, `${error.message}: ${wayOut}`, { cause: error });
    }
  };
  const pack = await read<Partial<OraclePackManifest>>(
    '_oracle_pack_manifest.json',
    'ORACLE_PACK_INVALID',
    'name the root of a pack, as `fp oracle prepare` prints it',
  );
  const mode = defaults.mode ?? policy.default_traffic_mode;
  const outputIds = policy.traffic_modes[mode].business_traffic;
  const view = await read<Partial<StreamViewManifest>>(
    `${viewFolder(outputIds[0]!)}/_stream_view_manifest.json`,
    'ORACLE_STREAM_VIEW_MANIFEST_MISSING',
    'build the views with `fp oracle view`',
  );
  const { world_key: world, oracle_pack_id: packId } = pack;
  const { min_ts_utc: first, max_ts_utc: last } = view;
  if (world === undefined || packId === undefined) {
    throw new ScenarioRunnerError(
      'ORACLE_PACK_INVALID',
      `${defaults.packRoot} has a manifest without a world`,
    );
  }
  if (first === undefined || last === undefined || !isMicros(first) || !isMicros(last)) {
    throw new ScenarioRunnerError(
      'ORACLE_STREAM_VIEW_MANIFEST_MISSING',
      `the view of ${outputIds[0]!} in ${defaults.packRoot} does not say which time it covers`,
    );
  }
  return {
    run_equivalence_key: `${defaults.platformRunId}/${packId}/${mode}`,
    manifest_fingerprint: world.manifest_fingerprint,
    parameter_hash: world.parameter_hash,
    seed: world.seed,
    scenario: { scenario_id: defaults.scenarioId ?? world.scenario_id },
    window: {
      window_start_utc: `${first.slice(0, 10)}T00:00:00Z`,
      window_end_utc: midnightAfter(last),
      window_tz: 'UTC',
    },
    output_ids: outputIds,
    ...(defaults.invoker === undefined ? {} : { invoker: defaults.invoker }),
  };
}

function midnightAfter(micros: string): string {
  const midnight = Date.parse(`${micros.slice(0, 10)}T00:00:00Z`);
  return new Date(midnight + 24 * 3600 * 1000).toISOString();
}
