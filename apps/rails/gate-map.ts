/**
 * The engine's validation gates: which bundle proves which segment, how its digest is taken, and which gates
 * must pass before it. Nothing of a segment is read before its gate and all gates upstream of it verify.
 */
import type { WorldKey } from './pins.ts';
import { OUTPUT_CATALOGUE, renderTemplate } from './output-catalogue.ts';

export type GateVerificationKind =
  /** Raw bytes of all bundle files, in path order. */
  | 'bundle_bytes_path_order'
  /** Raw bytes of the files the index lists, in ASCII path order. */
  | 'indexed_bytes_path_order'
  /** Raw bytes of the files the index lists, in the index's own order. */
  | 'indexed_bytes_index_order'
  /** sha256 of the member digests concatenated as text, in the order of the members array. */
  | 'member_digest_concat';

export interface GateDefinition {
  readonly gate_id: string;
  readonly segment: string;
  readonly kind: GateVerificationKind;
  /** Bundle folder with `{manifest_fingerprint}`, relative to the engine run's root; ends in `/`. */
  readonly bundle_template: string;
  /** File in the bundle that lists its members; null where the bundle's files are the list. */
  readonly index_file: string | null;
  /** What the paths in the index are relative to. */
  readonly index_paths: 'bundle' | 'run';
  /** Never hashed, whatever the list says. */
  readonly excluded_files: readonly string[];
  /** Field of a JSON flag that holds the digest. A text flag reads `<field> = <hex>`. */
  readonly digest_field: 'sha256_hex' | 'bundle_digest_sha256';
  /** Direct and indirect gates that must pass first. */
  readonly upstream: readonly string[];
}

/** The flag a gate leaves in its bundle when it passes; it holds the bundle's digest and is never part of it. */
export const PASSED_FLAG = '_passed.flag';

const LAYERS: Readonly<Record<string, number>> = {
  '1A': 1,
  '1B': 1,
  '2A': 1,
  '2B': 1,
  '3A': 1,
  '3B': 1,
  '5A': 2,
  '5B': 2,
  '6A': 3,
  '6B': 3,
};

function gateId(segment: string): string {
  return `gate.layer${LAYERS[segment]!}.${segment}.validation`;
}

interface Rule {
  kind: GateVerificationKind;
  upstream: readonly string[];
  index?: string;
  paths?: 'run';
  excludesIndex?: true;
  field?: 'bundle_digest_sha256';
}

const RULES: readonly (readonly [segment: string, rule: Rule])[] = [
  ['1A', { kind: 'bundle_bytes_path_order', upstream: [] }],
  ['1B', { kind: 'bundle_bytes_path_order', upstream: ['1A'] }],
  ['2A', { kind: 'indexed_bytes_path_order', upstream: ['1B'] }],
  ['2B', { kind: 'indexed_bytes_path_order', upstream: ['1B', '2A'], paths: 'run' }],
  ['3A', { kind: 'member_digest_concat', upstream: ['1A', '1B', '2A'] }],
  ['3B', { kind: 'indexed_bytes_path_order', upstream: ['1A', '1B', '2A', '2B', '3A'] }],
  [
    '5A',
    {
      kind: 'indexed_bytes_path_order',
      upstream: ['1A', '1B', '2A', '2B', '3A', '3B'],
      index: 'validation_bundle_index_5A.json',
      field: 'bundle_digest_sha256',
    },
  ],
  [
    '5B',
    {
      kind: 'indexed_bytes_path_order',
      upstream: ['1A', '1B', '2A', '2B', '3A', '3B', '5A'],
      field: 'bundle_digest_sha256',
    },
  ],
  [
    '6A',
    {
      kind: 'indexed_bytes_index_order',
      upstream: ['1A', '1B', '2A', '2B', '3A', '3B', '5A', '5B'],
      index: 'validation_bundle_index_6A.json',
    },
  ],
  [
    '6B',
    {
      kind: 'indexed_bytes_path_order',
      upstream: ['1A', '1B', '2A', '2B', '3A', '3B', '5A', '5B', '6A'],
      excludesIndex: true,
    },
  ],
];

function define(segment: string, rule: Rule): GateDefinition {
  const listed = rule.kind !== 'bundle_bytes_path_order';
  const index = listed ? (rule.index ?? 'index.json') : null;
  return {
    gate_id: gateId(segment),
    segment,
    kind: rule.kind,
    bundle_template: `data/layer${LAYERS[segment]!}/${segment}/validation/manifest_fingerprint={manifest_fingerprint}/`,
    index_file: index,
    index_paths: rule.paths ?? 'bundle',
    excluded_files: rule.excludesIndex === true ? [PASSED_FLAG, 'index.json'] : [PASSED_FLAG],
    digest_field: rule.field ?? 'sha256_hex',
    upstream: rule.upstream.map(gateId),
  };
}

/** Every gate by its id, upstream gates before those that need them. */
export const GATE_MAP: ReadonlyMap<string, GateDefinition> = new Map(
  RULES.map(([segment, rule]) => [gateId(segment), define(segment, rule)]),
);

/** Throws when the gate map has no such gate. */
export function gateDefinition(id: string): GateDefinition {
  const gate = GATE_MAP.get(id);
  if (gate === undefined) {
    throw new RangeError(
      `the gate map has no ${JSON.stringify(id)}; it has ${[...GATE_MAP.keys()].join(', ')}`,
    );
  }
  return gate;
}

/** The bundle's folder in an engine run of this world, relative to the run's root; ends in `/`. */
export function bundlePath(gate: GateDefinition, world: WorldKey): string {
  return renderTemplate(gate.bundle_template, world);
}

/**
 * The gates that must pass before any of these outputs may be read: those that authorize them and everything
 * upstream, sorted by id. Throws for an output or gate that is not known.
 */
export function requiredGates(outputIds: readonly string[]): readonly string[] {
  const required = new Set<string>();
  const add = (id: string): void => {
    if (required.has(id)) return;
    required.add(id);
    for (const upstream of gateDefinition(id).upstream) add(upstream);
  };
  for (const outputId of outputIds) {
    const output = OUTPUT_CATALOGUE.get(outputId);
    if (output === undefined) throw new RangeError(`the output catalogue has no ${JSON.stringify(outputId)}`);
    add(output.gate_id);
  }
  return [...required].sort();
}
