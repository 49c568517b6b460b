/**
 * What must hold before the first event leaves: facts and READY agree, the pack is sealed and is the world they name,
 * its gates passed, this producer may send, and every view is the one that READY declared, byte for byte.
 * The first thing that does not hold stops the run with its code.
 */
import { parseLocator, type ObjectStore, type PartBytes } from '../../lib/index.ts';
import {
  OracleError,
  parseRoot,
  readPack,
  readRunReceipt,
  readViewManifest,
  type OracleCode,
  type OraclePack,
  type StreamView,
} from '../oracle-store/index.ts';
import { requiredGates, type WorldKey } from '../rails/index.ts';
import { outputsToStream, type Ready } from './ready.ts';
import { StreamError, type StreamErrorCode, type TerminalCode } from './stream-error.ts';
import { storeFailure, verifyPart, type VerifiedPart } from './verified-part.ts';

export interface VerifiedView {
  readonly outputId: string;
  readonly partCount: number;
  /** The bytes of a part; the chunks of the part opened before are let go. */
  openPart(index: number): Promise<PartBytes>;
}

export interface VerifiedWorld {
  readonly pack: OraclePack;
  /** In merge order. */
  readonly views: readonly VerifiedView[];
}

export interface VerificationOptions {
  readonly store: ObjectStore;
  /** The streamer's name for itself. */
  readonly producerId: string;
  /** Who may put engine rows into the front door, by policy. */
  readonly producerAllowlist: readonly string[];
}

const PACK_CODES: Partial<Record<OracleCode, StreamErrorCode>> = {
  PACK_MANIFEST_MISSING: 'PACK_MANIFEST_MISSING',
  PACK_MANIFEST_INVALID: 'PACK_MANIFEST_INVALID',
  PACK_NOT_SEALED: 'PACK_NOT_SEALED',
  PACK_SEALED_FAILED: 'PACK_NOT_SEALED',
  SEAL_MISMATCH: 'PACK_NOT_SEALED',
  PACK_TOMBSTONED: 'PACK_TOMBSTONED',
};

const RECEIPT_CODES: Partial<Record<OracleCode, StreamErrorCode>> = {
  SCENARIO_ID_MISSING: 'SCENARIO_ID_MISSING',
};

const VIEW_CODES: Partial<Record<OracleCode, StreamErrorCode>> = {
  STREAM_VIEW_MISSING: 'STREAM_VIEW_MISSING',
  OUTPUT_MISSING: 'STREAM_VIEW_MISSING',
};

/** Throws StreamError; retriable only when the store did not answer. */
export async function verifyWorld(ready: Ready, options: VerificationOptions): Promise<VerifiedWorld> {
  const { store } = options;
  await verifyFacts(ready, store);
  const pack = await verifyPack(ready, store);
  verifyGateVerdicts(ready);
  verifyProducer(options.producerId, options.producerAllowlist);
  const views: StreamView[] = [];
  for (const output of outputsToStream(ready)) {
    const view = await guarded('STREAM_VIEW_RECEIPT_BAD', VIEW_CODES, () =>
      readViewManifest(store, pack, output.output_id),
    );
    const { manifest } = view;
    expectEqual('STREAM_VIEW_OUTPUT_MISMATCH', 'the view is of', manifest.output_id, output.output_id);
    expectEqual(
      'STREAM_VIEW_ID_MISMATCH',
      `view of ${output.output_id}`,
      manifest.stream_view_id,
      output.view_id,
    );
    expectEqual(
      'STREAM_VIEW_RECEIPT_BAD',
      `rows of the view of ${output.output_id}`,
      String(manifest.row_count),
      String(output.row_count),
    );
    if (manifest.row_count === 0) {
      throw new StreamError('STREAM_VIEW_EMPTY', `the view of ${output.output_id} has no rows`);
    }
    views.push(view);
  }
  // Digests last: the bytes are many, and every cheaper refusal has been made.
  const verified: VerifiedView[] = [];
  for (const view of views) verified.push(await verifyParts(store, view));
  return { pack, views: verified };
}

async function verifyParts(store: ObjectStore, view: StreamView): Promise<VerifiedView> {
  const parts: VerifiedPart[] = [];
  for (const index of view.partKeys.keys()) parts.push(await verifyPart(store, view, index));
  return {
    outputId: view.manifest.output_id,
    partCount: parts.length,
    openPart: (index) => {
      if (index > 0) parts[index - 1]!.release();
      return Promise.resolve(parts[index]!);
    },
  };
}

interface FactsView {
  readonly platform_run_id?: string;
  readonly scenario_run_id?: string;
  readonly bundle_hash?: string;
  readonly pins?: Partial<WorldKey>;
}

