/**
 * A pack is a sealed world: the engine run it stands on, named part by part with digests, and the catalogue and gate
 * map it was made with. The manifest says what it is; the seal, written last and once, says that it is complete.
 */
import {
  canonicalJson,
  GATE_MAP,
  OUTPUT_CATALOGUE,
  sha256Hex,
  type CanonicalValue,
  type WorldKey,
} from '../rails/index.ts';
import { compileDocument, COUNT, HEX32, HEX64, MICROS, TEXT, WORLD_KEY } from './document-schema.ts';

/** A file of the engine run. */
export interface EngineFile {
  /** Relative to the engine run's root. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

export interface PackedOutput {
  readonly output_id: string;
  /** In path order. */
  readonly parts: readonly EngineFile[];
}

export interface OraclePackManifest {
  readonly version: 'v1';
  readonly oracle_pack_id: string;
  readonly world_key: WorldKey;
  readonly engine_release: string;
  readonly engine_run_id: string;
  /** Key of the engine run's root in the same bucket: a locator, not part of what the pack is. */
  readonly engine_run_root: string;
  readonly catalogue_digest: string;
  readonly gate_map_digest: string;
  readonly outputs: readonly PackedOutput[];
  readonly created_at_utc: string;
}

export type SealStatus = 'SEALED_OK' | 'SEALED_FAILED';

export interface OraclePackSeal {
  readonly version: 'v1';
  readonly oracle_pack_id: string;
  /** sha256 of the manifest's stored bytes: a manifest that was touched afterwards no longer matches. */
  readonly manifest_sha256: string;
  readonly seal_status: SealStatus;
  readonly sealed_at_utc: string;
}

export interface PackTombstone {
  readonly oracle_pack_id: string;
  readonly actor: string;
  readonly reason: string;
  readonly tombstoned_at_utc: string;
}

const ENGINE_FILE = {
  type: 'object',
  additionalProperties: false,
  required: ['path', 'bytes', 'sha256'],
  properties: { path: TEXT, bytes: COUNT, sha256: HEX64 },
} as const;

export const validateManifest = compileDocument<OraclePackManifest>({
  type: 'object',
  additionalProperties: false,
  required: [
    'version',
    'oracle_pack_id',
    'world_key',
    'engine_release',
    'engine_run_id',
    'engine_run_root',
    'catalogue_digest',
    'gate_map_digest',
    'outputs',
    'created_at_utc',
  ],
  properties: {
    version: { type: 'string', const: 'v1' },
    oracle_pack_id: HEX64,
    world_key: WORLD_KEY,
    engine_release: { type: 'string', minLength: 1, maxLength: 256 },
    engine_run_id: HEX32,
    engine_run_root: TEXT,
    catalogue_digest: HEX64,
    gate_map_digest: HEX64,
    outputs: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['output_id', 'parts'],
        properties: { output_id: TEXT, parts: { type: 'array', items: ENGINE_FILE, minItems: 1 } },
      },
    },
    created_at_utc: MICROS,
  },
});

export const validateSeal = compileDocument<OraclePackSeal>({
  type: 'object',
  additionalProperties: false,
  required: ['version', 'oracle_pack_id', 'manifest_sha256', 'seal_status', 'sealed_at_utc'],
  properties: {
    version: { type: 'string', const: 'v1' },
    oracle_pack_id: HEX64,
    manifest_sha256: HEX64,
    seal_status: { type: 'string', enum: ['SEALED_OK', 'SEALED_FAILED'] },
    sealed_at_utc: MICROS,
  },
});

export const validateTombstone = compileDocument<PackTombstone>({
  type: 'object',
  additionalProperties: false,
  required: ['oracle_pack_id', 'actor', 'reason', 'tombstoned_at_utc'],
  properties: { oracle_pack_id: HEX64, actor: TEXT, reason: TEXT, tombstoned_at_utc: MICROS },
});

/** What two manifests must share to be the same pack: everything but when and where. */
export function manifestIdentity(manifest: OraclePackManifest): string {
  return canonicalJson({
    ...manifest,
    world_key: { ...manifest.world_key },
    outputs: manifest.outputs.map((output) => ({
      output_id: output.output_id,
      parts: output.parts.map((part) => ({ ...part })),
    })),
    engine_run_root: undefined,
    created_at_utc: undefined,
  });
}

/** Digest of the output catalogue this build knows. */
export function catalogueDigest(): string {
  return sha256Hex(canonicalJson([...OUTPUT_CATALOGUE.values()] as unknown as CanonicalValue));
}

/** Digest of the gate map this build knows. */
export function gateMapDigest(): string {
  return sha256Hex(canonicalJson([...GATE_MAP.values()] as unknown as CanonicalValue));
}
