/**
 * Proving a plan against the sealed world: the pack, the engine's receipt, every gate, and the stream view of every
 * intended output, each by digest. All of it holds, or the run is told what does not.
 *
 * What can still arrive (a view being built, a bundle being copied) is missing; what contradicts itself (a digest,
 * a seal) is a conflict and quarantines; what says no, or can never serve, fails. The worst finding decides. A store
 * that does not answer is none of these: it is an error, and the run stays where it is.
 */
import { createHash } from 'node:crypto';
import type { ObjectStore } from '../../lib/index.ts';
import {
  OracleError,
  readPack,
  readRunReceipt,
  readViewManifest,
  parseRoot,
  verifyGates,
  viewFolder,
  type OraclePack,
  type StreamView,
} from '../oracle-store/index.ts';
import {
  OUTPUT_CATALOGUE,
  outputDefinition,
  outputPath,
  sourceLocatorDigest,
  type WorldKey,
} from '../rails/index.ts';
import { locatorFault } from './locator-check.ts';
import type { ReasonCode } from './reason-codes.ts';
import type {
  GateReceipt,
  OraclePackRef,
  OutputLocator,
  PackSeal,
  ReadyOutput,
  RunPlan,
} from './run-artifacts.ts';
import type { CanonicalRunRequest } from './run-request.ts';

export interface CompleteEvidence {
  readonly outcome: 'COMPLETE';
  readonly locators: readonly OutputLocator[];
  readonly gateReceipts: readonly GateReceipt[];
  /** In catalogue order. */
  readonly outputs: readonly ReadyOutput[];
  readonly pack: OraclePackRef;
  readonly seal: PackSeal;
}

/** A world that was made for the run: its pack may still be on its way. */
export interface ExpectedPack {
  /** What has to happen for it to arrive, for people. */
  readonly wayOut: string;
}

export interface Finding {
  readonly severity: 'MISSING' | 'FAIL' | 'CONFLICT';
  /** What the run ends with if this is the finding that decides. */
  readonly code: ReasonCode;
  /** The gate, output or document it is about. */
  readonly subject: string;
  readonly detail: string;
}

export interface IncompleteEvidence {
  readonly outcome: 'WAITING' | 'FAIL' | 'CONFLICT';
  readonly code: ReasonCode;
  /** Every finding, worst first. */
  readonly findings: readonly Finding[];
}

export type Evidence = CompleteEvidence | IncompleteEvidence;

/** Bytes whose digests are recomputed per run; beyond that the sizes and the digests stored at upload must match. */
const REHASH_BUDGET_BYTES = 2 * 1024 ** 3;

const SEVERITIES = ['CONFLICT', 'FAIL', 'MISSING'] as const;

/** The verdict over what was found; undefined when nothing was. */
export function verdict(findings: readonly Finding[]): IncompleteEvidence | undefined {
  const worstFirst = SEVERITIES.flatMap((severity) =>
    findings.filter((finding) => finding.severity === severity),
  );
  const worst = worstFirst[0];
  if (worst === undefined) return undefined;
  if (worst.severity === 'MISSING') {
    return { outcome: 'WAITING', code: 'EVIDENCE_WAITING', findings: worstFirst };
  }
  return { outcome: worst.severity, code: worst.code, findings: worstFirst };
}

