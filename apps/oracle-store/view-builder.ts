/**
 * Building a stream view: verify the source parts against the pack, digest the raw rows, sort them externally, write
 * Arrow parts, read each one back for the sorted digest, and only if both digests agree publish manifest and receipt.
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import {
  DigestingStream,
  isObjectStoreError,
  sha256Hex,
  type Bucket,
  type ObjectStore,
} from '../../lib/index.ts';
import {
  canonicalJson,
  epochMillisToMicros,
  LINEAGE_COLUMNS,
  outputDefinition,
  type ColumnType,
  type WorldKey,
} from '../rails/index.ts';
import { ArrowPartBuilder, PartVerifier, type ViewColumn, type ViewColumnType } from './arrow-part.ts';
import { digestOfSums, digestSql } from './multiset-digest.ts';
import { OracleError, toOracleError } from './oracle-error.ts';
import { partFile, SORT_RECEIPT_FILE, VIEW_MANIFEST_FILE, viewFolder } from './pack-layout.ts';
import type { OraclePack } from './pack-reader.ts';
import {
  expectedView,
  readViewManifest,
  type MultisetStats,
  type StreamSortReceipt,
  type StreamView,
  type StreamViewManifest,
  type StreamViewPart,
} from './stream-view-manifest.ts';

export interface ViewOptions {
  /** Rows of one part. Default 245,760 (15 record batches). */
  readonly partRows?: number;
  /** DuckDB's limit; more than that is sorted on disk. Default `384MB`, which keeps the process under 1 GiB. */
  readonly memoryLimit?: string;
  /** Removes parts that have no receipt, instead of refusing: nobody can have read them. */
  readonly discardUnfinished?: boolean;
  readonly onProgress?: (rows: number) => void;
}

export interface BuiltView {
  /** False when a valid view was there. */
  readonly created: boolean;
  readonly view: StreamView;
}

const DEFAULT_PART_ROWS = 245_760;

/**
 * Builds the view of one output, or finds a valid one. Throws an OracleError: STREAM_VIEW_PARTIAL_EXISTS (parts
 * without receipt), STREAM_RECEIPT_MISMATCH (a view of something else), DIGEST_MISMATCH (a source part is not what was
 * packed), MISSING_SORT_KEY, MISSING_TS_UTC, STREAM_SORT_…
 */
export async function buildView(
  store: ObjectStore,
  pack: OraclePack,
  outputId: string,
  options: ViewOptions = {},
): Promise<BuiltView> {
  const existing = await findView(store, pack, outputId, options.discardUnfinished === true);
  if (existing !== undefined) return { created: false, view: existing };

  const scratch = await mkdtemp(join(tmpdir(), 'oracle-view-'));
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: options.memoryLimit ?? '384MB',
    temp_directory: join(scratch, 'spill'),
    threads: '2',
  });
  const connection = await instance.connect();
  try {
    const source = await fetchSource(store, pack, outputId, scratch);
    await writeView(store, pack, outputId, connection, source, options);
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(scratch, { recursive: true, force: true });
  }
  return { created: true, view: await readViewManifest(store, pack, outputId) };
}

/** A valid view, or undefined when the folder is free. */
async function findView(
  store: ObjectStore,
  pack: OraclePack,
  outputId: string,
  discardUnfinished: boolean,
): Promise<StreamView | undefined> {
  const bucket = store.bucket(pack.root.bucket);
  try {
    const view = await readViewManifest(store, pack, outputId);
    for (const [i, part] of view.manifest.parts.entries()) {
      const stat = await bucket.stat(view.partKeys[i]!).catch((error: unknown) => {
        throw toOracleError(error, 'STREAM_RECEIPT_MISMATCH', `part ${part.file} of ${outputId} is gone`);
      });
      if (stat.bytes !== part.bytes || stat.sha256 !== part.sha256) {
        throw new OracleError(
          'STREAM_RECEIPT_MISMATCH',
          `${bucket.uri(view.partKeys[i]!)} is not what was written`,
        );
      }
    }
    return view;
  } catch (error) {
    if (!(error instanceof OracleError)) throw error;
    if (error.code === 'STREAM_VIEW_MISSING') return undefined;
    if (error.code !== 'STREAM_RECEIPT_MISSING') throw error;
    const folder = `${pack.root.key}/${viewFolder(outputId)}/`;
    if (!discardUnfinished) {
      throw new OracleError(
        'STREAM_VIEW_PARTIAL_EXISTS',
        `${bucket.uri(folder)} has parts and no receipt, left by a build that did not finish: ` +
          'build again with --discard-unfinished',
        { cause: error },
      );
    }
    for await (const { key } of bucket.list(folder)) await bucket.remove(key);
    return undefined;
  }
}

