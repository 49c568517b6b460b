/** A small sealed world in a bucket of its own: real gate bundles, manifest, seal and views over part files of a few bytes. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { sha256Hex, type Bucket } from '../../../lib/index.ts';
import { writeGateBundles } from '../../../apps/oracle-store/sample/gate-bundles.ts';
import {
  catalogueDigest,
  gateMapDigest,
  type OraclePackManifest,
} from '../../../apps/oracle-store/pack-manifest.ts';
import { expectedView } from '../../../apps/oracle-store/stream-view-manifest.ts';
import { viewFolder } from '../../../apps/oracle-store/index.ts';
import { oraclePackId, outputPath, streamedOutputs, type WorldKey } from '../../../apps/rails/index.ts';

const ENGINE_RUN_ID = 'e'.repeat(32);
const NOW = '2026-01-03T00:00:00.000000Z';
const RANGE = { min_ts_utc: '2026-01-01T00:00:01.000000Z', max_ts_utc: '2026-01-01T23:59:59.000000Z' };

export interface SealedPack {
  readonly root: string;
  /** Key prefix of the pack and of its engine run, without slashes at the ends. */
  readonly key: string;
  readonly engineKey: string;
  readonly world: WorldKey;
  readonly packId: string;
}

/** Worlds differ by `seed`; everything of one is written again by the next call with the same seed. */
export async function writeSealedPack(bucket: Bucket, seed: string): Promise<SealedPack> {
  const world: WorldKey = {
    manifest_fingerprint: sha256Hex(`world ${seed}`),
    parameter_hash: sha256Hex('parameters'),
    scenario_id: 'baseline_v1',
    seed,
  };
  const engineKey = `engine/${seed}`;
  const put = async (key: string, content: string | Buffer): Promise<void> => {
    await bucket.put(key, Buffer.from(content));
  };
  const definitions = [...new Set([...streamedOutputs('fraud'), ...streamedOutputs('baseline')])];
  const outputs = definitions.map((output) => {
    const content = `rows of ${output.output_id} in world ${seed}`;
    const path = outputPath(output, world).replace('part-*', 'part-000000');
    return {
      output_id: output.output_id,
      content,
      parts: [{ path, bytes: content.length, sha256: sha256Hex(content) }],
    };
  });
  for (const output of outputs) await put(`${engineKey}/${output.parts[0]!.path}`, output.content);
  await put(`${engineKey}/run_receipt.json`, JSON.stringify({ run_id: ENGINE_RUN_ID, ...world }));
  const folder = await mkdtemp(join(tmpdir(), 'sealed-pack-'));
  try {
    await writeGateBundles(folder, world, {
      filesOf: () => outputs.flatMap((output) => output.parts),
      facts: { seed },
    });
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      await put(`${engineKey}/${relative(folder, path)}`, await readFile(path));
    }
  } finally {
    await rm(folder, { recursive: true });
  }

  const identity = {
    ...world,
    engine_release: 'test-engine-1',
    catalogue_digest: catalogueDigest(),
    gate_map_digest: gateMapDigest(),
  };
  const packId = oraclePackId(identity);
  const key = `packs/${packId}`;
  const manifest: OraclePackManifest = {
    version: 'v1',
    oracle_pack_id: packId,
    world_key: world,
    engine_release: identity.engine_release,
    engine_run_id: ENGINE_RUN_ID,
    engine_run_root: engineKey,
    catalogue_digest: identity.catalogue_digest,
    gate_map_digest: identity.gate_map_digest,
    outputs: outputs.map(({ output_id, parts }) => ({ output_id, parts })),
    created_at_utc: NOW,
  };
  const manifestText = JSON.stringify(manifest);
  await put(`${key}/_oracle_pack_manifest.json`, manifestText);
  for (const { output_id: outputId } of outputs) await writeView(put, manifest, key, outputId);
  const seal = {
    version: 'v1',
    oracle_pack_id: packId,
    manifest_sha256: sha256Hex(manifestText),
    seal_status: 'SEALED_OK',
    sealed_at_utc: NOW,
  };
  await put(`${key}/_SEALED.json`, JSON.stringify(seal));
  return { root: `s3://${bucket.name}/${key}/`, key, engineKey, world, packId };
}

async function writeView(
  put: (key: string, content: string) => Promise<void>,
  pack: OraclePackManifest,
  packKey: string,
  outputId: string,
): Promise<void> {
  const folder = `${packKey}/${viewFolder(outputId)}`;
  const { source_locator_digest: source, ...view } = expectedView(pack, outputId);
  const content = `sorted rows of ${outputId}`;
  const part = {
    file: 'part-000000.arrow',
    rows: 3,
    bytes: content.length,
    sha256: sha256Hex(content),
    ...RANGE,
  };
  const manifest = {
    ...view,
    version: 'v1',
    oracle_pack_id: pack.oracle_pack_id,
    engine_run_id: pack.engine_run_id,
    scenario_id: pack.world_key.scenario_id,
    world_key: pack.world_key,
    row_count: 3,
    ...RANGE,
    parts: [part],
    created_utc: NOW,
  };
  const stats = { row_count: 3, multiset_digest: 'a'.repeat(32), ...RANGE };
  const manifestText = JSON.stringify(manifest);
  await put(`${folder}/${part.file}`, content);
  await put(`${folder}/_stream_view_manifest.json`, manifestText);
  const receipt = {
    ...view,
    version: 'v1',
    status: 'OK',
    source_locator_digest: source,
    manifest_sha256: sha256Hex(manifestText),
    raw_stats: stats,
    sorted_stats: stats,
    created_utc: NOW,
  };
  await put(`${folder}/_stream_sort_receipt.json`, JSON.stringify(receipt));
}