/** Collects everything a plan needs from the pack at `packRoot`. Throws only when the store does not answer. */
export async function collectEvidence(
  store: ObjectStore,
  packRoot: string,
  request: CanonicalRunRequest,
  plan: RunPlan,
  expected?: ExpectedPack,
): Promise<Evidence> {
  const pack = await found(readPack(store, packRoot), PACK_FINDINGS, packRoot);
  if (isFinding(pack)) return verdict([expected === undefined ? pack : stillToCome(pack, expected)])!;
  const world = pack.manifest.world_key;
  const mismatch = worldMismatch(request, world);
  if (mismatch !== undefined) return verdict([mismatch])!;

  const findings: Finding[] = [];
  const receipt = await engineReceipt(store, pack);
  if (receipt !== undefined) findings.push(receipt);

  const gateReceipts: GateReceipt[] = [];
  for (const gate of await verifyGates(store, pack.engineRunRoot, plan.required_gates, { world })) {
    if (gate.status === 'PASS' && gate.digest !== null) {
      gateReceipts.push({
        gate_id: gate.gate_id,
        status: 'PASS',
        scope: { manifest_fingerprint: world.manifest_fingerprint },
        receipt_kind: 'passed_flag',
        digest: { algo: 'sha256', hex: gate.digest },
        artifacts: {
          validation_bundle_root: gate.artifacts.validation_bundle_root,
          passed_flag_path: gate.artifacts.passed_flag_path,
          ...(gate.artifacts.index_path === null ? {} : { index_path: gate.artifacts.index_path }),
        },
      });
      continue;
    }
    const code = {
      FAIL: 'GATE_FAIL',
      MISSING: 'GATE_RECEIPT_MISSING',
      CONFLICT: 'EVIDENCE_CONFLICT',
    } as const;
    const status = gate.status === 'PASS' ? 'CONFLICT' : gate.status;
    findings.push({ severity: status, code: code[status], subject: gate.gate_id, detail: gate.detail });
  }

  const locators: OutputLocator[] = [];
  const outputs: ReadyOutput[] = [];
  const hashing = { left: REHASH_BUDGET_BYTES };
  for (const outputId of plan.intended_outputs) {
    const view = await found(readViewManifest(store, pack, outputId), VIEW_FINDINGS, outputId);
    if (isFinding(view)) {
      findings.push(view);
      continue;
    }
    const parts = await wrongParts(store, outputId, filesOf(pack, view, outputId), hashing);
    findings.push(...parts);
    const locator = locatorOf(pack, outputId);
    const packed = pack.manifest.outputs.find((output) => output.output_id === outputId);
    const fault = locatorFault(locator, { world, ...(packed === undefined ? {} : { parts: packed.parts }) });
    if (fault !== undefined) findings.push({ severity: 'CONFLICT', subject: outputId, ...fault });
    locators.push(locator);
    outputs.push(readyOutput(pack, view, outputId));
  }
  return (
    verdict(findings) ?? {
      outcome: 'COMPLETE',
      locators,
      gateReceipts,
      outputs: inCatalogueOrder(outputs),
      pack: packRef(pack),
      seal: sealOf(pack),
    }
  );
}

/** A pack that is not there yet, or not sealed yet, is waited for when it is known to be on its way. */
function stillToCome(finding: Finding, expected: ExpectedPack): Finding {
  if (finding.code !== 'ORACLE_PACK_MISSING' && finding.code !== 'ORACLE_PACK_NOT_SEALED') return finding;
  return { ...finding, severity: 'MISSING', detail: `${finding.detail}; ${expected.wayOut}` };
}

/** Nothing at the root can serve this request, and nothing there contradicts it: another world may. */
export function cannotBeReused(evidence: IncompleteEvidence): boolean {
  return evidence.code === 'ORACLE_PACK_MISSING' || evidence.code === 'ORACLE_PACK_MISMATCH';
}

function worldMismatch(request: CanonicalRunRequest, world: WorldKey): Finding | undefined {
  const pins = ['manifest_fingerprint', 'parameter_hash', 'scenario_id', 'seed'] as const;
  const wrong = pins.filter((pin) => request[pin] !== world[pin]);
  if (wrong.length === 0) return undefined;
  return {
    severity: 'FAIL',
    code: 'ORACLE_PACK_MISMATCH',
    subject: 'world_key',
    detail: wrong
      .map((pin) => `${pin} is ${world[pin]} in the pack and ${request[pin]} in the request`)
      .join('; '),
  };
}

