/**
 * A stream view: one output of a pack in replay order, as Arrow IPC files. The manifest names the parts with digests;
 * the sort receipt, written last, proves that raw and sorted rows are the same multiset. Without the receipt there is
 * no view.
 *
 * Parts (`part-NNNNNN.arrow`, in replay order) are Arrow IPC files of many record batches. Columns and their order
 * are the engine's: id64 and uint64 as Uint64, int64 as Int64, boolean as Bool, amount and double as Float64, micros
 * as Utf8, other text as Dictionary<Int32, Utf8>.
 */
import { isObjectStoreError, sha256Hex, type ObjectStore } from '../../lib/index.ts';
import { outputDefinition, sourceLocatorDigest, streamViewId, type WorldKey } from '../rails/index.ts';
import {
  compileDocument,
  COUNT,
  HEX32,
  HEX64,
  MICROS,
  parseDocument,
  TEXT,
  WORLD_KEY,
} from './document-schema.ts';
import { OracleError, toOracleError } from './oracle-error.ts';
import { SORT_RECEIPT_FILE, VIEW_MANIFEST_FILE, viewFolder } from './pack-layout.ts';
import type { OraclePackManifest } from './pack-manifest.ts';
import { readPack, type OraclePack } from './pack-reader.ts';

export interface StreamViewPart {
  /** File name in the view's folder. */
  readonly file: string;
  readonly rows: number;
  readonly bytes: number;
  readonly sha256: string;
  /** First and last value of the leading sort key. */
  readonly min_ts_utc: string;
  readonly max_ts_utc: string;
}

/** Order-independent: equal for raw and sorted rows exactly when they are the same multiset (multiset-digest.ts). */
export interface MultisetStats {
  readonly row_count: number;
  /** 32 hex digits: the sum over all rows, modulo 2^128. */
  readonly multiset_digest: string;
  readonly min_ts_utc: string;
  readonly max_ts_utc: string;
}

interface ViewIdentity {
  readonly stream_view_id: string;
  readonly output_id: string;
  readonly sort_keys: readonly string[];
  readonly partition_granularity: 'flat';
}

export interface StreamViewManifest extends ViewIdentity {
  readonly version: 'v1';
  readonly oracle_pack_id: string;
  readonly engine_run_id: string;
  readonly scenario_id: string;
  readonly world_key: WorldKey;
  readonly row_count: number;
  readonly min_ts_utc: string;
  readonly max_ts_utc: string;
  /** In replay order. */
  readonly parts: readonly StreamViewPart[];
  readonly created_utc: string;
}

export interface StreamSortReceipt extends ViewIdentity {
  readonly version: 'v1';
  readonly status: 'OK';
  /** Names and digests of the parquet parts the rows came from. */
  readonly source_locator_digest: string;
  /** sha256 of the manifest's stored bytes. */
  readonly manifest_sha256: string;
  readonly raw_stats: MultisetStats;
  readonly sorted_stats: MultisetStats;
  readonly created_utc: string;
}

export interface StreamView {
  readonly manifest: StreamViewManifest;
  readonly receipt: StreamSortReceipt;
  readonly bucket: string;
  /** Keys of the parts in the bucket, in replay order; `manifest.parts[i]` describes `partKeys[i]`. */
  readonly partKeys: readonly string[];
}

const IDENTITY = {
  stream_view_id: HEX64,
  output_id: TEXT,
  sort_keys: { type: 'array', items: TEXT, minItems: 1 },
  partition_granularity: { type: 'string', const: 'flat' },
} as const;

// The leading sort key is a micros text in every view that streams; views by other keys carry that key's text.
const RANGE = { min_ts_utc: TEXT, max_ts_utc: TEXT } as const;

const STATS = {
  type: 'object',
  additionalProperties: false,
  required: ['row_count', 'multiset_digest', 'min_ts_utc', 'max_ts_utc'],
  properties: { row_count: COUNT, multiset_digest: HEX32, ...RANGE },
} as const;

const validateViewManifest = compileDocument<StreamViewManifest>({
  type: 'object',
  additionalProperties: false,
  required: [
    'version',
    'stream_view_id',
    'oracle_pack_id',
    'engine_run_id',
    'scenario_id',
    'world_key',
    'output_id',
    'sort_keys',
    'partition_granularity',
    'row_count',
    'min_ts_utc',
    'max_ts_utc',
    'parts',
    'created_utc',
  ],
  properties: {
    ...IDENTITY,
    version: { type: 'string', const: 'v1' },
    oracle_pack_id: HEX64,
    engine_run_id: HEX32,
    scenario_id: TEXT,
    world_key: WORLD_KEY,
    row_count: COUNT,
    ...RANGE,
    parts: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['file', 'rows', 'bytes', 'sha256', 'min_ts_utc', 'max_ts_utc'],
        properties: {
          file: { type: 'string', pattern: '^part-[0-9]{6}\\.arrow$' },
          rows: COUNT,
          bytes: COUNT,
          sha256: HEX64,
          ...RANGE,
        },
      },
    },
    created_utc: MICROS,
  },
});

