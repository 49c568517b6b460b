/**
 * Verifying the engine's validation gates: recompute the digest of each gate's bundle in the way of its kind and
 * compare it with the passed flag. A missing flag, bundle or index is MISSING; a flag that cannot be read or a digest
 * that differs is a CONFLICT; a flag that says so itself is a FAIL.
 */
import { createHash } from 'node:crypto';
import { isObjectStoreError, type Bucket, type ObjectStore } from '../../lib/index.ts';
import {
  bundlePath,
  gateDefinition,
  PASSED_FLAG,
  type GateDefinition,
  type WorldKey,
} from '../rails/index.ts';
import { toOracleError, type OracleCode } from './oracle-error.ts';
import { parseRoot } from './pack-layout.ts';
import { readRunReceipt, worldOf } from './run-receipt.ts';

export type GateStatus = 'PASS' | 'FAIL' | 'MISSING' | 'CONFLICT';

export interface GateVerification {
  readonly gate_id: string;
  readonly status: GateStatus;
  /** Null exactly when the status is PASS. */
  readonly code: OracleCode | null;
  /** The bundle's digest as recomputed; null when it could not be. */
  readonly digest: string | null;
  /** What was found, for people. */
  readonly detail: string;
  readonly scope: WorldKey;
  /** Keys relative to the engine run's root. */
  readonly artifacts: {
    readonly validation_bundle_root: string;
    readonly index_path: string | null;
    readonly passed_flag_path: string;
  };
}

/** The world the gates are about; read from the run receipt where it is not given. */
export interface GateScope {
  readonly world?: WorldKey;
}

/**
 * Verifies gates against the bytes in the engine run, in the order given. `engineRunRoot` is `s3://bucket/path/`.
 * Throws an OracleError for a receipt that cannot be read, ACCESS_DENIED and TIMEOUT; a gate that does not hold is an
 * answer, not an error.
 */
export async function verifyGates(
  store: ObjectStore,
  engineRunRoot: string,
  gateIds: readonly string[],
  scope: GateScope = {},
): Promise<readonly GateVerification[]> {
  const root = parseRoot(engineRunRoot);
  const world = scope.world ?? worldOf(await readRunReceipt(store, root));
  const bucket = store.bucket(root.bucket);
  return Promise.all(gateIds.map((id) => verifyGate(bucket, root.key, gateDefinition(id), world)));
}

async function verifyGate(
  bucket: Bucket,
  runKey: string,
  gate: GateDefinition,
  world: WorldKey,
): Promise<GateVerification> {
  const bundle = bundlePath(gate, world);
  const flagPath = bundle + PASSED_FLAG;
  const answer = (
    status: GateStatus,
    code: OracleCode | null,
    digest: string | null,
    detail: string,
  ): GateVerification => ({
    gate_id: gate.gate_id,
    status,
    code,
    digest,
    detail,
    scope: world,
    artifacts: {
      validation_bundle_root: bundle,
      index_path: gate.index_file === null ? null : bundle + gate.index_file,
      passed_flag_path: flagPath,
    },
  });
  const read = async (path: string): Promise<Buffer> => {
    try {
      return await bucket.get(`${runKey}/${path}`);
    } catch (error) {
      if (isObjectStoreError(error, 'OBJECT_MISSING')) throw new BundleIncomplete(path);
      throw toOracleError(error, 'OBJECT_MISSING', `gate ${gate.gate_id}`);
    }
  };

  try {
    const flag = parseFlag(gate, await read(flagPath));
    if (flag === undefined) {
      return answer('CONFLICT', 'GATE_EVIDENCE_MISMATCH', null, `${flagPath} has no ${gate.digest_field}`);
    }
    if (flag.failed) return answer('FAIL', 'REQUIRED_GATE_NOT_PASS', null, `${flagPath} says FAIL`);
    const digest = await bundleDigest(gate, bundle, read, () => listBundle(bucket, runKey, bundle));
    if (digest === undefined) {
      return answer(
        'CONFLICT',
        'GATE_EVIDENCE_MISMATCH',
        null,
        `${bundle}${gate.index_file ?? ''} is no valid index`,
      );
    }
    if (digest !== flag.digest) {
      return answer(
        'CONFLICT',
        'GATE_EVIDENCE_MISMATCH',
        digest,
        `the bundle's digest is ${digest}, the flag says ${flag.digest}`,
      );
    }
    return answer('PASS', null, digest, 'bundle digest equals the flag');
  } catch (error) {
    if (!(error instanceof BundleIncomplete)) throw error;
    return answer('MISSING', 'GATE_RECEIPT_MISSING', null, `${error.path} does not exist`);
  }
}