/** The engine's own receipt must name the run and the world that the pack says it was made from. */
async function engineReceipt(store: ObjectStore, pack: OraclePack): Promise<Finding | undefined> {
  const receipt = await found(
    readRunReceipt(store, parseRoot(pack.engineRunRoot)),
    {
      RUN_RECEIPT_UNREADABLE: ['MISSING', 'ENGINE_RECEIPT_MISSING'],
      RUN_RECEIPT_INVALID: ['CONFLICT', 'ENGINE_RECEIPT_INVALID'],
    },
    'run_receipt.json',
  );
  if (isFinding(receipt)) return receipt;
  const { world_key: world, engine_run_id: engineRunId } = pack.manifest;
  const wrong = [
    receipt.run_id === engineRunId ? [] : [`run_id ${receipt.run_id}, not ${engineRunId}`],
    ...(['manifest_fingerprint', 'parameter_hash', 'seed'] as const).map((pin) =>
      receipt[pin] === world[pin] ? [] : [`${pin} ${receipt[pin]}, not ${world[pin]}`],
    ),
  ].flat();
  if (wrong.length === 0) return undefined;
  return {
    severity: 'CONFLICT',
    code: 'ENGINE_RECEIPT_MISMATCH',
    subject: 'run_receipt.json',
    detail: `it has ${wrong.join('; ')}`,
  };
}

interface StoredFile {
  readonly bucket: string;
  readonly key: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly missing: ReasonCode;
}

/** The files behind an output: the engine's parquet parts and the view's Arrow parts. */
function filesOf(pack: OraclePack, view: StreamView, outputId: string): StoredFile[] {
  const engine = parseRoot(pack.engineRunRoot);
  const packed = pack.manifest.outputs.find((output) => output.output_id === outputId);
  return [
    ...(packed?.parts ?? []).map((part) => ({
      bucket: engine.bucket,
      key: `${engine.key}/${part.path}`,
      bytes: part.bytes,
      sha256: part.sha256,
      missing: 'OUTPUT_MISSING' as const,
    })),
    ...view.manifest.parts.map((part, index) => ({
      bucket: view.bucket,
      key: view.partKeys[index]!,
      bytes: part.bytes,
      sha256: part.sha256,
      missing: 'ORACLE_STREAM_VIEW_PARTS_MISSING' as const,
    })),
  ];
}

async function wrongParts(
  store: ObjectStore,
  outputId: string,
  files: readonly StoredFile[],
  hashing: { left: number },
): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const file of files) {
    const bucket = store.bucket(file.bucket);
    const uri = bucket.uri(file.key);
    const stored = await bucket.find(file.key);
    if (stored === undefined) {
      findings.push({
        severity: 'MISSING',
        code: file.missing,
        subject: outputId,
        detail: `${uri} does not exist`,
      });
      continue;
    }
    let sha256 = stored.sha256 ?? file.sha256;
    if (hashing.left >= stored.bytes) {
      hashing.left -= stored.bytes;
      const hash = createHash('sha256');
      for await (const chunk of await bucket.getStream(file.key)) hash.update(chunk as Buffer);
      sha256 = hash.digest('hex');
    }
    if (stored.bytes !== file.bytes || sha256 !== file.sha256) {
      findings.push({
        severity: 'CONFLICT',
        code: 'EVIDENCE_CONFLICT',
        subject: outputId,
        detail: `${uri} has ${stored.bytes} bytes with sha256 ${sha256}; its manifest says ${file.bytes} and ${file.sha256}`,
      });
    }
  }
  return findings;
}

function locatorOf(pack: OraclePack, outputId: string): OutputLocator {
  const world = pack.manifest.world_key;
  const packed = pack.manifest.outputs.find((output) => output.output_id === outputId);
  return {
    output_id: outputId,
    path: outputPath(outputDefinition(outputId), world),
    manifest_fingerprint: world.manifest_fingerprint,
    parameter_hash: world.parameter_hash,
    scenario_id: world.scenario_id,
    seed: world.seed,
    content_digest: { algo: 'sha256', hex: sourceLocatorDigest(packed?.parts ?? []) },
  };
}

