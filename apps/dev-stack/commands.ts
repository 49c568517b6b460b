/** `fp stack …`: the real servers on one machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Command } from 'commander';
import { publishedEnvironment, shellExports } from './environment.ts';
import { execWithStack } from './exec.ts';
import { StackError } from './failure.ts';
import { DEFAULT_PORTS, PORT_NAMES, portFlag, portVariable, requestedPorts, type PortName } from './ports.ts';
import { createProgress } from './provisioning/progress.mjs';
import { SERVER_NAMES, type ServerName } from './servers/native-server.ts';
import { Stack, type UpOptions } from './stack.ts';
import { DEFAULT_STACK, StackFolder } from './stack-folder.ts';

interface StackFlags {
  readonly name?: string;
}

interface UpFlags extends StackFlags, Readonly<Record<`${string}Port`, string | undefined>> {
  readonly docker?: boolean;
  readonly native?: boolean;
}

export function register(program: Command): void {
  const stack = program
    .command('stack')
    .description('The servers: Kafka, schema registry, object store, PostgreSQL');
  registerUp(stack);
  registerExec(stack);

  withName(stack.command('down').description('Stop every server; data stays')).action(
    async (flags: StackFlags) => {
      await stackNamed(flags).down();
    },
  );

  withName(stack.command('status').description('Show each server; exit code 3 unless all run')).action(
    async (flags: StackFlags) => {
      const servers = await stackNamed(flags).status();
      for (const { server, state, detail } of servers) {
        process.stdout.write(`${server.padEnd(12)} ${state.padEnd(10)} ${detail}\n`);
      }
      if (servers.length === 0 || servers.some(({ state }) => state !== 'running')) process.exitCode = 3;
    },
  );

  withName(
    stack.command('reset').description('Stop the servers and delete their data, except the oracle bucket'),
  )
    .option('--oracle', 'delete the oracle bucket too')
    .action(async (flags: StackFlags & { oracle?: boolean }) => {
      await stackNamed(flags).reset(flags.oracle === true);
      const oracle = flags.oracle === true ? 'the oracle bucket included' : 'the oracle bucket kept';
      process.stderr.write(`  stack "${stackName(flags)}" is stopped and its data deleted, ${oracle}\n`);
    });

  withName(stack.command('env').description("Print the running stack's settings as shell exports")).action(
    (flags: StackFlags) => {
      const environment = publishedEnvironment(new StackFolder(stackName(flags)));
      if (environment === undefined) throw notRunning(stackName(flags));
      process.stdout.write(shellExports(environment));
    },
  );

  withName(stack.command('logs').description("Show the end of the servers' logs").argument('[server]'))
    .option('-f, --follow', 'keep printing as they grow')
    .option('-n, --lines <count>', 'lines of each log', '20')
    .action(async (server: string | undefined, flags: StackFlags & { follow?: boolean; lines: string }) => {
      await showLogs(stackNamed(flags), server, flags.follow === true, Number(flags.lines));
    });
}

function registerUp(stack: Command): void {
  withUpFlags(
    stack.command('up').description('Start the servers that do not run and wait until all are healthy'),
  ).action(async (flags: UpFlags) => {
    await stackNamed(flags).up(upOptions(flags));
    process.stderr.write(`  stack "${stackName(flags)}" is up; its settings: fp stack env\n`);
  });
}

function registerExec(stack: Command): void {
  withUpFlags(stack.command('exec').description('Bring a stack up and run a command with its settings'))
    .option('--fresh', 'start from nothing, and afterwards stop the stack and delete its data')
    .argument('<command...>', 'the command, after --')
    .action(async (command: [string, ...string[]], flags: UpFlags & { fresh?: boolean }) => {
      const fresh = flags.fresh === true;
      if (fresh && stackName(flags) === DEFAULT_STACK) {
        throw new StackError(
          'INVALID_STACK_NAME',
          '--fresh deletes the stack afterwards: name one other than "default" with --name',
        );
      }
      process.exitCode = await execWithStack(stackNamed(flags), command, { ...upOptions(flags), fresh });
    });
}

function withName(command: Command): Command {
  return command.option('--name <name>', `which stack (or FP_STACK; default "${DEFAULT_STACK}")`);
}

function withUpFlags(command: Command): Command {
  withName(command)
    .option('--docker', 'run the servers in containers (or STACK=compose)')
    .option('--native', 'run the servers as processes (or STACK=native)');
  for (const name of PORT_NAMES) {
    const text = `port of ${name} (or ${portVariable(name)}; default stack: ${DEFAULT_PORTS[name]})`;
    command.option(`${portFlag(name)} <port>`, text);
  }
  return command;
}

function upOptions(flags: UpFlags): UpOptions {
  const chosen: Partial<Record<PortName, string>> = {};
  for (const name of PORT_NAMES) {
    const value = flags[`${camelCase(name)}Port`];
    if (value !== undefined) chosen[name] = value;
  }
  const flavour = flags.docker === true ? 'compose' : flags.native === true ? 'native' : process.env['STACK'];
  return { ports: requestedPorts(chosen, process.env), flavour };
}

function camelCase(name: string): string {
  return name.replace(/-(\w)/g, (_match, letter: string) => letter.toUpperCase());
}

function stackName(flags: StackFlags): string {
  return flags.name ?? process.env['FP_STACK'] ?? DEFAULT_STACK;
}

function stackNamed(flags: StackFlags): Stack {
  return new Stack(new StackFolder(stackName(flags)), createProgress());
}

function notRunning(name: string): StackError {
  return new StackError(
    'STACK_NOT_RUNNING',
    `stack "${name}" is not up: start it with fp stack up --name ${name}`,
  );
}

async function showLogs(
  stack: Stack,
  server: string | undefined,
  follow: boolean,
  lines: number,
): Promise<void> {
  if (stack.flavour === 'compose') return stack.composeStack.logs(server, follow, lines);
  if (server !== undefined && !isServerName(server)) {
    throw new StackError(
      'UNKNOWN_SERVER',
      `there is no server "${server}": choose from ${SERVER_NAMES.join(', ')}`,
    );
  }
  const names = server === undefined ? SERVER_NAMES : [server];
  const files = names.map((name) => stack.nativeStack.logOf(name));
  const child = spawn('tail', ['-n', String(lines), ...(follow ? ['-F'] : []), ...files], {
    stdio: ['ignore', 'inherit', 'ignore'],
  });
  await once(child, 'exit');
}

function isServerName(text: string): text is ServerName {
  return (SERVER_NAMES as readonly string[]).includes(text);
}
