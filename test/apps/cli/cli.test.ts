import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import test from 'ava';
import { registerCommands, type CommandSource } from '../../../apps/cli/command-modules.ts';
import { loadEnvironment } from '../../../apps/cli/environment.ts';
import { describeFailure } from '../../../apps/cli/failure-report.ts';
import { TapCounter } from '../../tap-counter.mjs';

function checkout(localFile: string | undefined, stacks: Readonly<Record<string, object>>): string {
  const root = mkdtempSync(join(tmpdir(), 'fp-checkout-'));
  if (localFile !== undefined) writeFileSync(join(root, '.env.platform.local'), localFile);
  for (const [name, environment] of Object.entries(stacks)) {
    const folder = join(root, '.fp', 'stacks', name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'env.json'), JSON.stringify(environment));
  }
  return root;
}

test('the shell wins over the local file, and the local file over the running stack', (t) => {
  const root = checkout('A=file\nB="file"\n# comment\n', { default: { A: 'stack', B: 'stack', C: 'stack' } });
  const env: NodeJS.ProcessEnv = { A: 'shell' };
  loadEnvironment(env, root);
  t.deepEqual(env, { A: 'shell', B: 'file', C: 'stack' });
});

test('a variable set to nothing is filled', (t) => {
  const env: NodeJS.ProcessEnv = { A: '' };
  loadEnvironment(env, checkout('A=file', {}));
  t.is(env['A'], 'file');
});

test('FP_STACK, in the shell or the local file, names the stack whose settings are used', (t) => {
  const stacks = { default: { A: 'default' }, blue: { A: 'blue' } };
  const fromShell: NodeJS.ProcessEnv = { FP_STACK: 'blue' };
  loadEnvironment(fromShell, checkout(undefined, stacks));
  t.is(fromShell['A'], 'blue');
  const fromFile: NodeJS.ProcessEnv = {};
  loadEnvironment(fromFile, checkout('FP_STACK=blue', stacks));
  t.is(fromFile['A'], 'blue');
});

test('without a local file and a running stack nothing is added', (t) => {
  const env: NodeJS.ProcessEnv = {};
  loadEnvironment(env, checkout(undefined, {}));
  t.deepEqual(env, {});
});

function source(name: string, loads: string[]): CommandSource {
  return {
    commands: [name],
    load: () => {
      loads.push(name);
      return Promise.resolve({ register: (program: Command) => void program.command(name) });
    },
  };
}
const broken: CommandSource = { commands: ['broken'], load: () => Promise.reject(new Error('syntax')) };

test('only the module of the command that was asked for is loaded', async (t) => {
  const loads: string[] = [];
  await registerCommands(new Command(), 'b', [source('a', loads), source('b', loads), broken]);
  t.deepEqual(loads, ['b']);
});

test('help lists what loads and reports what does not', async (t) => {
  const program = new Command();
  const failures = await registerCommands(program, undefined, [source('a', []), broken, source('c', [])]);
  t.deepEqual(
    program.commands.map((command) => command.name()),
    ['a', 'c'],
  );
  t.deepEqual(
    failures.map(({ commands }) => commands),
    [['broken']],
  );
});

test('a command whose module does not load fails with the reason', async (t) => {
  await t.throwsAsync(registerCommands(new Command(), 'broken', [broken]), { message: 'syntax' });
});

test('a failure is one line with its code and innermost cause; the stack only if asked for', (t) => {
  const cause = new Error('connect ECONNREFUSED 127.0.0.1:1');
  const error = Object.assign(
    new Error('cannot reach the broker', { cause: new Error('request failed', { cause }) }),
    {
      code: 'BROKER_DOWN',
    },
  );
  t.is(
    describeFailure(error, false),
    'cannot reach the broker [BROKER_DOWN]: connect ECONNREFUSED 127.0.0.1:1',
  );
  t.regex(describeFailure(error, true), /at .*cli\.test\.ts[\s\S]*caused by Error: connect ECONNREFUSED/);
});

test('a refused connection to several addresses says which', (t) => {
  const error = new AggregateError([
    new Error('connect ECONNREFUSED ::1:5432'),
    new Error('connect ECONNREFUSED 127.0.0.1:5432'),
  ]);
  t.is(describeFailure(error, false), 'connect ECONNREFUSED ::1:5432; connect ECONNREFUSED 127.0.0.1:5432');
});

test('test results are counted from TAP, and a crash or a skipped test is never a success', (t) => {
  const counted = (lines: readonly string[], exit: number) => {
    const counter = new TapCounter(() => undefined);
    for (const line of lines) counter.push(line);
    return counter.result(exit);
  };
  t.deepEqual(counted(['TAP version 13', 'ok 1 - a', 'ok 2 - b', '1..2'], 0), { passed: 2, failed: 0 });
  t.deepEqual(counted(['ok 1 - a', 'not ok 2 - b', '  ---'], 1), { passed: 1, failed: 1 });
  t.deepEqual(counted(['ok 1 - a'], 1), { passed: 1, failed: 1 });
  t.deepEqual(counted(['ok 1 - a # SKIP'], 0), { passed: 0, failed: 1 });
});