/** Copies the source parts here, each checked against the pack's digest. Returns the SQL that reads them. */
async function fetchSource(
  store: ObjectStore,
  pack: OraclePack,
  outputId: string,
  scratch: string,
): Promise<string> {
  const { parts } = pack.manifest.outputs.find((output) => output.output_id === outputId)!;
  const bucket = store.bucket(pack.root.bucket);
  const files: string[] = [];
  for (const part of parts) {
    const key = `${pack.manifest.engine_run_root}/${part.path}`;
    const target = join(scratch, `source-${String(files.length).padStart(6, '0')}.parquet`);
    const digest = new DigestingStream();
    try {
      await pipeline(await bucket.getStream(key), digest, createWriteStream(target));
    } catch (error) {
      throw isObjectStoreError(error)
        ? toOracleError(error, 'OBJECT_MISSING', `source of ${outputId}`)
        : error;
    }
    if (digest.sha256 !== part.sha256) {
      throw new OracleError(
        'DIGEST_MISMATCH',
        `${bucket.uri(key)} has sha256 ${String(digest.sha256)}, the pack says ${part.sha256}`,
      );
    }
    files.push(`'${target.replaceAll("'", "''")}'`);
  }
  return `read_parquet([${files.join(', ')}], hive_partitioning = false)`;
}

const CATALOGUE_TYPES: Readonly<Record<ColumnType, ViewColumnType>> = {
  id64: 'uint64',
  int64: 'int64',
  string: 'text',
  boolean: 'boolean',
  double: 'double',
  amount: 'double',
  micros: 'time',
};

/** Types of columns that the engine adds to what the catalogue lists. */
const SQL_TYPES: Readonly<Record<string, ViewColumnType>> = {
  UBIGINT: 'uint64',
  BIGINT: 'int64',
  INTEGER: 'int64',
  DOUBLE: 'double',
  BOOLEAN: 'boolean',
  VARCHAR: 'text',
};

/** What DuckDB must hand over for each type; integer columns of another width are widened losslessly. */
const SQL_OF: Readonly<Record<ViewColumnType, string>> = {
  uint64: 'UBIGINT',
  int64: 'BIGINT',
  double: 'DOUBLE',
  boolean: 'BOOLEAN',
  text: 'VARCHAR',
  time: 'VARCHAR',
};

