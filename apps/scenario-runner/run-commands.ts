/** `fp run …`: platform runs from their first second to their last, and what is known of them. */
import type { Pool } from 'pg';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { auditBus, reconcile } from '../ingestion-gate/index.ts';
import type { Settings } from '../rails/index.ts';
import { closePlatformRun } from './close-run.ts';
import { print, userActor, withRunner } from './command-session.ts';
import {
  actorOf,
  GOVERNANCE_FAMILIES,
  governanceFacts,
  tellGovernance,
  type GovernanceFamily,
} from './governance.ts';
import { platformReport, type PlatformReport } from './platform-report.ts';
import { issuePlatformRun, platformRun } from './platform-runs.ts';
import { ScenarioRunnerError } from './reason-codes.ts';
import { platformReportText, platformStatusText } from './report.ts';
import { bundleRun } from './run-bundle.ts';
import type { RunnerContext } from './runner-context.ts';
import { projectGovernance, readSession, writeSession } from './session.ts';

/** Exit status of a report that does not add up. */
const EXIT_NOT_RECONCILED = 3;
const MOST_RUNS = 10_000;

interface RunFlags {
  readonly run?: string;
  readonly json?: boolean;
}

export function registerRunCommands(program: Command): void {
  const run = program.command('run').description('platform runs');
  run
    .command('new')
    .description('issue a new platform run id and print it')
    .option('--json', 'print JSON')
    .action(async (options: { json?: boolean }) => {
      await withRunner(async ({ store }) => {
        const id = await issuePlatformRun(store.pool);
        print(options.json === true ? JSON.stringify({ platform_run_id: id }) : id);
      });
    });
  runOption(run.command('status').description('where a platform run and its scenario runs stand')).action(
    status,
  );
  runOption(
    run.command('report').description('what was sent and what became of it; exits with 3 unless it adds up'),
  ).action(report);
  runOption(run.command('facts').description('governance facts of a run: acts that changed outcomes'))
    .option('--family <name>', GOVERNANCE_FAMILIES.join(', '), family)
    .action(facts);
  runOption(
    run.command('close').description('end a platform run: nothing more is submitted or emitted in it'),
  )
    .option('--reason <text>', 'why')
    .option('--actor <id>', 'who', userActor())
    .action(close);
  runOption(
    run.command('bundle').description("pack a run's artifacts, logs, session and report into one file"),
  )
    .argument('[platform_run_id]', 'in place of --run')
    .action(bundle);
}

function runOption(command: Command): Command {
  return command
    .option('--run <platform_run_id>', 'which (default: PLATFORM_RUN_ID, else the latest)')
    .option('--json', 'print JSON');
}

async function status(flags: RunFlags): Promise<void> {
  await withRunner(async (context) => {
    const id = await chosen(context, flags);
    const [platform, runs] = await Promise.all([
      platformRun(context.store.pool, id),
      context.store.list({ platformRunId: id, limit: MOST_RUNS }),
    ]);
    if (flags.json !== true) {
      print(platformStatusText(platform, runs));
      return;
    }
    const states = runs.map((run) => ({ ...context.objects.statusOf(run), reason: run.reason }));
    print(JSON.stringify({ ...platform, runs: states }));
  });
}

async function report(flags: RunFlags): Promise<void> {
  await withRunner(async (context, settings) => {
    const made = await makeReport(context, settings, await chosen(context, flags));
    print(flags.json === true ? JSON.stringify(made) : platformReportText(made));
    if (!made.reconciled) process.exitCode = EXIT_NOT_RECONCILED;
  });
}

async function facts(flags: RunFlags & { family?: GovernanceFamily }): Promise<void> {
  await withRunner(async (context, settings) => {
    const id = await chosen(context, flags);
    await projectGovernance(context, id, await readSession(settings, id));
    const found = await governanceFacts(context.store.pool, id, flags.family);
    print(
      flags.json === true
        ? JSON.stringify(found)
        : found
            .map((fact) => `${fact.ts_utc}  ${fact.event_family.padEnd(20)}  ${fact.event_id}`)
            .join('\n') || 'no facts',
    );
  });
}

