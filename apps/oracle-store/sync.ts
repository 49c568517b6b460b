/**
 * Copying an engine run into the oracle bucket, byte for byte. It can be repeated at any time: files that are there
 * with the same size and digest are skipped, and one with other content stops it, because worlds never change.
 */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sha256OfFile, type Bucket, type ObjectStore } from '../../lib/index.ts';
import { OracleError } from './oracle-error.ts';
import { engineRunKey, formatRoot, RUN_RECEIPT_FILE, type StoreRoot } from './pack-layout.ts';
import { parseRunReceipt } from './run-receipt.ts';
import { filesBelow } from './engine-folder.ts';

export interface SyncResult {
  /** `s3://bucket/engine/<engine_run_id>/`. */
  readonly engineRunRoot: string;
  readonly engineRunId: string;
  readonly files: number;
  readonly uploaded: number;
  readonly skipped: number;
  readonly bytes: number;
}

/** Uploads at a time. */
const CONCURRENCY = 6;

/**
 * Copies the folder of an engine run. Throws an OracleError: ENGINE_ROOT_NOT_FOUND, RUN_RECEIPT_UNREADABLE (the run
 * is unfinished), RUN_RECEIPT_INVALID, SYNC_CONFLICT.
 */
export async function syncEngineRun(
  store: ObjectStore,
  bucketName: string,
  folder: string,
  onProgress: (doneBytes: number, totalBytes: number) => void = () => undefined,
): Promise<SyncResult> {
  const paths = await filesBelow(folder).catch((error: unknown) => {
    throw new OracleError('ENGINE_ROOT_NOT_FOUND', `${folder}: ${(error as Error).message}`, {
      cause: error,
    });
  });
  if (!paths.includes(RUN_RECEIPT_FILE)) {
    throw new OracleError(
      'RUN_RECEIPT_UNREADABLE',
      `${folder} has no ${RUN_RECEIPT_FILE}: the run is not finished`,
    );
  }
  const receipt = parseRunReceipt(
    await readFile(join(folder, RUN_RECEIPT_FILE)),
    join(folder, RUN_RECEIPT_FILE),
  );
  const root: StoreRoot = { bucket: bucketName, key: engineRunKey(receipt.run_id) };
  const bucket = store.bucket(bucketName);
  const present = new Map<string, number>();
  for await (const { key, bytes } of bucket.list(`${root.key}/`)) present.set(key, bytes);

  const sizes = await Promise.all(paths.map(async (path) => (await stat(join(folder, path))).size));
  const total = sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  let uploaded = 0;
  const copy = async (index: number): Promise<void> => {
    const path = paths[index]!;
    const key = `${root.key}/${path}`;
    if (await copyFile(bucket, key, join(folder, path), present.get(key))) uploaded += 1;
    done += sizes[index]!;
    onProgress(done, total);
  };
  // The receipt goes last: an engine run without it is not there yet.
  const receiptIndex = paths.indexOf(RUN_RECEIPT_FILE);
  const queue = paths.map((_path, index) => index).filter((index) => index !== receiptIndex);
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let index = queue.shift(); index !== undefined; index = queue.shift()) await copy(index);
    }),
  );
  await copy(receiptIndex);
  return {
    engineRunRoot: formatRoot(root),
    engineRunId: receipt.run_id,
    files: paths.length,
    uploaded,
    skipped: paths.length - uploaded,
    bytes: total,
  };
}

/** True when the file was uploaded, false when it was there. */
async function copyFile(
  bucket: Bucket,
  key: string,
  path: string,
  presentBytes: number | undefined,
): Promise<boolean> {
  if (presentBytes === undefined) {
    await bucket.putFile(key, path);
    return true;
  }
  const local = await sha256OfFile(path);
  const stored = (await bucket.stat(key)).sha256;
  if (presentBytes !== local.bytes || stored !== local.sha256) {
    throw new OracleError(
      'SYNC_CONFLICT',
      `${bucket.uri(key)} is ${presentBytes} bytes with sha256 ${stored ?? 'unknown'}, ${path} is ${local.bytes} bytes ` +
        `with ${local.sha256}: a world never changes, so one of them is damaged or a different run`,
    );
  }
  return false;
}
