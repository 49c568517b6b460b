/** Making packs: manifest first, seal last, each written once; and withdrawing one with a tombstone. */
import { isObjectStoreError, writeOnceJson, type Bucket, type ObjectStore } from '../../lib/index.ts';
import {
  canonicalJson,
  epochMillisToMicros,
  oraclePackId,
  OUTPUT_CATALOGUE,
  outputPath,
  streamingSha256,
  type CanonicalValue,
  type OutputDefinition,
  type WorldKey,
} from '../rails/index.ts';
import { OracleError, toOracleError } from './oracle-error.ts';
import {
  formatRoot,
  packKey,
  PACK_MANIFEST_FILE,
  parseRoot,
  SEAL_FILE,
  tombstoneKey,
  type StoreRoot,
} from './pack-layout.ts';
import {
  catalogueDigest,
  gateMapDigest,
  manifestIdentity,
  type EngineFile,
  type OraclePackManifest,
  type OraclePackSeal,
  type PackedOutput,
  type PackTombstone,
  type SealStatus,
} from './pack-manifest.ts';
import { readPackDocuments } from './pack-reader.ts';
import { readRunReceipt, worldOf } from './run-receipt.ts';

export interface PackRequest {
  /** `s3://bucket/engine/<engine_run_id>/`. */
  readonly engineRunRoot: string;
  /** Default: the receipt's. */
  readonly scenarioId?: string;
  /** Default: the receipt's. */
  readonly engineRelease?: string;
  readonly onProgress?: (doneOutputs: number, totalOutputs: number) => void;
}

export interface PackResult {
  readonly packRoot: string;
  readonly manifest: OraclePackManifest;
  /** False when the same pack was there. */
  readonly created: boolean;
}

/**
 * Digests every output of an engine run and writes the pack manifest under `packs/<oracle_pack_id>/` of the same
 * bucket. Packing the same world again changes nothing. Throws an OracleError: RUN_RECEIPT_…, SCENARIO_ID_MISSING,
 * OUTPUT_MISSING (one that runs stream), DIGEST_MISMATCH, MANIFEST_MISMATCH (the same pack id with other contents).
 */
export async function packEngineRun(store: ObjectStore, request: PackRequest): Promise<PackResult> {
  const engineRoot = parseRoot(request.engineRunRoot);
  const bucket = store.bucket(engineRoot.bucket);
  const receipt = await readRunReceipt(store, engineRoot);
  const world = worldOf(receipt, request.scenarioId);
  const engine_release = request.engineRelease ?? receipt.engine_release;
  if (engine_release === undefined) {
    throw new OracleError(
      'RUN_RECEIPT_INVALID',
      'the run receipt names no engine release: give --engine-release',
    );
  }
  const outputs: PackedOutput[] = [];
  const catalogue = [...OUTPUT_CATALOGUE.values()];
  for (const [i, output] of catalogue.entries()) {
    request.onProgress?.(i, catalogue.length);
    const parts = await digestParts(bucket, engineRoot.key, output, world);
    if (parts.length > 0) outputs.push({ output_id: output.output_id, parts });
    else if (output.streamed !== null) {
      throw new OracleError('OUTPUT_MISSING', `${request.engineRunRoot} has no part of ${output.output_id}`);
    }
  }
  request.onProgress?.(catalogue.length, catalogue.length);
  const identity = {
    ...world,
    engine_release,
    catalogue_digest: catalogueDigest(),
    gate_map_digest: gateMapDigest(),
  };
  const manifest: OraclePackManifest = {
    version: 'v1',
    oracle_pack_id: oraclePackId(identity),
    world_key: world,
    engine_release,
    engine_run_id: receipt.run_id,
    engine_run_root: engineRoot.key,
    catalogue_digest: identity.catalogue_digest,
    gate_map_digest: identity.gate_map_digest,
    outputs,
    created_at_utc: epochMillisToMicros(),
  };
  const root: StoreRoot = { bucket: engineRoot.bucket, key: packKey(manifest.oracle_pack_id) };
  const written = await writeOnceJson(bucket, `${root.key}/${PACK_MANIFEST_FILE}`, manifest, {
    serialize: (document) => canonicalJson(document as unknown as CanonicalValue),
    identity: manifestIdentity,
  }).catch((error: unknown) => {
    if (!isObjectStoreError(error, 'CONTENT_DRIFT')) throw error;
    throw new OracleError(
      'MANIFEST_MISMATCH',
      `${formatRoot(root)} is a pack of the same world with other contents: a changed world is a new engine release`,
      { cause: error },
    );
  });
  return { packRoot: formatRoot(root), manifest: written.document, created: written.created };
}