async function close(flags: RunFlags & { reason?: string; actor: string }): Promise<void> {
  await withRunner(async (context) => {
    const outcome = await closePlatformRun(context, {
      platform_run_id: await chosen(context, flags),
      closed_by: flags.actor,
      ...(flags.reason === undefined ? {} : { reason: flags.reason }),
    });
    print(
      flags.json === true
        ? JSON.stringify(outcome)
        : `${outcome.platform_run_id} closed at ${outcome.closed_at_utc ?? ''}, ${outcome.runs.length} scenario runs told`,
    );
  });
}

async function bundle(argument: string | undefined, flags: RunFlags): Promise<void> {
  await withRunner(async (context, settings) => {
    const id = await chosen(context, argument === undefined ? flags : { ...flags, run: argument });
    await makeReport(context, settings, id);
    const made = await bundleRun(context.objects.bucket, settings.runsDir, id);
    print(
      flags.json === true ? JSON.stringify(made) : `${made.path}: ${made.objects} objects, logs and report`,
    );
  });
}

/** Makes the report, tells that it was made, and leaves it and the session in the run's folder. */
async function makeReport(context: RunnerContext, settings: Settings, id: string): Promise<PlatformReport> {
  const { store } = context;
  const session = await readSession(settings, id);
  const made = platformReport({
    platformRun: await platformRun(store.pool, id),
    runs: await store.list({ platformRunId: id, limit: MOST_RUNS }),
    session,
    ledger: await reconciliation(store.pool, id),
    audit: await auditBus(settings, id),
  });
  await writeSession(settings.runsDir, id, session);
  await projectGovernance(context, id, session);
  const folder = join(settings.runsDir, id);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'run-report.json'), `${JSON.stringify(made, null, 2)}\n`);
  await tellGovernance(store.pool, context.objects, {
    event_family: 'RUN_REPORT_GENERATED',
    actor: actorOf('svc:scenario_runner', 'scenario_runner'),
    pins: { platform_run_id: id, scenario_run_id: null, manifest_fingerprint: null },
    provenance: { service_release_id: context.service.releaseId, environment: context.environment },
    details: {
      reconciled: made.reconciled,
      sent: made.sent,
      admitted: made.admitted,
      duplicate: made.duplicate,
      quarantined: made.quarantined,
    },
  });
  return made;
}

/** The ledger makes its tables when it first starts. */
async function reconciliation(pool: Pool, id: string): ReturnType<typeof reconcile> {
  const UNDEFINED_TABLE = '42P01';
  try {
    return await reconcile(pool, id);
  } catch (error) {
    if ((error as { code?: string }).code !== UNDEFINED_TABLE) throw error;
    throw new ScenarioRunnerError(
      'RUN_NOT_FOUND',
      'there is no receipt ledger yet: start it with `fp ledger run`, then report again',
      { cause: error },
    );
  }
}

/** The platform run that is meant: named, from PLATFORM_RUN_ID, or the latest. Never a new one. */
async function chosen({ store }: RunnerContext, flags: RunFlags): Promise<string> {
  const named = flags.run ?? process.env['PLATFORM_RUN_ID'];
  if (named !== undefined && named !== '') return (await platformRun(store.pool, named)).platform_run_id;
  const { rows } = await store.pool.query<{ id: string }>(
    'select platform_run_id as id from sr_platform_runs order by issued_at desc, platform_run_id desc limit 1',
  );
  const latest = rows[0];
  if (latest !== undefined) return latest.id;
  throw new ScenarioRunnerError('RUN_NOT_FOUND', 'there is no platform run yet; `fp run new` issues one');
}

function family(text: string): GovernanceFamily {
  const found = GOVERNANCE_FAMILIES.find((each) => each === text);
  if (found === undefined) throw new InvalidArgumentError(`it is one of ${GOVERNANCE_FAMILIES.join(', ')}.`);
  return found;
}
