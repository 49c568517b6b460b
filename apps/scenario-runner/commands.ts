/** `fp sr …`: submit runs, look at them, emit them again, serve all that over HTTP; and with them `fp run …`. */
import { readFile } from 'node:fs/promises';
import { InvalidArgumentError, type Command } from 'commander';
import { readLastPack } from '../oracle-store/index.ts';
import { scenarioRunId, type Settings, type TrafficMode } from '../rails/index.ts';
import { authorize } from './authorize.ts';
import { print, userActor, withRunner } from './command-session.ts';
import type { CrossRunOverride } from './cross-run-override.ts';
import { defaultRunRequest } from './default-request.ts';
import { issuePlatformRun } from './platform-runs.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import { reemit, REEMIT_KINDS, type ReemitKind } from './reemit.ts';
import { factsText, outcomeText, runsText } from './report.ts';
import type { ReplayRequest } from './run-artifacts.ts';
import { canonicalRunRequest, STRATEGIES, type RunRequest, type Strategy } from './run-request.ts';
import { registerRunCommands } from './run-commands.ts';
import type { RunnerContext } from './runner-context.ts';
import type { Run } from './run-store.ts';
import { serveRunner } from './service.ts';
import { runStatus, submitRun, type RunOutcome } from './submit.ts';

/** Seconds that `fp sr submit` looks for missing evidence before it returns with the run still waiting. */
const DEFAULT_WAIT_SECONDS = 20;

/** Exit status of a run that is not READY and published, apart from errors (1) and wrong usage (2). */
const EXIT_NOT_READY = 3;

interface ReplayOptions {
  readonly speedup?: number;
  readonly maxEvents?: number;
  readonly maxEventsPerOutput?: number;
}

interface SubmitOptions extends ReplayOptions {
  readonly run?: string;
  readonly request?: string;
  readonly pack?: string;
  readonly mode?: TrafficMode;
  readonly scenario?: string;
  readonly strategy?: Strategy;
  readonly actor: string;
  /** False with --no-wait. */
  readonly wait: number | boolean;
  readonly json?: boolean;
}

interface RunOptions {
  readonly run?: string;
  readonly scenarioRun?: string;
  readonly json?: boolean;
}

interface ReemitOptions extends RunOptions, ReplayOptions {
  readonly kind: ReemitKind;
  readonly dryRun?: boolean;
  readonly actor: string;
  readonly emitRun?: string;
  readonly override?: string;
  readonly reason?: string;
}

export function register(program: Command): void {
  registerRunCommands(program);

  const sr = program.command('sr').description('scenario runs: from a request to READY');
  replayOptions(
    sr
      .command('submit')
      .description(
        'submit a run of a sealed pack and lead it to READY; again with the same request, it is the same run',
      )
      .option('--run <platform_run_id>', 'platform run to submit into (default: a new one)')
      .option('--request <file>', 'run request as JSON, in place of --mode and --scenario')
      .option('--pack <root>', 'root of the pack, s3://bucket/path/ (default: the pack prepared last)')
      .option('--mode <mode>', 'fraud or baseline (default: the policy)', trafficMode)
      .option('--scenario <id>', "scenario that the pack must have (default: the pack's)")
      .option('--strategy <name>', STRATEGIES.join(', '), strategy)
      .option('--actor <id>', 'who asks', userActor())
      .option('--wait <seconds>', 'how long to wait here for missing evidence', seconds, DEFAULT_WAIT_SECONDS)
      .option('--no-wait', 'look once'),
  )
    .option('--json', 'print JSON')
    .action(submit);
  runOptions(sr.command('status').description('the state of a run, or of the latest runs'))
    .option('--limit <n>', 'how many runs to list', seconds, 20)
    .action(status);
  runOptions(sr.command('facts').description('what a READY run has proven: its facts view')).action(facts);
  replayOptions(
    runOptions(
      sr.command('reemit').description('emit READY (as a new attempt) or the terminal fact of a run again'),
    )
      .option('--kind <kind>', REEMIT_KINDS.join(', '), reemitKind, 'READY_ONLY')
      .option('--dry-run', 'say what would be emitted')
      .option('--emit-run <platform_run_id>', 'emit READY into this platform run instead of its own')
      .option('--override <file>', 'the approval for that, as JSON')
      .option('--actor <id>', 'who asks', userActor())
      .option('--reason <text>', 'why, for the record'),
  ).action(emitAgain);

  sr.command('serve')
    .description('serve submissions, re-emits, status and facts over HTTP, and carry on what waits')
    .action(serve);

  const quarantine = sr.command('quarantine').description('runs that were quarantined');
  quarantine
    .command('list')
    .description('quarantined runs, newest first')
    .option('--run <platform_run_id>', 'only of this platform run')
    .option('--limit <n>', 'how many', seconds, 20)
    .option('--json', 'print JSON')
    .action(async (options: { run?: string; limit: number; json?: boolean }) => {
      await withRunner(async ({ store }) => {
        const runs = await store.list({
          ...platformRun(options.run),
          state: 'QUARANTINED',
          limit: options.limit,
        });
        printRuns(runs, options.json);
      });
    });
  runOptions(quarantine.command('show').description('why a run was quarantined')).action(
    async (options: RunOptions) => {
      await withRunner(async (context) => {
        const found = await pickRun(context, options, 'QUARANTINED');
        print(show(await runStatus(context, found), options.json));
      });
    },
  );
}

