/**
 * Checking a world from the outside: everything a run will ask of it, reported as findings instead of stopping at the
 * first. OK: usable. WARN: usable only where that is allowed. FAIL: refused.
 */
import type { ObjectStore } from '../../lib/index.ts';
import { isObjectStoreError } from '../../lib/index.ts';
import {
  OUTPUT_CATALOGUE,
  outputPath,
  requiredGates,
  streamedOutputs,
  type WorldKey,
} from '../rails/index.ts';
import { verifyGates } from './gate-verification.ts';
import { OracleError, type OracleCode } from './oracle-error.ts';
import { formatRoot, parseRoot, PACK_MANIFEST_FILE, type StoreRoot } from './pack-layout.ts';
import type { OraclePackManifest } from './pack-manifest.ts';
import { readPack, readPackDocuments } from './pack-reader.ts';
import { digestObject } from './pack-writer.ts';
import { readRunReceipt, worldOf, type RunReceipt } from './run-receipt.ts';

export type CheckStatus = 'OK' | 'WARN' | 'FAIL';

export interface CheckFinding {
  readonly code: OracleCode;
  readonly severity: 'WARN' | 'ERROR';
  readonly message: string;
}

export interface CheckReport {
  /** FAIL with any error, WARN with warnings only. */
  readonly status: CheckStatus;
  readonly engine_run_root: string;
  readonly pack_root: string | null;
  readonly gates: Readonly<Record<string, string>>;
  readonly findings: readonly CheckFinding[];
}

export interface CheckRequest {
  /** At least one of the two; a pack names its engine run. */
  readonly packRoot?: string;
  readonly engineRunRoot?: string;
  readonly scenarioId?: string;
  /** Default: every output that runs stream. */
  readonly outputIds?: readonly string[];
  /** Default true: a pack without seal is an error, not a warning. */
  readonly strictSeal?: boolean;
  /** Reads every byte of every packed part instead of trusting sizes and recorded digests. */
  readonly deep?: boolean;
}

/** Never throws for what it finds; a store that is away or refuses is an OracleError (ACCESS_DENIED, TIMEOUT). */
export async function checkWorld(store: ObjectStore, request: CheckRequest): Promise<CheckReport> {
  const findings: CheckFinding[] = [];
  const gates: Record<string, string> = {};
  const add = (code: OracleCode, message: string, severity: 'WARN' | 'ERROR' = 'ERROR'): void => {
    findings.push({ code, severity, message });
  };
  /** Runs a step whose failure is a finding. */
  const step = async <T>(run: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof OracleError) || error.code === 'ACCESS_DENIED' || error.retriable) throw error;
      add(error.code, error.message.slice(error.code.length + 2));
      return undefined;
    }
  };

  const manifest = await checkPack(store, request, add, step);
  const engineRunRoot =
    request.engineRunRoot ??
    (request.packRoot !== undefined && manifest !== undefined
      ? formatRoot({ bucket: parseRoot(request.packRoot).bucket, key: manifest.engine_run_root })
      : undefined);
  const report = (): CheckReport => ({
    status: findings.some((finding) => finding.severity === 'ERROR')
      ? 'FAIL'
      : findings.length > 0
        ? 'WARN'
        : 'OK',
    engine_run_root: engineRunRoot ?? '',
    pack_root: request.packRoot ?? null,
    gates,
    findings,
  });
  if (engineRunRoot === undefined) return report();

  const root = parseRoot(engineRunRoot);
  const receipt = await step(() => readRunReceipt(store, root));
  if (receipt === undefined) return report();
  const world = await step(() =>
    scenarioOf(store, root, receipt, request.scenarioId ?? manifest?.world_key.scenario_id),
  );
  if (world === undefined) return report();
  if (manifest !== undefined) compareWorld(manifest, world, add);

  const outputIds = (request.outputIds ?? defaultOutputs()).filter((outputId) => {
    if (OUTPUT_CATALOGUE.has(outputId)) return true;
    add(
      'OUTPUT_UNKNOWN',
      `${outputId} is in no catalogue; known: ${[...OUTPUT_CATALOGUE.keys()].join(', ')}`,
    );
    return false;
  });
  for (const outputId of outputIds) await checkOutput(store, root, world, outputId, add);
  if (manifest !== undefined) await checkParts(store, root, manifest, request.deep === true, add);
  for (const gate of await verifyGates(store, engineRunRoot, requiredGates(outputIds), { world })) {
    gates[gate.gate_id] = gate.status;
    if (gate.code !== null) add(gate.code, `${gate.gate_id}: ${gate.detail}`);
  }
  return report();
}

type AddFinding = (code: OracleCode, message: string, severity?: 'WARN' | 'ERROR') => void;
type Step = <T>(run: () => Promise<T>) => Promise<T | undefined>;

