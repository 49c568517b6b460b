/** Runs a command against a stack: brings it up, passes its settings, and afterwards, if asked, leaves no trace of it. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { StackError } from './failure.ts';
import type { Stack, UpOptions } from './stack.ts';

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export interface ExecOptions extends UpOptions {
  /** Start from nothing, and stop and delete the stack when the command has ended, however it ended. */
  readonly fresh: boolean;
}

/**
 * @returns the command's exit code; 128 + the signal's number if a signal ended it
 */
export async function execWithStack(
  stack: Stack,
  command: readonly [string, ...string[]],
  options: ExecOptions,
): Promise<number> {
  // From here on a Ctrl-C must not end this process before it has cleaned up; the command gets it from the terminal.
  const interruption = new AbortController();
  const interrupt = () => interruption.abort();
  for (const signal of FORWARDED) process.on(signal, interrupt);
  try {
    // What an earlier run left behind when it was killed.
    if (options.fresh) await stack.destroy();
    const environment = await stack.up(options);
    if (interruption.signal.aborted) return 128 + constants.signals.SIGINT;
    return await run(command, { ...environment, FP_STACK: stack.folder.name });
  } finally {
    if (options.fresh) await stack.destroy();
    for (const signal of FORWARDED) process.off(signal, interrupt);
  }
}

async function run(
  [program, ...args]: readonly [string, ...string[]],
  settings: Readonly<Record<string, string>>,
) {
  const child = spawn(program, args, { stdio: 'inherit', env: { ...process.env, ...settings } });
  const forward = (signal: NodeJS.Signals) => void child.kill(signal);
  for (const signal of FORWARDED) process.on(signal, forward);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (cause) =>
        reject(new StackError('PREPARATION_FAILED', `cannot run ${program}: ${cause.message}`, { cause })),
      );
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGTERM']));
    });
  } finally {
    for (const signal of FORWARDED) process.off(signal, forward);
  }
}