async function verifyFacts(ready: Ready, store: ObjectStore): Promise<void> {
  let facts: FactsView;
  try {
    const { bucket, key } = parseLocator(ready.facts_view_ref);
    facts = JSON.parse((await store.bucket(bucket).get(key)).toString('utf8')) as FactsView;
  } catch (error) {
    throw storeFailure('RUN_FACTS_INVALID', error);
  }
  if (!facts.platform_run_id) throw new StreamError('PLATFORM_RUN_ID_MISSING', ready.facts_view_ref);
  if (!facts.scenario_run_id) throw new StreamError('SCENARIO_RUN_ID_MISSING', ready.facts_view_ref);
  expectEqual(
    'SCENARIO_RUN_ID_MISMATCH',
    'scenario_run_id of the facts view',
    facts.scenario_run_id,
    ready.scenario_run_id,
  );
  expectEqual('BUNDLE_HASH_MISMATCH', 'bundle_hash of the facts view', facts.bundle_hash, ready.bundle_hash);
  // A re-emit into another platform run keeps the facts of the run they were proven in.
  if (ready.attempt === 1) {
    expectEqual(
      'PLATFORM_RUN_ID_MISMATCH',
      'platform_run_id of the facts view',
      facts.platform_run_id,
      ready.platform_run_id,
    );
  }
  if (facts.pins === undefined)
    throw new StreamError('WORLD_KEY_MISSING', `${ready.facts_view_ref} has no pins`);
  expectSameWorld('the facts view', facts.pins, ready.world);
}

async function verifyPack(ready: Ready, store: ObjectStore): Promise<OraclePack> {
  const { manifest_ref, oracle_pack_id, engine_run_root, engine_run_id, engine_release } = ready.pack;
  if (engine_run_root === '') throw new StreamError('ENGINE_ROOT_MISSING', 'READY names no engine run root');
  const packRoot = manifest_ref.replace(/[^/]*$/, '');
  const pack = await guarded('PACK_MANIFEST_INVALID', PACK_CODES, () => readPack(store, packRoot));
  const { manifest } = pack;
  expectEqual('PACK_MANIFEST_INVALID', 'oracle_pack_id of the pack', manifest.oracle_pack_id, oracle_pack_id);
  expectEqual('PACK_MANIFEST_INVALID', 'engine_run_id of the pack', manifest.engine_run_id, engine_run_id);
  expectEqual('PACK_MANIFEST_INVALID', 'engine_release of the pack', manifest.engine_release, engine_release);
  expectSameWorld('the pack', manifest.world_key, ready.world);
  const receipt = await guarded('RUN_RECEIPT_UNREADABLE', RECEIPT_CODES, () =>
    readRunReceipt(store, parseRoot(pack.engineRunRoot)),
  );
  expectEqual('WORLD_KEY_MISMATCH', 'run_id of the run receipt', receipt.run_id, engine_run_id);
  const { scenario_id, ...rest } = receipt;
  expectSameWorld(
    'the run receipt',
    { ...rest, scenario_id: scenario_id ?? ready.world.scenario_id },
    ready.world,
  );
  return pack;
}

function verifyGateVerdicts(ready: Ready): void {
  const verdicts = new Map(ready.gates.map(({ gate_id, status }) => [gate_id, status]));
  for (const gate of new Set([
    ...requiredGates(ready.outputs.map(({ output_id }) => output_id)),
    ...verdicts.keys(),
  ])) {
    const status = verdicts.get(gate) ?? 'absent';
    if (status !== 'PASS') throw new StreamError('GATE_PASS_MISSING', `gate ${gate} is ${status} in READY`);
  }
}

function verifyProducer(producerId: string, allowlist: readonly string[]): void {
  if (producerId === '') throw new StreamError('PRODUCER_ID_MISSING', 'the policy names no producer_id');
  if (allowlist.length === 0) throw new StreamError('PRODUCER_ALLOWLIST_EMPTY', 'no producer may stream');
  if (!allowlist.includes(producerId)) {
    throw new StreamError('PRODUCER_NOT_ALLOWED', `${producerId} is not one of ${allowlist.join(', ')}`);
  }
}

function expectEqual(code: TerminalCode, what: string, actual: string | undefined, expected: string): void {
  if (actual !== expected) {
    throw new StreamError(code, `${what} is ${actual ?? 'absent'}, READY says ${expected}`);
  }
}

function expectSameWorld(what: string, actual: Partial<WorldKey>, expected: WorldKey): void {
  for (const name of ['manifest_fingerprint', 'parameter_hash', 'scenario_id', 'seed'] as const) {
    const value = actual[name];
    if (value === undefined || value === '') {
      throw new StreamError(
        name === 'scenario_id' ? 'SCENARIO_ID_MISSING' : 'WORLD_KEY_MISSING',
        `${what}: ${name}`,
      );
    }
    expectEqual('WORLD_KEY_MISMATCH', `${name} of ${what}`, value, expected[name]);
  }
}

async function guarded<T>(
  otherwise: TerminalCode,
  codes: Partial<Record<OracleCode, StreamErrorCode>>,
  read: () => Promise<T>,
): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof OracleError)) throw storeFailure(otherwise, error);
    const code = error.retriable ? 'OBJECT_STORE_UNAVAILABLE' : (codes[error.code] ?? otherwise);
    throw new StreamError(code, error.message.replace(`${error.code}: `, ''), { cause: error });
  }
}