/** The output's part files in path order, each read and digested. */
async function digestParts(
  bucket: Bucket,
  runKey: string,
  output: OutputDefinition,
  world: WorldKey,
): Promise<EngineFile[]> {
  const pattern = outputPath(output, world);
  const prefix = `${runKey}/${pattern.slice(0, pattern.indexOf('*'))}`;
  const suffix = pattern.slice(pattern.indexOf('*') + 1);
  const parts: EngineFile[] = [];
  for await (const { key } of bucket.list(prefix)) {
    if (!key.endsWith(suffix) || key.slice(prefix.length).includes('/')) continue;
    const part = { path: key.slice(runKey.length + 1), ...(await digestObject(bucket, key)) };
    const { sha256 } = await bucket.stat(key);
    if (sha256 !== undefined && sha256 !== part.sha256) {
      throw new OracleError(
        'DIGEST_MISMATCH',
        `${bucket.uri(key)} has sha256 ${part.sha256}; it was written with ${sha256}`,
      );
    }
    parts.push(part);
  }
  return parts;
}

/** Reads an object and digests it, in constant memory. */
export async function digestObject(bucket: Bucket, key: string): Promise<{ bytes: number; sha256: string }> {
  const digest = streamingSha256();
  let bytes = 0;
  for await (const chunk of await bucket.getStream(key)) {
    const piece = chunk as Buffer;
    bytes += piece.length;
    digest.update(piece);
  }
  return { bytes, sha256: digest.digest() };
}

/**
 * Seals a pack: the last write to it, once. Sealing again with the same status changes nothing; any other seal is
 * refused with SEAL_MISMATCH. Throws PACK_MANIFEST_… when there is nothing to seal.
 */
export async function sealPack(
  store: ObjectStore,
  packRoot: string,
  status: SealStatus = 'SEALED_OK',
): Promise<{ readonly seal: OraclePackSeal; readonly created: boolean }> {
  const root = parseRoot(packRoot);
  const { manifest, manifestSha256 } = await readPackDocuments(store, root);
  const seal: OraclePackSeal = {
    version: 'v1',
    oracle_pack_id: manifest.oracle_pack_id,
    manifest_sha256: manifestSha256,
    seal_status: status,
    sealed_at_utc: epochMillisToMicros(),
  };
  const written = await writeOnceJson(store.bucket(root.bucket), `${root.key}/${SEAL_FILE}`, seal, {
    serialize: (document) => canonicalJson({ ...document }),
    identity: (document) => canonicalJson({ ...document, sealed_at_utc: undefined }),
  }).catch((error: unknown) => {
    if (!isObjectStoreError(error, 'CONTENT_DRIFT')) throw error;
    throw new OracleError('SEAL_MISMATCH', `${packRoot} is sealed already, otherwise than ${status}`, {
      cause: error,
    });
  });
  return { seal: written.document, created: written.created };
}

/** Withdraws a pack: it stays as it is, and every reader refuses it from now on. Throws when it was withdrawn before. */
export async function tombstonePack(
  store: ObjectStore,
  packRoot: string,
  actor: string,
  reason: string,
): Promise<PackTombstone> {
  const root = parseRoot(packRoot);
  const { manifest } = await readPackDocuments(store, root);
  const tombstone: PackTombstone = {
    oracle_pack_id: manifest.oracle_pack_id,
    actor,
    reason,
    tombstoned_at_utc: epochMillisToMicros(),
  };
  const key = tombstoneKey(manifest.oracle_pack_id);
  try {
    await store.bucket(root.bucket).putOnce(key, Buffer.from(canonicalJson({ ...tombstone })));
  } catch (error) {
    if (!isObjectStoreError(error, 'ALREADY_EXISTS'))
      throw toOracleError(error, 'PACK_ROOT_NOT_FOUND', packRoot);
    throw new OracleError('PACK_TOMBSTONED', `${packRoot} was withdrawn before`, { cause: error });
  }
  return tombstone;
}