async function describeColumns(
  connection: DuckDBConnection,
  source: string,
  outputId: string,
  world: WorldKey,
): Promise<ViewColumn[]> {
  const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${source}`);
  const catalogue = new Map(outputDefinition(outputId).columns.map((column) => [column.name, column.type]));
  const lineage: Readonly<Record<string, string>> = { ...world };
  return described.getRows().map((row) => {
    const name = String(row[0]);
    const sqlType = String(row[1]);
    if ((LINEAGE_COLUMNS as readonly string[]).includes(name)) {
      const value = lineage[name]!;
      return name === 'seed'
        ? { name, type: 'uint64', constant: BigInt(value) }
        : { name, type: 'text', constant: value };
    }
    const known = catalogue.get(name);
    const type = known === undefined ? SQL_TYPES[sqlType] : CATALOGUE_TYPES[known];
    if (type === undefined) {
      throw new OracleError('STREAM_SORT_COLUMN_UNSUPPORTED', `${outputId}.${name} is a ${sqlType}`);
    }
    return { name, type };
  });
}

async function writeView(
  store: ObjectStore,
  pack: OraclePack,
  outputId: string,
  connection: DuckDBConnection,
  source: string,
  options: ViewOptions,
): Promise<void> {
  const { manifest: packManifest, root } = pack;
  const expected = expectedView(packManifest, outputId);
  const columns = await describeColumns(connection, source, outputId, packManifest.world_key);
  for (const key of expected.sort_keys) {
    if (columns.some((column) => column.name === key)) continue;
    const code = key === 'ts_utc' ? 'MISSING_TS_UTC' : 'MISSING_SORT_KEY';
    throw new OracleError(
      code,
      `${outputId} has no column ${key}; it has ${columns.map((c) => c.name).join(', ')}`,
    );
  }
  const raw = await rawStats(connection, source, outputId, columns, expected.sort_keys[0]!);

  const bucket = store.bucket(root.bucket);
  const folder = `${root.key}/${viewFolder(outputId)}`;
  const { parts, sorted } = await writeParts(
    bucket,
    folder,
    connection,
    source,
    columns,
    expected.sort_keys,
    options,
  );
  if (
    sorted.row_count !== raw.row_count ||
    sorted.multiset_digest !== raw.multiset_digest ||
    sorted.min_ts_utc !== raw.min_ts_utc ||
    sorted.max_ts_utc !== raw.max_ts_utc
  ) {
    throw new OracleError(
      'STREAM_SORT_VALIDATION_FAILED',
      `${outputId}: raw ${JSON.stringify(raw)} and sorted ${JSON.stringify(sorted)} differ`,
    );
  }

  const created_utc = epochMillisToMicros();
  const { source_locator_digest, ...identity } = expected;
  const manifest: StreamViewManifest = {
    version: 'v1',
    ...identity,
    oracle_pack_id: packManifest.oracle_pack_id,
    engine_run_id: packManifest.engine_run_id,
    scenario_id: packManifest.world_key.scenario_id,
    world_key: packManifest.world_key,
    row_count: sorted.row_count,
    min_ts_utc: sorted.min_ts_utc,
    max_ts_utc: sorted.max_ts_utc,
    parts,
    created_utc,
  };
  const manifestBytes = Buffer.from(
    canonicalJson({
      ...manifest,
      world_key: { ...manifest.world_key },
      parts: parts.map((part) => ({ ...part })),
    }),
  );
  const receipt: StreamSortReceipt = {
    version: 'v1',
    status: 'OK',
    ...identity,
    source_locator_digest,
    manifest_sha256: sha256Hex(manifestBytes),
    raw_stats: raw,
    sorted_stats: sorted,
    created_utc,
  };
  const json = { contentType: 'application/json' };
  await bucket.putOnce(`${folder}/${VIEW_MANIFEST_FILE}`, manifestBytes, json);
  const receiptText = canonicalJson({ ...receipt, raw_stats: { ...raw }, sorted_stats: { ...sorted } });
  await bucket.putOnce(`${folder}/${SORT_RECEIPT_FILE}`, Buffer.from(receiptText), json);
}

/** Digest and range of the source rows, and proof that every row belongs to the world. */
async function rawStats(
  connection: DuckDBConnection,
  source: string,
  outputId: string,
  columns: readonly ViewColumn[],
  leadingKey: string,
): Promise<MultisetStats> {
  const foreign = columns
    .filter((column) => column.constant !== undefined)
    .map(
      (column) =>
        `"${column.name}"::VARCHAR IS DISTINCT FROM '${String(column.constant).replaceAll("'", "''")}'`,
    );
  const checks = await connection.runAndReadAll(
    `SELECT count(*) FILTER (WHERE ${foreign.length === 0 ? 'false' : foreign.join(' OR ')}), ` +
      `count(*) FILTER (WHERE "${leadingKey}" IS NULL), ` +
      `min("${leadingKey}")::VARCHAR, max("${leadingKey}")::VARCHAR FROM ${source}`,
  );
  const [foreignRows, nullKeys, min, max] = checks.getRows()[0]!;
  if (foreignRows !== 0n) {
    throw new OracleError(
      'STREAM_SORT_VALIDATION_FAILED',
      `${outputId} has ${String(foreignRows)} rows of another world (seed, fingerprint, parameter hash or scenario)`,
    );
  }
  if (nullKeys !== 0n) {
    throw new OracleError(
      'MISSING_SORT_KEY',
      `${outputId} has ${String(nullKeys)} rows without ${leadingKey}`,
    );
  }
  const digest = await connection.runAndReadAll(
    digestSql(
      columns.map(({ name, type }) => ({ name, isDouble: type === 'double' })),
      source,
    ),
  );
  const [rows, upper, lower] = digest.getRows()[0]! as bigint[];
  if (rows === 0n) throw new OracleError('STREAM_SORT_OUTPUT_EMPTY', `${outputId} has no rows`);
  if (typeof min !== 'string' || typeof max !== 'string') {
    throw new OracleError('STREAM_SORT_TS_RANGE_MISSING', `${outputId} has no range of ${leadingKey}`);
  }
  return {
    row_count: Number(rows),
    multiset_digest: digestOfSums(upper!, lower!),
    min_ts_utc: min,
    max_ts_utc: max,
  };
}

