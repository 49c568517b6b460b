/**
 * Where things are in the oracle bucket. The engine's tree is external truth and stays as it was synced; what we
 * derive (manifest, seal, stream views) has a root of its own, so that nothing is ever added to the engine's tree.
 *
 *   engine/<engine_run_id>/…                              the engine run, byte for byte
 *   packs/<oracle_pack_id>/_oracle_pack_manifest.json     what the pack consists of, with digests
 *   packs/<oracle_pack_id>/_SEALED.json                   written last, once
 *   packs/<oracle_pack_id>/stream_view/ts_utc/output_id=<id>/part-NNNNNN.arrow
 *   tombstones/<oracle_pack_id>.json                      outside of the pack, which never changes
 */
import { joinKey, parseLocator } from '../../lib/index.ts';
import { OracleError } from './oracle-error.ts';

export const RUN_RECEIPT_FILE = 'run_receipt.json';
export const PACK_MANIFEST_FILE = '_oracle_pack_manifest.json';
export const SEAL_FILE = '_SEALED.json';
export const VIEW_MANIFEST_FILE = '_stream_view_manifest.json';
export const SORT_RECEIPT_FILE = '_stream_sort_receipt.json';

/** A root folder in a bucket. `key` has no slash at either end. */
export interface StoreRoot {
  readonly bucket: string;
  readonly key: string;
}

/** Reads `s3://bucket/path[/]`. A root must have a path: the whole bucket is no root. */
export function parseRoot(uri: string): StoreRoot {
  const { bucket, key } = parseLocator(uri);
  const trimmed = joinKey(key).replace(/\/+$/, '');
  if (trimmed === '') {
    throw new OracleError('PACK_ROOT_NOT_FOUND', `${uri} names a whole bucket; expected s3://bucket/path`);
  }
  return { bucket, key: trimmed };
}

/** `s3://bucket/path/`, always with a trailing slash. */
export function formatRoot(root: StoreRoot): string {
  return `s3://${root.bucket}/${root.key}/`;
}

export function engineRunKey(engineRunId: string): string {
  return joinKey('engine', engineRunId);
}

export function packKey(oraclePackId: string): string {
  return joinKey('packs', oraclePackId);
}

export function tombstoneKey(oraclePackId: string): string {
  return joinKey('tombstones', `${oraclePackId}.json`);
}

/** The folder of an output's view, relative to the pack root. Flat: no view id, date or bucket in it. */
export function viewFolder(outputId: string): string {
  return `stream_view/ts_utc/output_id=${outputId}`;
}

export function partFile(index: number): string {
  return `part-${String(index).padStart(6, '0')}.arrow`;
}