class BundleIncomplete extends Error {
  readonly path: string;

  constructor(path: string) {
    super(path);
    this.path = path;
  }
}

/** A flag is JSON with the digest field, or the line `<field> = <hex>`. */
function parseFlag(gate: GateDefinition, bytes: Buffer): { digest: string; failed: boolean } | undefined {
  const text = bytes.toString('utf8').trim();
  if (!text.startsWith('{')) {
    const match = /^([a-z0-9_]+)\s*=\s*([a-f0-9]{64})$/.exec(text);
    return match?.[1] === gate.digest_field ? { digest: match[2]!, failed: false } : undefined;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const fields = value as Readonly<Record<string, unknown>>;
  if (fields['status'] === 'FAIL') return { digest: '', failed: true };
  const digest = fields[gate.digest_field];
  return typeof digest === 'string' && /^[a-f0-9]{64}$/.test(digest) ? { digest, failed: false } : undefined;
}

async function listBundle(bucket: Bucket, runKey: string, bundle: string): Promise<string[]> {
  const prefix = `${runKey}/${bundle}`;
  const paths: string[] = [];
  for await (const { key } of bucket.list(prefix)) paths.push(key.slice(prefix.length));
  return paths;
}

/** The digest of a bundle's contents; undefined when its index is not what the gate's kind needs. */
export async function bundleDigest(
  gate: GateDefinition,
  bundle: string,
  read: (path: string) => Promise<Buffer>,
  list: () => Promise<readonly string[]>,
): Promise<string | undefined> {
  const excluded = new Set(gate.excluded_files);
  if (gate.kind === 'bundle_bytes_path_order') {
    const paths = (await list()).filter((path) => !excluded.has(path)).sort(byCodeUnit);
    if (paths.length === 0) throw new BundleIncomplete(bundle);
    return digestFiles(
      paths.map((path) => bundle + path),
      read,
    );
  }
  const index = parseIndex(await read(bundle + gate.index_file!));
  if (index === undefined) return undefined;
  if (gate.kind === 'member_digest_concat') {
    if (index.some((member) => member.sha256 === undefined)) return undefined;
    const text = createHash('sha256');
    for (const member of index) {
      const content = await read(memberPath(gate, bundle, member.path));
      // The concatenated digests must be those of the members as they are, not only as they were listed.
      if (createHash('sha256').update(content).digest('hex') !== member.sha256) return '0'.repeat(64);
      text.update(member.sha256);
    }
    return text.digest('hex');
  }
  const paths = index.map((member) => member.path).filter((path) => !excluded.has(path.split('/').at(-1)!));
  if (gate.kind === 'indexed_bytes_path_order') paths.sort(byCodeUnit);
  return digestFiles(
    paths.map((path) => memberPath(gate, bundle, path)),
    read,
  );
}

function memberPath(gate: GateDefinition, bundle: string, path: string): string {
  return gate.index_paths === 'run' ? path : bundle + path;
}

function byCodeUnit(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function digestFiles(
  paths: readonly string[],
  read: (path: string) => Promise<Buffer>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) hash.update(await read(path));
  return hash.digest('hex');
}

interface IndexMember {
  readonly path: string;
  readonly sha256: string | undefined;
}

/** An index is an array of members, or an object with `members` (3A), `files`, `items` or `artifacts`. */
function parseIndex(bytes: Buffer): readonly IndexMember[] | undefined {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  const holder = value as Readonly<Record<string, unknown>>;
  const list = Array.isArray(value)
    ? (value as unknown[])
    : ['members', 'files', 'items', 'artifacts'].map((name) => holder[name]).find(Array.isArray);
  if (list === undefined || list.length === 0) return undefined;
  const members: IndexMember[] = [];
  for (const item of list as unknown[]) {
    const fields = (typeof item === 'string' ? { path: item } : item) as Readonly<Record<string, unknown>>;
    const path = fields['path'];
    const sha256 = fields['sha256_hex'] ?? fields['sha256'];
    // A path that climbs out of the run would let an index vouch for foreign bytes.
    if (typeof path !== 'string' || path === '' || path.split('/').includes('..')) return undefined;
    members.push({ path, sha256: typeof sha256 === 'string' ? sha256 : undefined });
  }
  return members;
}
