/**
 * The request for a run: what a caller may send, and the one canonical form that everything after works with.
 *
 * Unknown fields are refused, a scenario is one id or a set, and the window is a half-open interval of instants with
 * explicit offsets. Two requests that mean the same give the same canonical request.
 */
import { artifactProblems, isUint64, scenarioSetId } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

export const STRATEGIES = ['AUTO', 'FORCE_REUSE', 'FORCE_INVOKE'] as const;
export type Strategy = (typeof STRATEGIES)[number];

/** A request as callers send it. */
export interface RunRequest {
  /** Names the run: the same key with the same intent is the same run. */
  readonly run_equivalence_key: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  /** uint64: a decimal string, or a number while it is exact. */
  readonly seed: string | number;
  readonly scenario: { readonly scenario_id: string } | { readonly scenario_set: readonly string[] };
  readonly window: {
    /** RFC 3339 with an offset; the start is inside the window, the end is not. */
    readonly window_start_utc: string;
    readonly window_end_utc: string;
    /** IANA name of the zone the window was thought in. */
    readonly window_tz: string;
  };
  readonly request_id?: string;
  readonly requested_strategy?: Strategy;
  readonly output_ids?: readonly string[];
  /** Root of the sealed world, `s3://bucket/prefix`. */
  readonly engine_run_root?: string;
  readonly notes?: string;
  readonly invoker?: string;
}

/** A request whose meaning is fixed: strings throughout, instants in UTC to the microsecond, sets sorted. */
export interface CanonicalRunRequest {
  readonly run_equivalence_key: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly seed: string;
  /** The id asked for, or the id of the set. */
  readonly scenario_id: string;
  readonly scenario_set: readonly string[] | null;
  readonly window_start_utc: string;
  readonly window_end_utc: string;
  readonly window_tz: string;
  readonly requested_strategy: Strategy;
  /** Sorted and unique; null leaves the choice to the policy. */
  readonly output_ids: readonly string[] | null;
  readonly engine_run_root: string | null;
  readonly request_id: string | null;
  readonly notes: string | null;
  readonly invoker: string | null;
}

/** Checks a request from outside and makes it canonical. Throws RUN_REQUEST_INVALID naming every fault. */
export function canonicalRunRequest(input: unknown): CanonicalRunRequest {
  const faults = artifactProblems('run_request', input);
  if (faults.length > 0) throw invalid(faults.join('; '));
  return canonical(input as RunRequest);
}

function canonical(input: RunRequest): CanonicalRunRequest {
  const start = utcMicros(input.window.window_start_utc);
  const end = utcMicros(input.window.window_end_utc);
  if (start >= end) {
    throw invalid(`the window ends (${end}) at or before its start (${start})`);
  }
  if (!isTimeZone(input.window.window_tz)) {
    throw invalid(
      `window_tz '${input.window.window_tz}' is not an IANA time zone such as Europe/London or UTC`,
    );
  }
  const set = 'scenario_set' in input.scenario ? sortedUnique(input.scenario.scenario_set) : null;
  return {
    run_equivalence_key: input.run_equivalence_key,
    manifest_fingerprint: input.manifest_fingerprint,
    parameter_hash: input.parameter_hash,
    seed: decimalSeed(input.seed),
    scenario_id: set === null ? (input.scenario as { scenario_id: string }).scenario_id : scenarioSetId(set),
    scenario_set: set,
    window_start_utc: start,
    window_end_utc: end,
    window_tz: input.window.window_tz,
    requested_strategy: input.requested_strategy ?? 'AUTO',
    output_ids: input.output_ids === undefined ? null : sortedUnique(input.output_ids),
    engine_run_root: input.engine_run_root?.replace(/\/+$/, '') ?? null,
    request_id: input.request_id ?? null,
    notes: input.notes ?? null,
    invoker: input.invoker ?? null,
  };
}

function decimalSeed(seed: string | number): string {
  if (typeof seed === 'number' && !Number.isSafeInteger(seed)) {
    throw invalid(`seed ${seed} is beyond 2^53 and not exact as a JSON number: write it as a decimal string`);
  }
  const text = String(seed);
  if (!isUint64(text)) throw invalid(`seed ${text} is above 2^64-1`);
  return text;
}

const INSTANT_PARTS = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?([Zz]|[+-]\d{2}:?\d{2})$/;

/** An RFC 3339 instant as UTC text with six decimals: fixed width, so that text order is time order. */
function utcMicros(instant: string): string {
  const parts = INSTANT_PARTS.exec(instant);
  const epochMs =
    parts === null ? Number.NaN : Date.parse(`${parts[1]!}T${parts[2]!}${parts[4]!.toUpperCase()}`);
  const fraction = (parts?.[3] ?? '').padEnd(6, '0');
  if (Number.isNaN(epochMs) || /[^0]/.test(fraction.slice(6))) {
    throw invalid(`'${instant}' is not an instant with an offset and at most microseconds`);
  }
  return `${new Date(epochMs).toISOString().slice(0, 19)}.${fraction.slice(0, 6)}Z`;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return !/^[+-]/.test(name);
  } catch {
    return false;
  }
}

function sortedUnique(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

function invalid(reason: string): ScenarioRunnerError {
  return new ScenarioRunnerError('RUN_REQUEST_INVALID', reason);
}
