/**
 * The engine's command line: words from the wiring with `{placeholders}`, filled in from one invocation. A word is
 * split off before it is filled in, so a value with spaces stays one argument and nothing is ever read by a shell.
 */
import { ScenarioRunnerError } from './reason-codes.ts';
import type { CanonicalRunRequest } from './run-request.ts';

export interface EngineCall {
  readonly request: CanonicalRunRequest;
  /** The runner's run id, 32 hex digits. */
  readonly runId: string;
  readonly attemptNumber: number;
  /** Absolute path of the folder that the engine writes its run into; it does not exist yet. */
  readonly engineFolder: string;
}

/** What a template may name. A null value exists for other invocations but not for this one. */
export function commandValues(call: EngineCall): Readonly<Record<string, string | null>> {
  const { request } = call;
  return {
    run_id: call.runId,
    attempt_no: String(call.attemptNumber),
    engine_folder: call.engineFolder,
    manifest_fingerprint: request.manifest_fingerprint,
    parameter_hash: request.parameter_hash,
    seed: request.seed,
    scenario_id: request.scenario_id,
    scenario_set: request.scenario_set?.join(',') ?? null,
    window_start_utc: request.window_start_utc,
    window_end_utc: request.window_end_utc,
    window_start_day: request.window_start_utc.slice(0, 10),
    request_id: request.request_id,
  };
}

const PLACEHOLDER = /\{([^{}]*)\}/g;

/**
 * Fills a template in. Throws ENGINE_COMMAND_MISSING when there is none and ENGINE_COMMAND_TEMPLATE_UNRESOLVED,
 * naming every placeholder that has no value here and those that have.
 */
export function engineCommand(template: readonly string[], call: EngineCall): readonly string[] {
  if (template.length === 0) throw new ScenarioRunnerError('ENGINE_COMMAND_MISSING', NO_ENGINE);
  const values = commandValues(call);
  const unresolved = new Set<string>();
  const words = template.map((word) =>
    word.replace(PLACEHOLDER, (place, name: string) => {
      const value = Object.hasOwn(values, name) ? values[name] : null;
      if (value === null || value === undefined) unresolved.add(place);
      return value ?? place;
    }),
  );
  if (unresolved.size === 0) return words;
  const known = Object.keys(values).filter((name) => values[name] !== null);
  throw new ScenarioRunnerError(
    'ENGINE_COMMAND_TEMPLATE_UNRESOLVED',
    `the engine command has ${[...unresolved].join(', ')}; this run has values for ${known.join(', ')}`,
  );
}

/** True when the template hands the runner's run id to the engine, whose receipt must then name it. */
export function namesRunId(template: readonly string[]): boolean {
  return template.some((word) => word.includes('{run_id}'));
}

export const NO_ENGINE =
  'making a world needs an engine command and none is configured; set FP_ENGINE_COMMAND, or name a sealed pack ' +
  'and let the strategy be AUTO or FORCE_REUSE';