function readyOutput(pack: OraclePack, view: StreamView, outputId: string): ReadyOutput {
  return {
    output_id: outputId,
    role: outputDefinition(outputId).role === 'business_traffic' ? 'business_traffic' : 'context',
    row_count: view.manifest.row_count,
    content_digest: view.receipt.source_locator_digest,
    view_manifest_ref: `${pack.packRoot}${viewFolder(outputId)}/_stream_view_manifest.json`,
    view_id: view.manifest.stream_view_id,
  };
}

function inCatalogueOrder(outputs: readonly ReadyOutput[]): ReadyOutput[] {
  const order = [...OUTPUT_CATALOGUE.keys()];
  return [...outputs].sort((a, b) => order.indexOf(a.output_id) - order.indexOf(b.output_id));
}

function packRef(pack: OraclePack): OraclePackRef {
  return {
    oracle_pack_id: pack.manifest.oracle_pack_id,
    manifest_ref: `${pack.packRoot}_oracle_pack_manifest.json`,
    engine_run_root: pack.engineRunRoot,
    oracle_root: pack.packRoot,
    stream_view_root: `${pack.packRoot}stream_view/`,
    engine_run_id: pack.manifest.engine_run_id,
    scenario_id: pack.manifest.world_key.scenario_id,
    engine_release: pack.manifest.engine_release,
  };
}

function sealOf(pack: OraclePack): PackSeal {
  return {
    seal_ref: `${pack.packRoot}_SEALED.json`,
    seal_status: 'SEALED_OK',
    manifest_digest: { algo: 'sha256', hex: pack.manifestSha256 },
    sealed_at_utc: pack.seal.sealed_at_utc,
  };
}

type FindingOf = Readonly<Record<string, readonly [Finding['severity'], ReasonCode]>>;

const PACK_FINDINGS: FindingOf = {
  PACK_ROOT_NOT_FOUND: ['FAIL', 'ORACLE_PACK_MISSING'],
  PACK_MANIFEST_MISSING: ['FAIL', 'ORACLE_PACK_MISSING'],
  PACK_MANIFEST_INVALID: ['FAIL', 'ORACLE_PACK_INVALID'],
  PACK_NOT_SEALED: ['FAIL', 'ORACLE_PACK_NOT_SEALED'],
  PACK_SEALED_FAILED: ['FAIL', 'ORACLE_PACK_SEALED_FAILED'],
  PACK_TOMBSTONED: ['FAIL', 'ORACLE_PACK_TOMBSTONED'],
  SEAL_MISMATCH: ['CONFLICT', 'EVIDENCE_CONFLICT'],
};

const VIEW_FINDINGS: FindingOf = {
  OUTPUT_MISSING: ['FAIL', 'ORACLE_STREAM_VIEW_OUTPUT_MISSING'],
  STREAM_VIEW_MISSING: ['MISSING', 'ORACLE_STREAM_VIEW_MANIFEST_MISSING'],
  STREAM_RECEIPT_MISSING: ['MISSING', 'ORACLE_STREAM_VIEW_RECEIPT_MISSING'],
  STREAM_RECEIPT_MISMATCH: ['CONFLICT', 'EVIDENCE_CONFLICT'],
};

/** What the oracle store said, or a finding for the answers that mean something for the run. */
async function found<T extends object>(
  reading: Promise<T>,
  findings: FindingOf,
  subject: string,
): Promise<T | Finding> {
  try {
    return await reading;
  } catch (error) {
    const finding = error instanceof OracleError ? findings[error.code] : undefined;
    if (finding === undefined) throw error;
    return { severity: finding[0], code: finding[1], subject, detail: (error as Error).message };
  }
}

function isFinding(value: object): value is Finding {
  return 'severity' in value;
}
