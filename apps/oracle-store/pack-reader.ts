/** Reading a pack as its users must: sealed, untouched since, not tombstoned; or a code that says why not. */
import { sha256Hex, type ObjectStore } from '../../lib/index.ts';
import { oraclePackId } from '../rails/index.ts';
import { parseDocument } from './document-schema.ts';
import { OracleError, toOracleError } from './oracle-error.ts';
import {
  formatRoot,
  PACK_MANIFEST_FILE,
  parseRoot,
  SEAL_FILE,
  tombstoneKey,
  type StoreRoot,
} from './pack-layout.ts';
import {
  validateManifest,
  validateSeal,
  validateTombstone,
  type OraclePackManifest,
  type OraclePackSeal,
} from './pack-manifest.ts';

export interface OraclePack {
  readonly manifest: OraclePackManifest;
  readonly seal: OraclePackSeal;
  /** sha256 of the manifest's stored bytes. */
  readonly manifestSha256: string;
  readonly root: StoreRoot;
  /** `s3://bucket/packs/<id>/`. */
  readonly packRoot: string;
  /** `s3://bucket/engine/<engine_run_id>/`: where the manifest says the engine run is. */
  readonly engineRunRoot: string;
}

export interface PackDocuments {
  readonly manifest: OraclePackManifest;
  readonly manifestSha256: string;
  /** Undefined when there is none yet. */
  readonly seal: OraclePackSeal | undefined;
}

/**
 * Reads a pack for use by a run. Throws an OracleError: PACK_MANIFEST_MISSING, PACK_MANIFEST_INVALID,
 * PACK_NOT_SEALED, PACK_SEALED_FAILED, SEAL_MISMATCH, PACK_TOMBSTONED, ACCESS_DENIED, or TIMEOUT (retriable).
 */
export async function readPack(store: ObjectStore, packRoot: string): Promise<OraclePack> {
  const root = parseRoot(packRoot);
  const { manifest, manifestSha256, seal } = await readPackDocuments(store, root);
  const name = formatRoot(root);
  if (seal === undefined) {
    throw new OracleError('PACK_NOT_SEALED', `${name} has no ${SEAL_FILE}: seal it with \`fp oracle seal\``);
  }
  if (seal.seal_status === 'SEALED_FAILED') {
    throw new OracleError(
      'PACK_SEALED_FAILED',
      `${name} is sealed as failed: it is evidence, not a world to run on`,
    );
  }
  const tombstone = await readTombstone(store, root, manifest.oracle_pack_id);
  if (tombstone !== undefined) {
    throw new OracleError(
      'PACK_TOMBSTONED',
      `${name} was withdrawn by ${tombstone.actor} at ${tombstone.tombstoned_at_utc}: ${tombstone.reason}`,
    );
  }
  return {
    manifest,
    seal,
    manifestSha256,
    root,
    packRoot: name,
    engineRunRoot: formatRoot({ bucket: root.bucket, key: manifest.engine_run_root }),
  };
}

/** The manifest and, if it is there, the seal; each checked in itself and against the other. */
export async function readPackDocuments(store: ObjectStore, root: StoreRoot): Promise<PackDocuments> {
  const bucket = store.bucket(root.bucket);
  const manifestKey = `${root.key}/${PACK_MANIFEST_FILE}`;
  const bytes = await bucket.get(manifestKey).catch((error: unknown) => {
    throw toOracleError(error, 'PACK_MANIFEST_MISSING', `no pack manifest at ${bucket.uri(manifestKey)}`);
  });
  const manifest = parseDocument(bytes, validateManifest, 'PACK_MANIFEST_INVALID', bucket.uri(manifestKey));
  const expectedId = oraclePackId({ ...manifest.world_key, ...manifest });
  if (manifest.oracle_pack_id !== expectedId) {
    throw new OracleError(
      'PACK_MANIFEST_INVALID',
      `${bucket.uri(manifestKey)}: oracle_pack_id is ${manifest.oracle_pack_id}, its contents give ${expectedId}`,
    );
  }
  const manifestSha256 = sha256Hex(bytes);

  const sealKey = `${root.key}/${SEAL_FILE}`;
  const sealBytes = await bucket.get(sealKey).catch((error: unknown) => {
    const failure = toOracleError(error, 'PACK_NOT_SEALED', `no seal at ${bucket.uri(sealKey)}`);
    if (failure.code === 'PACK_NOT_SEALED') return undefined;
    throw failure;
  });
  if (sealBytes === undefined) return { manifest, manifestSha256, seal: undefined };
  const seal = parseDocument(sealBytes, validateSeal, 'SEAL_MISMATCH', bucket.uri(sealKey));
  if (seal.oracle_pack_id !== manifest.oracle_pack_id || seal.manifest_sha256 !== manifestSha256) {
    throw new OracleError(
      'SEAL_MISMATCH',
      `${bucket.uri(sealKey)} seals a manifest with sha256 ${seal.manifest_sha256}; the stored one has ${manifestSha256}`,
    );
  }
  return { manifest, manifestSha256, seal };
}

async function readTombstone(store: ObjectStore, root: StoreRoot, packId: string) {
  const bucket = store.bucket(root.bucket);
  const key = tombstoneKey(packId);
  try {
    return parseDocument(await bucket.get(key), validateTombstone, 'PACK_TOMBSTONED', bucket.uri(key));
  } catch (error) {
    const failure = toOracleError(error, 'OBJECT_MISSING', `no tombstone at ${bucket.uri(key)}`);
    if (failure.code === 'OBJECT_MISSING') return undefined;
    throw failure;
  }
}
