/**
 * A deterministic sample world in the engine's own layout: parquet outputs, gate bundles with flags, run receipt. The
 * same request gives the same bytes. The run receipt is written last: a folder without it is unfinished.
 */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { sha256OfFile } from '../../../lib/index.ts';
import {
  canonicalJson,
  epochMicrosToMicros,
  isUint64,
  outputDefinition,
  outputPath,
  sha256Hex,
  sha256Hex32,
  type WorldKey,
} from '../../rails/index.ts';
import { RUN_RECEIPT_FILE } from '../pack-layout.ts';
import type { EngineFile } from '../pack-manifest.ts';
import { generateFlows } from './flow-generator.ts';
import { writeGateBundles } from './gate-bundles.ts';
import { outputQuery, prepareQueries, sampleOutputs } from './output-queries.ts';

export const SAMPLE_ENGINE_RELEASE = 'sample-engine-1';
export const SAMPLE_SCENARIO_ID = 'baseline_v1';
export const SMALLEST_WORLD = 100;

export interface SampleRequest {
  /** Rows over the four outputs of the fraud mode; SMALLEST_WORLD or more. Exact. */
  readonly events: number;
  /** uint64 as a decimal string. */
  readonly seed: string;
  /** Days of arrivals, 1 or more. Flows that begin late in the last day end in the next one. */
  readonly days: number;
  /** The first day, `YYYY-MM-DD`. */
  readonly start: string;
}

export interface SampleIdentity {
  readonly runId: string;
  readonly world: WorldKey;
}

export interface SampleWorld extends SampleIdentity {
  readonly folder: string;
  /** False when the folder held this world already. */
  readonly created: boolean;
  readonly rows: Readonly<Record<string, number>>;
}

/** Rows of one parquet file at most. */
const PART_ROWS = 1_000_000;
const ROW_GROUP_ROWS = 122_880;

/** The ids of the world that a request makes. Throws a RangeError that names what is wrong with the request. */
export function sampleIdentity(request: SampleRequest): SampleIdentity {
  if (!Number.isSafeInteger(request.events) || request.events < SMALLEST_WORLD) {
    throw new RangeError(`--events ${request.events}: expected a whole number, ${SMALLEST_WORLD} or more`);
  }
  if (!isUint64(request.seed)) throw new RangeError(`--seed ${request.seed}: expected 0 … 2^64-1`);
  if (!Number.isSafeInteger(request.days) || request.days < 1 || request.days > 366) {
    throw new RangeError(`--days ${request.days}: expected a whole number, 1 to 366`);
  }
  startMillis(request.start);
  const parameterHash = sha256Hex(
    canonicalJson({ engine_release: SAMPLE_ENGINE_RELEASE, events: request.events, days: request.days }),
  );
  const manifestFingerprint = sha256Hex(
    canonicalJson({ parameter_hash: parameterHash, start: request.start }),
  );
  const world: WorldKey = {
    manifest_fingerprint: manifestFingerprint,
    parameter_hash: parameterHash,
    scenario_id: SAMPLE_SCENARIO_ID,
    seed: request.seed,
  };
  return {
    world,
    runId: sha256Hex32(
      `engine_run|${manifestFingerprint}|${parameterHash}|${request.seed}|${SAMPLE_SCENARIO_ID}`,
    ),
  };
}

function startMillis(start: string): number {
  const millis = /^\d{4}-\d{2}-\d{2}$/.test(start) ? Date.parse(`${start}T00:00:00Z`) : NaN;
  if (Number.isNaN(millis)) throw new RangeError(`--start ${start}: expected a day such as 2025-01-06`);
  return millis;
}

/**
 * Writes the world into the folder, or finds it there. An unfinished attempt is replaced; a folder with anything else
 * in it is refused.
 */