async function submit(options: SubmitOptions): Promise<void> {
  await withRunner(async (context, settings) => {
    const invoke = options.strategy === 'FORCE_INVOKE';
    if (invoke && options.request === undefined) {
      throw new ScenarioRunnerError(
        'RUN_REQUEST_INVALID',
        'a world that does not exist yet has to be described: give --request with its fingerprint, parameters and seed',
      );
    }
    const packRoot = invoke ? options.pack : (options.pack ?? (await lastPack(settings)));
    const platformRunId = options.run ?? (await issuePlatformRun(context.store.pool));
    const described =
      options.request === undefined && packRoot !== undefined
        ? await defaultRunRequest(context.oracle, context.policy, {
            platformRunId,
            packRoot,
            invoker: options.actor,
            ...(options.mode === undefined ? {} : { mode: options.mode }),
            ...(options.scenario === undefined ? {} : { scenarioId: options.scenario }),
          })
        : await fromFile<RunRequest>(options.request ?? '');
    const request: RunRequest = {
      ...described,
      ...(options.strategy === undefined ? {} : { requested_strategy: options.strategy }),
    };
    const runId = scenarioRunId(canonicalRunRequest(request).run_equivalence_key);
    await authorize(context, 'submit', options.actor, { platformRunId, runId });
    const outcome = await submitRun(context, {
      platform_run_id: platformRunId,
      ...(packRoot === undefined ? {} : { pack_root: packRoot }),
      request,
      replay: replayOf(options),
      wait_seconds: typeof options.wait === 'number' ? options.wait : options.wait ? DEFAULT_WAIT_SECONDS : 0,
    });
    print(show(outcome, options.json));
    if (outcome.state !== 'READY' || !outcome.published) process.exitCode = EXIT_NOT_READY;
  });
}

async function status(options: RunOptions & { limit: number }): Promise<void> {
  await withRunner(async (context) => {
    if (options.scenarioRun === undefined) {
      printRuns(
        await context.store.list({ ...platformRun(options.run), limit: options.limit }),
        options.json,
      );
      return;
    }
    print(show(await runStatus(context, await pickRun(context, options)), options.json));
  });
}

async function facts(options: RunOptions): Promise<void> {
  await withRunner(async (context) => {
    const view = await context.objects.readFactsView(await pickRun(context, options));
    print(options.json === true ? JSON.stringify(view) : factsText(view));
  });
}

async function emitAgain(options: ReemitOptions): Promise<void> {
  await withRunner(async (context) => {
    const found = await pickRun(context, options);
    await authorize(context, 'reemit', options.actor, found);
    const outcome = await reemit(context, {
      platform_run_id: found.platformRunId,
      run_id: found.runId,
      reemit_kind: options.kind,
      dry_run: options.dryRun === true,
      replay: replayOf(options),
      requested_by: options.actor,
      ...(options.emitRun === undefined ? {} : { emit_platform_run_id: options.emitRun }),
      ...(options.override === undefined
        ? {}
        : { cross_run_override: await fromFile<CrossRunOverride>(options.override) }),
      ...(options.reason === undefined ? {} : { reason: options.reason }),
    });
    print(
      options.json === true
        ? JSON.stringify(outcome)
        : `${outcome.published ? 'published' : 'would publish'} ${outcome.event_type} attempt ${outcome.attempt}, ` +
            `message ${outcome.message_id}`,
    );
  });
}

