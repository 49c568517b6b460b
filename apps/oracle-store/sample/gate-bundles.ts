/**
 * The validation bundles of a sample world: for every gate of the map a folder with what was checked, the index its
 * kind asks for, and the passed flag with the bundle's digest. The bundles of 5B and 6B carry the digests of the
 * outputs they vouch for.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  bundlePath,
  canonicalJson,
  GATE_MAP,
  PASSED_FLAG,
  sha256Hex,
  type CanonicalValue,
  type GateDefinition,
  type WorldKey,
} from '../../rails/index.ts';
import { filesBelow } from '../engine-folder.ts';
import { bundleDigest } from '../gate-verification.ts';
import type { EngineFile } from '../pack-manifest.ts';

export interface GateEvidence {
  /** Files of each segment's outputs. */
  readonly filesOf: (segment: string) => readonly EngineFile[];
  /** Facts about the world that each segment's checks report. */
  readonly facts: Readonly<Record<string, number | string>>;
}

/** Writes the bundles of all gates below the engine run's folder. */
export async function writeGateBundles(
  folder: string,
  world: WorldKey,
  evidence: GateEvidence,
): Promise<void> {
  for (const gate of GATE_MAP.values()) await writeBundle(folder, world, gate, evidence);
}

async function writeBundle(
  folder: string,
  world: WorldKey,
  gate: GateDefinition,
  evidence: GateEvidence,
): Promise<void> {
  const bundle = bundlePath(gate, world);
  const members: Readonly<Record<string, CanonicalValue>> = {
    'MANIFEST.json': { segment: gate.segment, ...world },
    'checks/report.json': { segment: gate.segment, status: 'PASS', facts: { ...evidence.facts } },
    'checks/checksums.json': evidence.filesOf(gate.segment).map((file) => ({ ...file })),
  };
  const put = async (path: string, content: string): Promise<void> => {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, content);
  };
  for (const [name, content] of Object.entries(members)) await put(bundle + name, canonicalJson(content));
  if (gate.index_file !== null) {
    const entries = Object.entries(members).map(([name, content]) => ({
      path: gate.index_paths === 'run' ? bundle + name : name,
      sha256_hex: sha256Hex(canonicalJson(content)),
    }));
    const index = gate.kind === 'member_digest_concat' ? { members: entries } : { files: entries };
    await put(bundle + gate.index_file, canonicalJson(index));
  }
  const digest = await bundleDigest(
    gate,
    bundle,
    (path) => readFile(join(folder, path)),
    () => filesBelow(join(folder, bundle)),
  );
  if (digest === undefined) throw new Error(`the bundle of ${gate.gate_id} has no digest of its kind`);
  const flag =
    gate.digest_field === 'sha256_hex'
      ? `${gate.digest_field} = ${digest}\n`
      : canonicalJson({ [gate.digest_field]: digest, status: 'PASS' });
  await put(bundle + PASSED_FLAG, flag);
}