export async function writeSampleWorld(
  request: SampleRequest,
  folder: string,
  onProgress: (stage: string, done: number, total: number) => void = () => undefined,
): Promise<SampleWorld> {
  const { runId, world } = sampleIdentity(request);
  const existing = await readReceipt(folder);
  if (existing !== undefined) {
    if (existing.run_id !== runId) {
      throw new RangeError(`${folder} holds engine run ${existing.run_id}, not ${runId}: give another --out`);
    }
    return { folder, runId, world, created: false, rows: existing.rows };
  }
  await clearUnfinished(folder);
  await mkdir(folder, { recursive: true });
  const scratch = await mkdtemp(join(folder, UNFINISHED_PREFIX));
  const instance = await DuckDBInstance.create(':memory:', {
    // One thread and fixed row groups: the same rows give the same bytes.
    threads: '1',
    memory_limit: '256MB',
    temp_directory: join(scratch, 'spill'),
  });
  const connection = await instance.connect();
  const rows: Record<string, number> = {};
  try {
    const startMicros = startMillis(request.start) * 1000;
    const seed = BigInt(request.seed);
    const { population, campaigns, flows } = await generateFlows(
      connection,
      { seed, events: request.events, days: request.days, startMicros },
      (done) => onProgress('generate', done, request.events),
    );
    await prepareQueries(connection, seed, population, campaigns);
    const context = { world, startMicros, flows, days: request.days };
    const files = new Map<string, EngineFile[]>();
    const outputs = sampleOutputs();
    for (const [i, outputId] of outputs.entries()) {
      onProgress('write', i, outputs.length);
      const written = await writeOutput(connection, folder, outputId, world, outputQuery(outputId, context));
      rows[outputId] = written.rows;
      const segment = outputId.slice(-2);
      files.set(segment, [...(files.get(segment) ?? []), ...written.files]);
    }
    onProgress('write', outputs.length, outputs.length);
    await writeGateBundles(folder, world, {
      filesOf: (segment) => files.get(segment) ?? [],
      facts: {
        merchants: population.merchants,
        parties: population.parties,
        flows,
        campaigns: campaigns.kinds.length,
      },
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
    await rm(scratch, { recursive: true, force: true });
  }
  const receipt = {
    run_id: runId,
    ...world,
    engine_release: SAMPLE_ENGINE_RELEASE,
    // The world's own first instant: wall time would make every copy of the same world different.
    created_utc: epochMicrosToMicros(BigInt(startMillis(request.start)) * 1000n),
    rows,
  };
  await writeFile(join(folder, RUN_RECEIPT_FILE), canonicalJson(receipt));
  return { folder, runId, world, created: true, rows };
}

const UNFINISHED_PREFIX = '.unfinished-';

async function clearUnfinished(folder: string): Promise<void> {
  const entries = await readdir(folder).catch(() => []);
  if (entries.length === 0) return;
  if (
    !entries.some((name) => name.startsWith(UNFINISHED_PREFIX)) &&
    !entries.every((name) => name === 'data')
  ) {
    throw new RangeError(`${folder} is not empty and holds no engine run: give another --out`);
  }
  await rm(folder, { recursive: true });
}

async function readReceipt(
  folder: string,
): Promise<{ run_id: string; rows: Readonly<Record<string, number>> } | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, RUN_RECEIPT_FILE), 'utf8')) as {
      run_id: string;
      rows: Readonly<Record<string, number>>;
    };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeOutput(
  connection: DuckDBConnection,
  folder: string,
  outputId: string,
  world: WorldKey,
  query: string,
): Promise<{ rows: number; files: EngineFile[] }> {
  const pattern = outputPath(outputDefinition(outputId), world);
  await mkdir(dirname(join(folder, pattern)), { recursive: true });
  await connection.run(`CREATE TEMP TABLE ordered AS ${query}`);
  const counted = await connection.runAndReadAll('SELECT count(*) FROM ordered');
  const rows = Number(counted.getRows()[0]![0]);
  const files: EngineFile[] = [];
  for (let from = 0; from < rows || files.length === 0; from += PART_ROWS) {
    const path = pattern.replace('part-*', `part-${String(files.length).padStart(6, '0')}`);
    const target = join(folder, path);
    await connection.run(
      `COPY (SELECT * FROM ordered WHERE rowid >= ${from} AND rowid < ${from + PART_ROWS}) ` +
        `TO '${target.replaceAll("'", "''")}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE ${ROW_GROUP_ROWS})`,
    );
    files.push({ path, ...(await sha256OfFile(target)) });
  }
  await connection.run('DROP TABLE ordered');
  return { rows, files };
}
