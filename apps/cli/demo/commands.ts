/** `fp demo`, `fp smoke`, `fp live`: the whole platform from one command. */
import type { Command } from 'commander';
import { Pool } from 'pg';
import { auditBus } from '../../ingestion-gate/index.ts';
import { runFp, runFpJson } from './fp-process.ts';
import { PlatformSession, type SessionOptions } from './platform-session.ts';
import { reemitRun, submitRun, watchReplay, type ReadyRun, type Replay } from './replay.ts';
import { buildReport, reportTable, writeReport } from './report.ts';
import { Stages } from './stages.ts';

const SMOKE_EVENTS = 20;
const LIVE_EVENTS = 20_000;
const LIVE_SPEEDUP = 600;

interface DemoFlags {
  readonly events: number;
  readonly speedup: number;
  readonly keep?: boolean;
  readonly maxEvents?: number;
}

interface PreparedPack {
  readonly pack_root: string;
  readonly oracle_pack_id: string;
  readonly sealed?: boolean;
}

export function register(program: Command): void {
  program
    .command('demo')
    .description(
      'the whole platform once: servers, world, run, replay, receipts, a second replay, and a verdict',
    )
    .option('--events <n>', 'events of the sample world', Number, 20_000)
    .option('--speedup <x>', 'event seconds per wall second; 0 is as fast as possible', Number, 0)
    .option('--max-events <n>', 'stop the replay after this many', Number)
    .option('--keep', 'leave servers, services and the page running')
    .action(demo);
  program
    .command('smoke')
    .description(`one fresh run capped at ${SMOKE_EVENTS} events`)
    .option('--keep', 'leave servers, services and the page running')
    .action(smoke);
  program
    .command('live')
    .description(`keep runs flowing at ${LIVE_SPEEDUP}x until Ctrl-C`)
    .option('--events <n>', 'events of the sample world', Number, LIVE_EVENTS)
    .option('--speedup <x>', 'event seconds per wall second', Number, LIVE_SPEEDUP)
    .action(live);
}

async function demo(flags: DemoFlags): Promise<void> {
  await withSession({ keep: flags.keep === true, supervised: true }, async (session, pool, stages) => {
    const pack = await prepare(stages, flags.events);
    const limits = {
      speedup: flags.speedup,
      ...(flags.maxEvents === undefined ? {} : { maxEvents: flags.maxEvents }),
    };
    const run = await stages.run('run', () => submitRun(pack.pack_root, limits));
    const first = await stages.run('replay', () =>
      watchReplay(session, pool, stages, run, run.message_id, 0),
    );
    const second = await stages.run('second replay', () => replayAgain(session, pool, stages, run, first));
    const audit = await stages.run('proof', () => auditBus(session.settings, run.platform_run_id));
    await stages.run('archive', () => runFp(['ledger', 'archive']));
    // READY is published only over a pack whose seal the runner has read and checked.
    const packSealed = run.state === 'READY' && run.oracle_pack_id === pack.oracle_pack_id;
    const report = buildReport({ run, packSealed, first, second, audit, seconds: stages.seconds });
    const path = writeReport(session.settings.runsDir, report);
    process.stdout.write(`${reportTable(report)}\n  report: ${path}\n  logs:   ${session.logFolder}\n`);
    if (flags.keep === true) process.stdout.write(`  page:   ${session.settings.lagConsole.url}\n`);
    if (!report.reconciled) process.exitCode = 1;
  });
}

async function smoke(flags: { keep?: boolean }): Promise<void> {
  await withSession({ keep: flags.keep === true, supervised: true }, async (session, pool, stages) => {
    const pack = await prepare(stages, LIVE_EVENTS);
    const run = await stages.run('run', () =>
      submitRun(pack.pack_root, { speedup: 0, maxEvents: SMOKE_EVENTS }),
    );
    const replay = await stages.run('replay', () =>
      watchReplay(session, pool, stages, run, run.message_id, 0),
    );
    const { admitted, duplicate, quarantined } = replay.counts;
    process.stdout.write(
      `${run.platform_run_id}: sent ${replay.sent}, admitted ${admitted}, duplicate ${duplicate}, ` +
        `quarantined ${quarantined}; stopped: ${replay.completed.stop_reason ?? 'no reason given'}\n`,
    );
    const ok =
      replay.sent === SMOKE_EVENTS &&
      admitted === SMOKE_EVENTS &&
      replay.completed.stop_reason === 'max_events';
    if (!ok) process.exitCode = 1;
  });
}

async function live(flags: { events: number; speedup: number }): Promise<void> {
  await withSession({ keep: false, supervised: false }, async (session, pool, stages) => {
    const pack = await prepare(stages, flags.events);
    process.stdout.write(`  page: ${session.settings.lagConsole.url}\n`);
    for (const { name, pid } of session.services.running)
      process.stdout.write(`  ${name} is process ${pid}\n`);
    process.stdout.write('  stop one (kill <process>) and watch its lag rise; Ctrl-C ends all\n');
    for (;;) {
      const run = await submitRun(pack.pack_root, { speedup: flags.speedup });
      await stages.run(run.platform_run_id, () => watchReplay(session, pool, stages, run, run.message_id, 0));
    }
  });
}

async function prepare(stages: Stages, events: number): Promise<PreparedPack> {
  return stages.run('world', () =>
    runFpJson<PreparedPack>(['oracle', 'prepare', '--events', String(events)]),
  );
}

async function replayAgain(
  session: PlatformSession,
  pool: Pool,
  stages: Stages,
  run: ReadyRun,
  first: Replay,
): Promise<Replay> {
  const { message_id: messageId } = await reemitRun(run);
  const { admitted, duplicate, quarantined } = first.counts;
  return watchReplay(session, pool, stages, run, messageId, admitted + duplicate + quarantined);
}

/** Opens the platform, and closes it however the work ends. */
async function withSession(
  options: SessionOptions,
  work: (session: PlatformSession, pool: Pool, stages: Stages) => Promise<void>,
): Promise<void> {
  const stages = new Stages();
  const session = await PlatformSession.open(stages, options);
  const pool = new Pool({ connectionString: session.settings.postgres.dsn, max: 2 });
  // A server that is stopped under an idle connection is no crash of this process.
  pool.on('error', () => undefined);
  const interrupted = interruption();
  let done = false;
  try {
    await Promise.race([work(session, pool, stages), interrupted]);
    done = true;
  } finally {
    await pool.end();
    if (options.keep && done) session.keep();
    else await session.close();
  }
}

/** Rejects at the first Ctrl-C, so that everything is stopped in order. */
function interruption(): Promise<never> {
  return new Promise((_done, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(signal, () =>
        reject(new Error(`stopped by ${signal}; everything started is being stopped`)),
      );
    }
  });
}