function defaultOutputs(): string[] {
  const ids = [...streamedOutputs('fraud'), ...streamedOutputs('baseline')].map((output) => output.output_id);
  return [...new Set(ids)];
}

async function checkPack(
  store: ObjectStore,
  request: CheckRequest,
  add: AddFinding,
  step: Step,
): Promise<OraclePackManifest | undefined> {
  const { packRoot } = request;
  if (packRoot === undefined) {
    add('PACK_MANIFEST_MISSING', 'no pack root was given: only the engine run is checked', 'WARN');
    return undefined;
  }
  const documents = await step(async () => {
    try {
      return await readPackDocuments(store, parseRoot(packRoot));
    } catch (error) {
      if (!(error instanceof OracleError) || error.code !== 'PACK_MANIFEST_MISSING') throw error;
      const severity = request.engineRunRoot === undefined ? 'ERROR' : 'WARN';
      add(
        'PACK_MANIFEST_MISSING',
        `${packRoot} has no ${PACK_MANIFEST_FILE}: pack it with \`fp oracle pack\``,
        severity,
      );
      return undefined;
    }
  });
  if (documents === undefined) return undefined;
  if (documents.seal === undefined) {
    add(
      'PACK_NOT_SEALED',
      `${packRoot} is not sealed: seal it with \`fp oracle seal\``,
      request.strictSeal === false ? 'WARN' : 'ERROR',
    );
  } else {
    await step(() => readPack(store, packRoot));
  }
  return documents.manifest;
}

/** The world, with the scenario from the receipt, the caller, or the only one the run has. */
async function scenarioOf(
  store: ObjectStore,
  root: StoreRoot,
  receipt: RunReceipt,
  given: string | undefined,
): Promise<WorldKey> {
  if (given !== undefined || receipt.scenario_id !== undefined) return worldOf(receipt, given);
  const found = new Set<string>();
  for await (const { key } of store.bucket(root.bucket).list(`${root.key}/data/layer2/5B/arrival_events/`)) {
    const match = /\/scenario_id=([^/]+)\//.exec(key);
    if (match !== null) found.add(match[1]!);
  }
  if (found.size > 1) {
    throw new OracleError(
      'SCENARIO_ID_AMBIGUOUS',
      `the run has scenarios ${[...found].sort().join(', ')}: give --scenario-id`,
    );
  }
  return worldOf(receipt, [...found][0]);
}

function compareWorld(manifest: OraclePackManifest, world: WorldKey, add: AddFinding): void {
  for (const token of ['manifest_fingerprint', 'parameter_hash', 'scenario_id', 'seed'] as const) {
    if (manifest.world_key[token] !== world[token]) {
      add(
        'MANIFEST_MISMATCH',
        `${token}: the pack says ${manifest.world_key[token]}, the engine run ${world[token]}`,
      );
    }
  }
}

async function checkOutput(
  store: ObjectStore,
  root: StoreRoot,
  world: WorldKey,
  outputId: string,
  add: AddFinding,
): Promise<void> {
  const output = OUTPUT_CATALOGUE.get(outputId)!;
  let pattern: string;
  try {
    pattern = outputPath(output, world);
  } catch (error) {
    add('TEMPLATE_TOKEN_MISSING', `${outputId}: ${(error as Error).message}`);
    return;
  }
  const prefix = `${root.key}/${pattern.slice(0, pattern.indexOf('*'))}`;
  const first = await store.bucket(root.bucket).list(prefix).next();
  // Truth and batch outputs are optional: an engine may keep them.
  if (first.done === true && output.streamed !== null) add('OUTPUT_MISSING', `no object ${prefix}*`);
}

async function checkParts(
  store: ObjectStore,
  root: StoreRoot,
  manifest: OraclePackManifest,
  deep: boolean,
  add: AddFinding,
): Promise<void> {
  const bucket = store.bucket(root.bucket);
  for (const part of manifest.outputs.flatMap((output) => output.parts)) {
    const key = `${root.key}/${part.path}`;
    try {
      const stat = await bucket.stat(key);
      // An object that nobody vouches for is read whole.
      const actual = deep || stat.sha256 === undefined ? await digestObject(bucket, key) : stat;
      if (actual.bytes !== part.bytes || actual.sha256 !== part.sha256) {
        add(
          'DIGEST_MISMATCH',
          `${bucket.uri(key)} has sha256 ${String(actual.sha256)}, the pack says ${part.sha256}`,
        );
      }
    } catch (error) {
      if (!isObjectStoreError(error, 'OBJECT_MISSING')) throw error;
      add('OBJECT_MISSING', `${bucket.uri(key)} is in the pack and not in the bucket`);
    }
  }
}