async function writeParts(
  bucket: Bucket,
  folder: string,
  connection: DuckDBConnection,
  source: string,
  columns: readonly ViewColumn[],
  sortKeys: readonly string[],
  options: ViewOptions,
): Promise<{ parts: StreamViewPart[]; sorted: MultisetStats }> {
  const partRows = options.partRows ?? DEFAULT_PART_ROWS;
  const selected = columns
    .filter((column) => column.constant === undefined)
    .map((column) => `"${column.name}"::${SQL_OF[column.type]} AS "${column.name}"`);
  const order = sortKeys.map((key) => `"${key}"`);
  const result = await connection.stream(
    `SELECT ${selected.join(', ')} FROM ${source} ORDER BY ${order.join(', ')}`,
  );
  const verifier = new PartVerifier(sortKeys);
  const parts: StreamViewPart[] = [];
  let uploading: Promise<unknown> = Promise.resolve();
  // A chunk goes into one part whole, so a part may be one chunk longer than asked for.
  const newBuilder = (): ArrowPartBuilder => new ArrowPartBuilder(columns, partRows + 2048);
  const finish = async (done: ArrowPartBuilder): Promise<void> => {
    const bytes = done.toBuffer();
    const proof = verifier.verify(bytes);
    const file = partFile(parts.length);
    parts.push({
      file,
      rows: proof.rows,
      bytes: bytes.length,
      sha256: sha256Hex(bytes),
      min_ts_utc: proof.first,
      max_ts_utc: proof.last,
    });
    // One upload at a time runs beside the next part's making: no more than two parts are in memory.
    await uploading;
    uploading = bucket.putOnce(`${folder}/${file}`, bytes);
    uploading.catch(() => undefined);
    options.onProgress?.(verifier.digest.rows);
  };
  let builder = newBuilder();
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    builder.append(chunk.rowCount, (index) => chunk.getColumnVector(index));
    if (builder.rows >= partRows) {
      await finish(builder);
      builder = newBuilder();
    }
  }
  if (builder.rows > 0) await finish(builder);
  await uploading;
  return {
    parts,
    sorted: {
      row_count: verifier.digest.rows,
      multiset_digest: verifier.digest.hex(),
      min_ts_utc: parts[0]?.min_ts_utc ?? '',
      max_ts_utc: parts.at(-1)?.max_ts_utc ?? '',
    },
  };
}
