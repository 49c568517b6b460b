/**
 * One attempt of the engine, from its launch to the check of what it wrote. The run record is what attempts are
 * counted by: an attempt that a crash cut off is not finished, and is made again under the same number in a folder
 * of its own, so that a survivor of the crash writes where nobody looks.
 */
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { OracleError, parseRunReceipt, RUN_RECEIPT_FILE, type RunReceipt } from '../oracle-store/index.ts';
import { attemptId, epochMillisToMicros } from '../rails/index.ts';
import type { EngineInvoker } from './engine-invoker.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { EngineAttempt, EngineInvocation } from './run-artifacts.ts';
import type { RecordLine } from './run-record.ts';
import type { CanonicalRunRequest } from './run-request.ts';
import type { Run } from './run-store.ts';
import type { RunnerContext } from './runner-context.ts';

/** Another attempt may end otherwise; the same engine makes the same wrong receipt again. */
const WORTH_REPEATING: ReadonlySet<ReasonCode> = new Set([
  'ENGINE_EXIT_NONZERO',
  'ENGINE_TIMEOUT',
  'ENGINE_RECEIPT_MISSING',
]);

export function worthRepeating(code: ReasonCode): boolean {
  return WORTH_REPEATING.has(code);
}

/** The attempts that have ended, in order. */
export function finishedAttempts(record: readonly RecordLine[]): EngineAttempt[] {
  return record
    .filter((line) => line.event_kind === 'ENGINE_ATTEMPT_FINISHED')
    .map((line) => line.details as unknown as EngineAttempt)
    .sort((a, b) => a.attempt_no - b.attempt_no);
}

/** What the engine is asked to make. */
export function invocationOf(run: Run): EngineInvocation {
  const { request } = run;
  return {
    manifest_fingerprint: request.manifest_fingerprint,
    parameter_hash: request.parameter_hash,
    seed: request.seed,
    run_id: run.runId,
    scenario_binding:
      request.scenario_set === null
        ? { scenario_id: request.scenario_id }
        : { scenario_set: request.scenario_set },
    ...(request.request_id === null ? {} : { request_id: request.request_id }),
    ...(request.invoker === null ? {} : { invoker: request.invoker }),
    ...(request.notes === null ? {} : { notes: request.notes }),
  };
}

/**
 * Calls the engine once and stores what it printed. Throws a ScenarioRunnerError when it cannot be called, and the
 * signal's reason when the runner may not go on.
 */
export async function attemptEngine(
  context: RunnerContext,
  engine: EngineInvoker,
  run: Run,
  attemptNumber: number,
  signal: AbortSignal,
): Promise<EngineAttempt> {
  const id = attemptId(run.runId, attemptNumber);
  const invocation = invocationOf(run);
  const engineFolder = join(context.engineRunsDir, run.runId, `${id}-${randomBytes(4).toString('hex')}`);
  const started = Date.now();
  const exit = await engine.invoke(
    { request: run.request, runId: run.runId, attemptNumber, engineFolder },
    signal,
  );
  const logs = await context.objects.writeEngineLogs(run, attemptNumber, exit);
  const checked =
    exit.failure === null
      ? await checkReceipt(engineFolder, run.request, engine.takesRunId ? run.runId : null)
      : exit.failure;
  const ended = Date.now();
  const attempt = {
    run_id: run.runId,
    attempt_id: id,
    attempt_no: attemptNumber,
    started_at_utc: epochMillisToMicros(started),
    ended_at_utc: epochMillisToMicros(ended),
    duration_ms: ended - started,
    invocation,
    ...(run.request.invoker === null ? {} : { invoker: run.request.invoker }),
    logs_ref: logs,
  };
  return 'code' in checked
    ? { ...attempt, outcome: 'FAILED', reason_code: checked.code, reason: checked.reason }
    : { ...attempt, outcome: 'SUCCEEDED', engine_run_root: engineFolder, engine_run_id: checked.run_id };
}

interface ReceiptFault {
  readonly code: ReasonCode;
  readonly reason: string;
}

/** The engine's receipt must be there, be valid, and name the world that was asked for. */
async function checkReceipt(
  folder: string,
  request: CanonicalRunRequest,
  runId: string | null,
): Promise<RunReceipt | ReceiptFault> {
  let receipt: RunReceipt;
  try {
    receipt = await readReceipt(folder);
  } catch (error) {
    if (!(error instanceof ScenarioRunnerError)) throw error;
    return { code: error.code, reason: error.message };
  }
  const wrong = [
    ...(runId === null ? [] : differs('run_id', receipt.run_id, runId)),
    ...differs('manifest_fingerprint', receipt.manifest_fingerprint, request.manifest_fingerprint),
    ...differs('parameter_hash', receipt.parameter_hash, request.parameter_hash),
    ...differs('seed', receipt.seed, request.seed),
    ...(receipt.scenario_id === undefined
      ? []
      : differs('scenario_id', receipt.scenario_id, request.scenario_id)),
  ];
  if (wrong.length === 0) return receipt;
  return { code: 'ENGINE_RECEIPT_MISMATCH', reason: `${RUN_RECEIPT_FILE} has ${wrong.join('; ')}` };
}

/** Throws ENGINE_RECEIPT_MISSING or ENGINE_RECEIPT_INVALID. */
export async function readReceipt(folder: string): Promise<RunReceipt> {
  const file = join(folder, RUN_RECEIPT_FILE);
  let bytes: Buffer;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw new ScenarioRunnerError('ENGINE_RECEIPT_MISSING', `the engine left no ${file}`, { cause: error });
  }
  try {
    return parseRunReceipt(bytes, file);
  } catch (error) {
    if (!(error instanceof OracleError)) throw error;
    throw new ScenarioRunnerError('ENGINE_RECEIPT_INVALID', error.message, { cause: error });
  }
}

function differs(name: string, found: string, asked: string): string[] {
  return found === asked ? [] : [`${name} ${found}, not ${asked}`];
}