const validateReceipt = compileDocument<StreamSortReceipt>({
  type: 'object',
  additionalProperties: false,
  required: [
    'version',
    'status',
    'stream_view_id',
    'output_id',
    'sort_keys',
    'partition_granularity',
    'source_locator_digest',
    'manifest_sha256',
    'raw_stats',
    'sorted_stats',
    'created_utc',
  ],
  properties: {
    ...IDENTITY,
    version: { type: 'string', const: 'v1' },
    status: { type: 'string', const: 'OK' },
    source_locator_digest: HEX64,
    manifest_sha256: HEX64,
    raw_stats: STATS,
    sorted_stats: STATS,
    created_utc: MICROS,
  },
});

export interface ExpectedView extends ViewIdentity {
  readonly source_locator_digest: string;
}

/** What the view of an output must be, from the pack alone. Throws OUTPUT_UNKNOWN or OUTPUT_MISSING. */
export function expectedView(pack: OraclePackManifest, outputId: string): ExpectedView {
  const packed = pack.outputs.find((output) => output.output_id === outputId);
  if (packed === undefined) {
    throw new OracleError('OUTPUT_MISSING', `pack ${pack.oracle_pack_id} has no ${outputId}`);
  }
  const output = outputDefinition(outputId);
  // Ties of the sort keys are broken by the primary key, so the order is total.
  const sort_keys = [...output.sort_keys, ...output.row_key.filter((key) => !output.sort_keys.includes(key))];
  const source_locator_digest = sourceLocatorDigest(packed.parts);
  return {
    stream_view_id: streamViewId({
      world: pack.world_key,
      output_id: outputId,
      sort_keys,
      partition_granularity: 'flat',
      source_locator_digest,
    }),
    output_id: outputId,
    sort_keys,
    partition_granularity: 'flat',
    source_locator_digest,
  };
}

/**
 * Reads and verifies the view of one output against its pack: the receipt is there, belongs to this pack's bytes, and
 * proves this manifest. Throws an OracleError: STREAM_VIEW_MISSING, STREAM_RECEIPT_MISSING (parts or a manifest
 * without receipt), STREAM_RECEIPT_MISMATCH, or what `readPack` throws. The parts' own bytes are for the reader to
 * check against `manifest.parts[i].sha256`.
 */
export async function readViewManifest(
  store: ObjectStore,
  pack: OraclePack | string,
  outputId: string,
): Promise<StreamView> {
  const { manifest: packManifest, root } = typeof pack === 'string' ? await readPack(store, pack) : pack;
  const bucket = store.bucket(root.bucket);
  const folder = `${root.key}/${viewFolder(outputId)}`;
  const expected = expectedView(packManifest, outputId);
  const where = bucket.uri(folder);

  const receiptBytes = await readOrUndefined(() => bucket.get(`${folder}/${SORT_RECEIPT_FILE}`));
  const manifestBytes = await readOrUndefined(() => bucket.get(`${folder}/${VIEW_MANIFEST_FILE}`));
  if (receiptBytes === undefined) {
    if (manifestBytes === undefined && (await bucket.list(`${folder}/`).next()).done === true) {
      throw new OracleError('STREAM_VIEW_MISSING', `${where} is empty: build it with \`fp oracle view\``);
    }
    throw new OracleError(
      'STREAM_RECEIPT_MISSING',
      `${where} has no ${SORT_RECEIPT_FILE}: the view was never finished; remove the folder and build it again`,
    );
  }
  if (manifestBytes === undefined) {
    throw new OracleError('STREAM_RECEIPT_MISMATCH', `${where} has a receipt and no ${VIEW_MANIFEST_FILE}`);
  }
  const receipt = parseDocument(receiptBytes, validateReceipt, 'STREAM_RECEIPT_MISMATCH', `${where} receipt`);
  const manifest = parseDocument(
    manifestBytes,
    validateViewManifest,
    'STREAM_RECEIPT_MISMATCH',
    `${where} manifest`,
  );
  const expect = (what: string, actual: string, wanted: string): void => {
    if (actual !== wanted) {
      throw new OracleError('STREAM_RECEIPT_MISMATCH', `${where}: ${what} is ${actual}, expected ${wanted}`);
    }
  };
  expect('stream_view_id of the receipt', receipt.stream_view_id, expected.stream_view_id);
  expect('source_locator_digest', receipt.source_locator_digest, expected.source_locator_digest);
  expect('stream_view_id of the manifest', manifest.stream_view_id, expected.stream_view_id);
  expect('output_id', manifest.output_id, outputId);
  expect('oracle_pack_id', manifest.oracle_pack_id, packManifest.oracle_pack_id);
  expect('sha256 of the manifest', sha256Hex(manifestBytes), receipt.manifest_sha256);
  expect('sorted multiset digest', receipt.sorted_stats.multiset_digest, receipt.raw_stats.multiset_digest);
  expect('sorted row count', String(receipt.sorted_stats.row_count), String(receipt.raw_stats.row_count));
  expect('rows of the manifest', String(manifest.row_count), String(receipt.sorted_stats.row_count));
  const rows = manifest.parts.reduce((sum, part) => sum + part.rows, 0);
  expect('rows of all parts', String(rows), String(manifest.row_count));
  return {
    manifest,
    receipt,
    bucket: root.bucket,
    partKeys: manifest.parts.map((part) => `${folder}/${part.file}`),
  };
}

async function readOrUndefined(read: () => Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isObjectStoreError(error, 'OBJECT_MISSING')) return undefined;
    throw toOracleError(error, 'STREAM_VIEW_MISSING', 'reading a stream view');
  }
}
