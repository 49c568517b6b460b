/**
 * A world from nothing to ready for a run: sample, sync, pack, seal, check, view. Every step finds what an earlier
 * call has finished, so it can be repeated at any time and costs little when nothing is left to do.
 */
import type { ObjectStore } from '../../lib/index.ts';
import { OUTPUT_CATALOGUE, streamedOutputs, type TrafficMode } from '../rails/index.ts';
import { checkWorld } from './check.ts';
import { OracleError } from './oracle-error.ts';
import { readPack } from './pack-reader.ts';
import type { OraclePackManifest } from './pack-manifest.ts';
import { packEngineRun, sealPack } from './pack-writer.ts';
import { writeSampleWorld, type SampleRequest } from './sample/sample-world.ts';
import { syncEngineRun } from './sync.ts';
import { buildView } from './view-builder.ts';

export type PrepareStage = 'sample' | 'sync' | 'pack' | 'seal' | 'check' | 'view';

export interface PrepareRequest {
  readonly bucket: string;
  /** The sample world to make, or null when `folder` holds an engine run already. */
  readonly sample: SampleRequest | null;
  readonly folder: string;
  /** Views are built for the outputs of these modes. */
  readonly modes: readonly TrafficMode[];
  /** `done` of `total` in a unit of the stage's own. */
  readonly onProgress?: (stage: PrepareStage, detail: string, done: number, total: number) => void;
}

export interface PreparedWorld {
  readonly oracle_pack_id: string;
  readonly pack_root: string;
  readonly engine_run_root: string;
  readonly manifest: OraclePackManifest;
  readonly views: readonly { readonly output_id: string; readonly rows: number; readonly created: boolean }[];
  /** Seconds by stage. */
  readonly seconds: Readonly<Record<PrepareStage, number>>;
}

/** The outputs streamed in any of the modes, in catalogue order. */
export function outputsOfModes(modes: readonly TrafficMode[]): readonly string[] {
  const streamed = new Set(modes.flatMap((mode) => streamedOutputs(mode).map((output) => output.output_id)));
  return [...OUTPUT_CATALOGUE.keys()].filter((outputId) => streamed.has(outputId));
}

/** `store` needs the oracle bucket's writer keys. Throws an OracleError with the code of the first step that fails. */
export async function prepareWorld(store: ObjectStore, request: PrepareRequest): Promise<PreparedWorld> {
  const seconds: Record<PrepareStage, number> = { sample: 0, sync: 0, pack: 0, seal: 0, check: 0, view: 0 };
  const stage = async <T>(
    name: PrepareStage,
    run: (progress: (detail: string, done: number, total: number) => void) => Promise<T>,
  ): Promise<T> => {
    const started = performance.now();
    const result = await run((detail, done, total) => request.onProgress?.(name, detail, done, total));
    seconds[name] = Math.round(performance.now() - started) / 1000;
    return result;
  };

  const { sample } = request;
  if (sample !== null) {
    await stage('sample', (progress) => writeSampleWorld(sample, request.folder, progress));
  }
  const synced = await stage('sync', (progress) =>
    syncEngineRun(store, request.bucket, request.folder, (done, total) => progress('bytes', done, total)),
  );
  const packed = await stage('pack', (progress) =>
    packEngineRun(store, {
      engineRunRoot: synced.engineRunRoot,
      onProgress: (done, total) => progress('outputs', done, total),
    }),
  );
  await stage('seal', () => sealPack(store, packed.packRoot));
  const report = await stage('check', () => checkWorld(store, { packRoot: packed.packRoot }));
  const [failure] = report.findings;
  if (failure !== undefined) throw new OracleError(failure.code, failure.message);

  const pack = await readPack(store, packed.packRoot);
  const outputIds = outputsOfModes(request.modes);
  const views = await stage('view', async (progress) => {
    const built: { output_id: string; rows: number; created: boolean }[] = [];
    for (const [i, output_id] of outputIds.entries()) {
      progress(output_id, i, outputIds.length);
      // An unfinished view is what an interrupted call of this function left; nobody can have read it.
      const { created, view } = await buildView(store, pack, output_id, { discardUnfinished: true });
      built.push({ output_id, rows: view.manifest.row_count, created });
    }
    progress('done', outputIds.length, outputIds.length);
    return built;
  });
  return {
    oracle_pack_id: packed.manifest.oracle_pack_id,
    pack_root: packed.packRoot,
    engine_run_root: synced.engineRunRoot,
    manifest: packed.manifest,
    views,
    seconds,
  };
}