/** The run that is meant: by both ids, or the newest of the platform run, or the newest of all. */
async function pickRun(context: RunnerContext, options: RunOptions, state?: 'QUARANTINED'): Promise<Run> {
  const runs = await context.store.list({
    ...platformRun(options.run),
    ...(options.scenarioRun === undefined ? {} : { runId: options.scenarioRun }),
    ...(state === undefined ? {} : { state }),
    limit: 1,
  });
  const run = runs[0];
  if (run !== undefined) return run;
  throw new ScenarioRunnerError(
    'RUN_NOT_FOUND',
    `there is no${state === undefined ? '' : ' quarantined'} run${options.run === undefined ? '' : ` in ${options.run}`}; ` +
      '`fp sr status` lists those there are',
  );
}

/** The pack that was prepared last on this machine. */
async function lastPack(settings: Settings): Promise<string> {
  const { pack_root: root } = await readLastPack(settings.stateDir);
  if (root !== undefined) return root;
  throw new ScenarioRunnerError(
    'RUN_REQUEST_INVALID',
    'no pack is known: give --pack s3://bucket/path/, or make one with `fp oracle prepare`',
  );
}

/** JSON that is checked against its contract by whoever uses it. */
async function fromFile<T extends object>(file: string): Promise<T> {
  const text = await readFile(file, 'utf8');
  try {
    return JSON.parse(text) as T;
  } catch (error) {
    throw new ScenarioRunnerError('RUN_REQUEST_INVALID', `${file} is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function serve(): Promise<void> {
  await withRunner(
    async (context, settings) => {
      const service = await serveRunner(context, settings.scenarioRunner);
      const signal = await new Promise<string>((resolve) => {
        for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, resolve);
      });
      context.logger.info({ signal }, 'stopping');
      await service.stop();
    },
    { stream: process.stdout, level: 'info' },
  );
}

function runOptions(command: Command): Command {
  return command
    .option('--run <platform_run_id>', 'platform run (default: the latest)')
    .option(
      '--scenario-run <run_id>',
      'scenario run, 32 hex digits (default: the latest of the platform run)',
    )
    .option('--json', 'print JSON');
}

function replayOptions(command: Command): Command {
  return command
    .option('--speedup <factor>', 'event seconds per wall second; 0 is as fast as possible', factor)
    .option('--max-events <n>', 'cap over all outputs', count)
    .option('--max-events-per-output <n>', 'cap per output', count);
}

function replayOf(options: ReplayOptions): Partial<ReplayRequest> {
  return {
    ...(options.speedup === undefined ? {} : { speedup: options.speedup }),
    ...(options.maxEvents === undefined ? {} : { max_events: options.maxEvents }),
    ...(options.maxEventsPerOutput === undefined
      ? {}
      : { max_events_per_output: options.maxEventsPerOutput }),
  };
}

function platformRun(id: string | undefined): { platformRunId?: string } {
  return id === undefined ? {} : { platformRunId: id };
}

function show(outcome: RunOutcome, json: boolean | undefined): string {
  return json === true ? JSON.stringify(outcome) : outcomeText(outcome);
}

function printRuns(runs: readonly Run[], json: boolean | undefined): void {
  print(json === true ? JSON.stringify(runs.map(summary)) : runsText(runs));
}

function summary(run: Run): Readonly<Record<string, string | null>> {
  return {
    platform_run_id: run.platformRunId,
    run_id: run.runId,
    state: run.state,
    reason_code: run.reasonCode,
    reason: run.reason,
    updated_at_utc: run.updatedAtUtc,
  };
}

function trafficMode(text: string): TrafficMode {
  if (text === 'fraud' || text === 'baseline') return text;
  throw new InvalidArgumentError('it is fraud or baseline.');
}

function strategy(text: string): Strategy {
  const found = STRATEGIES.find((each) => each === text);
  if (found === undefined) throw new InvalidArgumentError(`it is one of ${STRATEGIES.join(', ')}.`);
  return found;
}

function reemitKind(text: string): ReemitKind {
  const kind = REEMIT_KINDS.find((each) => each === text);
  if (kind === undefined) throw new InvalidArgumentError(`it is one of ${REEMIT_KINDS.join(', ')}.`);
  return kind;
}

function seconds(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isInteger(value) || value < 0)
    throw new InvalidArgumentError('it is a whole number, 0 or more.');
  return value;
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1)
    throw new InvalidArgumentError('it is a whole number above 0.');
  return value;
}

function factor(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value) || value < 0)
    throw new InvalidArgumentError('it is a number, 0 or more.');
  return value;
}
