/**
 * From an engine's folder to a sealed pack. The runner's own identity cannot write worlds, so this is the work of
 * somebody who may: the same process when it was given the writer's keys, or a person with `fp oracle prepare`.
 */
import { ObjectStore } from '../../lib/index.ts';
import {
  catalogueDigest,
  formatRoot,
  gateMapDigest,
  packKey,
  prepareWorld,
  type RunReceipt,
} from '../oracle-store/index.ts';
import { oraclePackId, type Settings, type TrafficMode } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import type { CanonicalRunRequest } from './run-request.ts';

export interface WorldPacker {
  /** Copies, packs, seals, checks and views the engine run in a folder; repeatable. Returns the pack's root. */
  pack(engineFolder: string, mode: TrafficMode): Promise<string>;
}

/** A packer with the oracle bucket's writer keys; undefined when the settings have none. */
export function writerPacker(settings: Settings): WorldPacker | undefined {
  const { bucket, writer } = settings.oracleStore;
  if (writer === undefined) return undefined;
  return {
    async pack(engineFolder, mode) {
      const store = ObjectStore.connect({
        endpoint: settings.objectStore.endpoint,
        accessKey: writer.accessKey,
        secretKey: writer.secretKey,
      });
      try {
        await store.ensureBucket(bucket);
        const world = await prepareWorld(store, {
          bucket,
          sample: null,
          folder: engineFolder,
          modes: [mode],
        });
        return world.pack_root;
      } finally {
        store.close();
      }
    },
  };
}

/** Where the pack of an engine run will be, which follows from what is in it. Throws ENGINE_RECEIPT_INVALID. */
export function expectedPackRoot(
  oracleBucket: string,
  receipt: RunReceipt,
  request: CanonicalRunRequest,
): string {
  const { engine_release: release } = receipt;
  if (release === undefined) {
    throw new ScenarioRunnerError(
      'ENGINE_RECEIPT_INVALID',
      `the receipt of engine run ${receipt.run_id} names no engine_release, which a pack is identified by`,
    );
  }
  const id = oraclePackId({
    manifest_fingerprint: receipt.manifest_fingerprint,
    parameter_hash: receipt.parameter_hash,
    seed: receipt.seed,
    scenario_id: receipt.scenario_id ?? request.scenario_id,
    engine_release: release,
    catalogue_digest: catalogueDigest(),
    gate_map_digest: gateMapDigest(),
  });
  return formatRoot({ bucket: oracleBucket, key: packKey(id) });
}
