/**
 * Every derived identifier of the platform and its recipe. A recipe is a text and its sha256; the vectors in
 * test/vectors/ pin each of them for other languages. Parts are joined with `|` as they are given.
 */
import { canonicalJson, type CanonicalValue } from './canonical-json.ts';
import { sha256Hex, sha256Hex32 } from './digest.ts';
import type { OutputDefinition } from './output-catalogue.ts';
import type { WorldKey } from './pins.ts';

/** The scenario run id, from the caller's equivalence key: the same key is the same run. 32 hex digits. */
export function scenarioRunId(runEquivalenceKey: string): string {
  return sha256Hex32(`sr_run|${runEquivalenceKey}`);
}

/** One attempt of the engine within a run; attempts count from 1. 32 hex digits. */
export function attemptId(runId: string, attemptNumber: number): string {
  return sha256Hex32(`sr_attempt|${runId}|${attemptNumber}`);
}

/** A set of scenarios as one scenario id: order and repetition do not matter. */
export function scenarioSetId(scenarioIds: readonly string[]): string {
  const sorted = [...new Set(scenarioIds)].sort();
  return 'scnset_' + sha256Hex(sorted.join('|')).slice(0, 16);
}

/** What a run request means; everything else in it (outputs, strategy, notes, invoker) may differ. */
export interface RunIntent extends WorldKey {
  /** The scenarios of a set, sorted; null when the request names one scenario. */
  readonly scenario_set: readonly string[] | null;
  readonly window_start_utc: string;
  readonly window_end_utc: string;
  readonly window_tz: string;
}

/** Two requests with one equivalence key must have one intent fingerprint. */
export function intentFingerprint(intent: RunIntent): string {
  return sha256Hex(
    canonicalJson({
      manifest_fingerprint: intent.manifest_fingerprint,
      parameter_hash: intent.parameter_hash,
      seed: intent.seed,
      scenario_id: intent.scenario_id,
      scenario_set: intent.scenario_set,
      window_start_utc: intent.window_start_utc,
      window_end_utc: intent.window_end_utc,
      window_tz: intent.window_tz,
    }),
  );
}

type CanonicalObject = Readonly<Record<string, CanonicalValue | undefined>>;

/** Fields of a plan that come from the wall clock: the same plan made later has the same hash. */
const PLAN_HASH_EXCLUDES: ReadonlySet<string> = new Set([
  'plan_hash',
  'created_at_utc',
  'evidence_deadline_utc',
]);

/** The plan without its own hash, its creation time and its deadline. */
export function planHash(plan: CanonicalObject): string {
  return sha256Hex(
    canonicalJson(
      Object.fromEntries(Object.entries(plan).filter(([field]) => !PLAN_HASH_EXCLUDES.has(field))),
    ),
  );
}

/** A line of the run record: its time is not part of it, so the same fact is recorded once. */
export function runRecordEventId(eventKind: string, runId: string, details: CanonicalObject): string {
  return sha256Hex(canonicalJson({ event_kind: eventKind, run_id: runId, details }));
}

export interface EvidenceBundle {
  readonly locators: readonly (CanonicalObject & { readonly output_id: string })[];
  readonly gate_receipts: readonly (CanonicalObject & { readonly gate_id: string })[];
  readonly instance_receipts: readonly (CanonicalObject & { readonly output_id: string })[];
  readonly policy_rev: CanonicalObject;
}

/** The evidence a run stands on. Lists are ordered by their id here; null fields are dropped at any depth. */
export function bundleHash(bundle: EvidenceBundle): string {
  return sha256Hex(
    canonicalJson({
      locators: ordered(bundle.locators, (locator) => locator.output_id),
      gate_receipts: ordered(bundle.gate_receipts, (receipt) => receipt.gate_id),
      instance_receipts: ordered(bundle.instance_receipts, (receipt) => receipt.output_id),
      policy_rev: withoutNulls(bundle.policy_rev),
    }),
  );
}

