/** `fp wsp …`: the world streamer producer. */
import { userInfo } from 'node:os';
import { InvalidArgumentError, type Command } from 'commander';

import { createLogger } from '../../lib/index.ts';
import { loadSettings, type StreamCommand } from '../rails/index.ts';
import { sendCommand } from './operator-command.ts';
import type { RunCursor } from './run-cursor.ts';
import { connectStreamer, type StreamFlags } from './streamer-settings.ts';
import { WorldStreamer } from './world-streamer.ts';

export function register(program: Command): void {
  const wsp = program
    .command('wsp')
    .description('World streamer producer: replay sealed worlds into the front door');
  withStreamFlags(
    wsp.command('run').description('Stream every run that becomes READY, until stopped'),
  ).action(async (flags: StreamFlags) => {
    await stream(flags, false);
  });
  withStreamFlags(
    wsp
      .command('once')
      .description('Stream one run (the next READY, or one left unfinished) and exit; 0 if it completed'),
  ).action(async (flags: StreamFlags) => {
    const ended = await stream(flags, true);
    for (const cursor of ended) {
      process.stdout.write(`${JSON.stringify(outcomeOf(cursor))}\n`);
    }
    if (ended.length === 0 || ended.some((cursor) => cursor.state !== 'COMPLETED')) process.exitCode = 1;
  });
  const operators: readonly [StreamCommand, string][] = [
    ['pause', 'Hold a run where it stands, over restarts too, until it is resumed'],
    ['resume', 'Go on with a paused run; the time in between does not exist for it'],
    ['throttle', 'Change the speed or the highest rate of a run from now on'],
    ['drain', 'End a run once the moment being sent is whole; stream.completed says drained'],
    ['cancel', 'End a run at once and for good; stream.completed says cancelled'],
  ];
  for (const [name, description] of operators) {
    const command = wsp
      .command(name)
      .description(description)
      .requiredOption('--run <platform_run_id>', 'platform run')
      .option('--scenario-run <id>', 'one of its scenario runs (default: all)')
      .option('--attempt <n>', 'attempt (default: the latest)', wholeNumber)
      .option('--reason <text>', 'why, for the record')
      .option('--actor <id>', 'who (default: the user of this process)')
      .option('--json', 'print JSON');
    if (name === 'throttle') {
      command
        .option('--speedup <x>', 'event seconds per wall second; 0 is as fast as possible', rate)
        .option('--eps <n>', 'most events per second', rate);
    }
    command.action((flags: OperatorFlags) => operate(name, flags));
  }
}

interface OperatorFlags {
  readonly run: string;
  readonly scenarioRun?: string;
  readonly attempt?: number;
  readonly reason?: string;
  readonly actor?: string;
  readonly speedup?: number;
  readonly eps?: number;
  readonly json?: boolean;
}

async function operate(command: StreamCommand, flags: OperatorFlags): Promise<void> {
  if (command === 'throttle' && flags.speedup === undefined && flags.eps === undefined) {
    throw new InvalidArgumentError('throttle needs --speedup or --eps');
  }
  const sent = await sendCommand(loadSettings(), {
    platformRunId: flags.run,
    ...(flags.scenarioRun === undefined ? {} : { scenarioRunId: flags.scenarioRun }),
    command,
    attempt: flags.attempt ?? null,
    speedup: flags.speedup ?? null,
    target_eps: flags.eps ?? null,
    actor: flags.actor ?? `HUMAN::${userInfo().username}`,
    reason: flags.reason ?? null,
  });
  for (const each of sent) {
    const { topic, partition, offset } = each.ingress;
    process.stdout.write(
      flags.json === true
        ? `${JSON.stringify(each)}\n`
        : `${command} ${each.scenario_run_id}: command ${each.command_id} at ${topic}/${partition}/${offset ?? '?'}\n`,
    );
  }
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a whole number from 1');
  return value;
}

function rate(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isFinite(value) || value < 0) throw new InvalidArgumentError('a number from 0');
  return value;
}

function withStreamFlags(command: Command): Command {
  return command
    .option('--speedup <x>', 'event seconds per wall second; 0 is as fast as possible (WSP_SPEEDUP)')
    .option('--max-events <n>', 'most events over all outputs (WSP_MAX_EVENTS)')
    .option('--max-events-per-output <n>', 'most events per output (WSP_MAX_EVENTS_PER_OUTPUT)');
}

/**
 * Serves until a signal comes, or until every lane of one attempt has ended here (so with `once`, no other instance
 * should be in the group); returns the cursors of that attempt.
 */
async function stream(flags: StreamFlags, once: boolean): Promise<readonly RunCursor[]> {
  const logger = createLogger({ component: 'world_streamer_producer' });
  const connected = connectStreamer(flags);
  const ended: RunCursor[] = [];
  let whole: readonly RunCursor[] = [];
  const records: Promise<void>[] = [];
  const streamer = new WorldStreamer(connected.context, logger, (cursor) => {
    records.push(
      connected.records.write(cursor).catch((error: unknown) => {
        // The cursor and the facts on the bus say the same; this copy is for people who look at the bucket.
        logger.warn(
          { error: (error as Error).message, message_id: cursor.ready.message_id },
          'ready record not written',
        );
      }),
    );
    if (!once) return;
    ended.push(cursor);
    const attempt = ended.filter(({ ready }) => ready.message_id === cursor.ready.message_id);
    if (attempt.length < cursor.lane_count) return;
    whole = attempt;
    streamer.stop();
  });
  const onSignal = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'stopping');
    streamer.stop();
  };
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);
  try {
    await streamer.run();
    await Promise.all(records);
  } finally {
    connected.close();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
  return whole;
}

function outcomeOf(cursor: RunCursor): object {
  const { ready, state, stop_reason, failure, outputs, lane } = cursor;
  return {
    platform_run_id: ready.platform_run_id,
    scenario_run_id: ready.scenario_run_id,
    attempt: ready.attempt,
    lane,
    state,
    stop_reason,
    code: failure?.code ?? null,
    outputs: outputs.map(({ output_id, read, sent }) => ({ output_id, read, sent })),
  };
}
