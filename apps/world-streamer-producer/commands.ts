/** `fp wsp …`: the world streamer producer. */
import type { Command } from 'commander';

import { createLogger } from '../../lib/index.ts';
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
}

function withStreamFlags(command: Command): Command {
  return command
    .option('--speedup <x>', 'event seconds per wall second; 0 is as fast as possible (WSP_SPEEDUP)')
    .option('--max-events <n>', 'most events over all outputs (WSP_MAX_EVENTS)')
    .option('--max-events-per-output <n>', 'most events per output (WSP_MAX_EVENTS_PER_OUTPUT)');
}

/** Serves until a signal comes, or until one run has ended; returns the cursors of the runs that ended last. */
async function stream(flags: StreamFlags, once: boolean): Promise<readonly RunCursor[]> {
  const logger = createLogger({ component: 'world_streamer_producer' });
  const connected = connectStreamer(flags);
  let last: readonly RunCursor[] = [];
  const streamer = new WorldStreamer(connected.context, logger, (cursors) => {
    last = cursors;
    if (once) streamer.stop();
  });
  const onSignal = (signal: NodeJS.Signals): void => {
    logger.info({ signal }, 'stopping');
    streamer.stop();
  };
  process.once('SIGTERM', onSignal).once('SIGINT', onSignal);
  try {
    await streamer.run();
  } finally {
    connected.close();
    process.off('SIGTERM', onSignal).off('SIGINT', onSignal);
  }
  return last;
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
