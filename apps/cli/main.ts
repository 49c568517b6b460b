/** `fp`, one command for all of the platform: loads the environment, dispatches, and reports errors in one line. */
import { Command, CommanderError } from 'commander';
import { registerCommands } from './command-modules.ts';
import { loadEnvironment } from './environment.ts';
import { describeFailure } from './failure-report.ts';
import { stopWithParent } from './parent-watch.ts';

const USAGE_ERROR = 2;

/** @param args without the interpreter and the script */
export async function main(args: readonly string[]): Promise<void> {
  // Known before parsing, so that an error while loading a command is reported the way that was asked for.
  const verbose = beforeSeparator(args).includes('--verbose');
  stopWithParent();
  try {
    loadEnvironment(process.env);
    const program = new Command('fp')
      .description(
        'A fraud platform on exactly-once stream processing: its servers, its services, its operations',
      )
      .option('--verbose', 'show the stack of an error, with its causes')
      .enablePositionalOptions()
      .showHelpAfterError('(add --help for what is possible)')
      .exitOverride();
    const unavailable = await registerCommands(program, firstCommand(args));
    for (const { commands, cause } of unavailable) {
      process.stderr.write(`fp: not available: ${commands.join(', ')}: ${describeFailure(cause, verbose)}\n`);
    }
    inheritVerbosity(program);
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : USAGE_ERROR;
      return;
    }
    process.stderr.write(`fp: ${describeFailure(error, verbose)}\n`);
    process.exitCode ??= 1;
  }
}

/** `--verbose` may stand anywhere, also after the command: `fp stack up --verbose`. */
function inheritVerbosity(command: Command): void {
  for (const child of command.commands) {
    if (!child.options.some((option) => option.long === '--verbose')) {
      child.option('--verbose', 'show the stack of an error, with its causes');
    }
    inheritVerbosity(child);
  }
}

function beforeSeparator(args: readonly string[]): readonly string[] {
  const separator = args.indexOf('--');
  return separator === -1 ? args : args.slice(0, separator);
}

function firstCommand(args: readonly string[]): string | undefined {
  const command = args.find((arg) => !arg.startsWith('-'));
  return command === 'help' ? undefined : command;
}