function ordered<T extends CanonicalObject>(
  items: readonly T[],
  idOf: (item: T) => string,
): CanonicalValue[] {
  return items
    .map((item) => {
      const value = withoutNulls(item);
      return { id: idOf(item), text: canonicalJson(value), value };
    })
    .sort((a, b) => compare(a.id, b.id) || compare(a.text, b.text))
    .map((item) => item.value);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function withoutNulls(value: CanonicalValue): CanonicalValue {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return (value as readonly CanonicalValue[]).map(withoutNulls);
  const kept: Record<string, CanonicalValue> = {};
  for (const [key, member] of Object.entries(value as CanonicalObject)) {
    if (member !== null && member !== undefined) kept[key] = withoutNulls(member);
  }
  return kept;
}

/**
 * The READY message's id. Attempt 1 is the plain recipe; a re-emit counts its attempts from there and is a message
 * of its own, so consumers that have finished attempt 1 run again. `evidenceHash` is the bundle hash, or the plan
 * hash where there is no bundle.
 */
export function readyMessageId(
  platformRunId: string,
  scenarioRunId: string,
  evidenceHash: string,
  attempt = 1,
): string {
  const text = `ready|${platformRunId}|${scenarioRunId}|${evidenceHash}`;
  return sha256Hex(attempt === 1 ? text : `${text}|${attempt}`);
}

/** The key under which a terminal fact is emitted and re-emitted: the same status gives the same key. */
export function terminalKey(runId: string, state: 'FAILED' | 'QUARANTINED', status: CanonicalObject): string {
  return sha256Hex(`terminal|${runId}|${state}|${sha256Hex(canonicalJson(status))}`);
}

export interface OraclePackIdentity extends WorldKey {
  readonly engine_release: string;
  /** sha256 of the output catalogue the pack was made with. */
  readonly catalogue_digest: string;
  /** sha256 of the gate map the pack was made with. */
  readonly gate_map_digest: string;
}

/** A sealed world and what it was sealed against. */
export function oraclePackId(pack: OraclePackIdentity): string {
  return sha256Hex(
    [
      pack.manifest_fingerprint,
      pack.parameter_hash,
      pack.scenario_id,
      pack.seed,
      pack.engine_release,
      pack.catalogue_digest,
      pack.gate_map_digest,
    ].join('|'),
  );
}

/** One part file of an output. */
export interface SourcePart {
  /** Relative to the engine run's root, so that a copy elsewhere has the same digest. */
  readonly path: string;
  /** sha256 of its bytes. */
  readonly sha256: string;
}

/** Names and contents of an output's part files: `<path> <sha256>` lines in path order, joined by newlines. */
export function sourceLocatorDigest(parts: readonly SourcePart[]): string {
  const lines = parts.map((part) => `${part.path} ${part.sha256}`);
  return sha256Hex(lines.sort().join('\n'));
}

export interface StreamViewIdentity {
  readonly world: WorldKey;
  readonly output_id: string;
  readonly sort_keys: readonly string[];
  readonly partition_granularity: 'flat';
  /** `sourceLocatorDigest` of the output the view is sorted from. */
  readonly source_locator_digest: string;
}

/** A stream view by what is in it; where it is stored is not part of its identity. */
export function streamViewId(view: StreamViewIdentity): string {
  const { manifest_fingerprint, parameter_hash, scenario_id, seed } = view.world;
  return sha256Hex(
    canonicalJson({
      output_id: view.output_id,
      partition_granularity: view.partition_granularity,
      sort_keys: view.sort_keys,
      source_locator_digest: view.source_locator_digest,
      world_key: { manifest_fingerprint, parameter_hash, scenario_id, seed },
    }),
  );
}

/** A value of a primary key in a payload: ids are decimal strings, counters numbers or bigints. */
export type KeyValue = string | number | bigint;

/** Event id of one engine row. Throws when the row lacks a value of the primary key (PRIMARY_KEY_MISSING). */
export type EngineEventId = (world: WorldKey, row: Readonly<Record<string, unknown>>) => string;

/**
 * Compiles the event id of an output: the output id, each primary key value in catalogue order, then fingerprint,
 * parameter hash, seed and scenario (so some appear twice). The run is not in it: a replay repeats the ids.
 */
export function compileEngineEventId(output: OutputDefinition): EngineEventId {
  const [first, second] = output.row_key;
  if (first === undefined || output.row_key.length > 2) {
    throw new RangeError(
      `${output.output_id} has a row key of ${output.row_key.length} columns; expected 1 or 2`,
    );
  }
  const outputId = output.output_id;
  return (world, row) => {
    const { seed, manifest_fingerprint: mf, scenario_id: scenario } = world;
    const tail = `${mf}|${world.parameter_hash}|${seed}|${scenario}`;
    const key = keyText(outputId, first, row[first]);
    const rest = second === undefined ? '' : keyText(outputId, second, row[second]) + '|';
    return sha256Hex(`${outputId}|${seed}|${mf}|${scenario}|${key}|${rest}${tail}`);
  };
}

function keyText(outputId: string, column: string, value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  if ((typeof value === 'number' && Number.isSafeInteger(value)) || typeof value === 'bigint')
    return value.toString();
  throw new RangeError(`PRIMARY_KEY_MISSING: ${outputId} needs ${column}, got ${String(value)}`);
}

/** Event id of a control fact. `sequence` counts the facts of one kind in a run from 1 (READY: the attempt). */
export function controlEventId(
  eventType: string,
  platformRunId: string,
  scenarioRunId: string,
  sequence: number | string,
): string {
  return sha256Hex(`${eventType}|${platformRunId}|${scenarioRunId}|${sequence}`);
}

/** Event id of an audit fact. */
export function auditEventId(eventType: string, tsUtc: string, payload: CanonicalObject): string {
  return sha256Hex(`${eventType}:${tsUtc}:${canonicalJson(payload)}`);
}

/** What must not be admitted twice: one event of one class in one platform run. */
export function dedupeKey(platformRunId: string, eventClass: string, eventId: string): string {
  return sha256Hex(platformRunId + ':' + eventClass + ':' + eventId);
}

/**
 * What an event says, apart from its time and pins. The hot path uses `compilePayloadHash`, which gives the same
 * digest straight from a decoded Avro record.
 */
export function payloadHash(
  eventType: string,
  schemaVersion: string | null,
  payload: CanonicalValue,
): string {
  return sha256Hex(canonicalJson({ event_type: eventType, schema_version: schemaVersion, payload }));
}

/** The stamped key of a value: what Kafka's partitioner hashes. */
export function partitionKey(value: string): string {
  return sha256Hex(value);
}

export type Decision = 'ADMIT' | 'DUPLICATE' | 'QUARANTINE';

/** One receipt per ingress record, so repeats have receipts of their own and a rebuild gives the same. 32 hex digits. */
export function receiptId(
  platformRunId: string,
  decision: Decision,
  ingressTopic: string,
  ingressPartition: number,
  ingressOffset: number | bigint | string,
): string {
  return sha256Hex32(
    `${platformRunId}|${decision}|${ingressTopic}|${ingressPartition}|${ingressOffset.toString()}`,
  );
}
