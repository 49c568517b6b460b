import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  RECORD_AND_EXEC,
  isSameProcess,
  parseProcessRecord,
  processStart,
  startFromStat,
} from '../../../apps/dev-stack/provisioning/process-identity.mjs';
import { ServerProcess } from '../../../apps/dev-stack/server-process.ts';

function home(): string {
  return mkdtempSync(join(tmpdir(), 'fp-server-'));
}

test('the start of a process is found behind a command name with spaces and parentheses', (t) => {
  const fields = Array.from({ length: 50 }, (_value, index) => String(index + 3));
  fields[0] = 'S';
  fields[19] = '4711';
  t.is(startFromStat(`12 (a) b (c)) ${fields.join(' ')}`, 'boot'), 'boot/4711');
});

test('a zombie does not count as running', (t) => {
  t.is(startFromStat('12 (sh) Z 1 1', 'boot'), undefined);
});

test('a process that ended, and a pid with another start, are not the same process', async (t) => {
  const child = spawn('sleep', ['60']);
  await once(child, 'spawn');
  const start = processStart(child.pid!);
  t.truthy(start);
  t.true(isSameProcess(child.pid!, start!));
  t.false(isSameProcess(child.pid!, `${start!}0`));
  child.kill('SIGKILL');
  await once(child, 'exit');
  t.false(isSameProcess(child.pid!, start!));
});

test('the recorded identity is that of the command itself, after the shell became it', async (t) => {
  const file = join(home(), 'process');
  const child = spawn('/bin/sh', [
    '-c',
    RECORD_AND_EXEC,
    'sh',
    file,
    'node',
    '-e',
    'console.log(process.pid); setInterval(() => {}, 1e6)',
  ]);
  t.teardown(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const record = parseProcessRecord(readFileSync(file, 'utf8'));
  t.is(record?.pid, Number(said.toString()));
  t.true(isSameProcess(record!.pid, record!.start));
});

for (const text of ['', 'abc\nx', '12', '12\n']) {
  test(`${JSON.stringify(text)} is no process record`, (t) => {
    t.is(parseProcessRecord(text), undefined);
  });
}

test('a server outlives its launcher object and is found again by its folder, then stopped', async (t) => {
  const folder = home();
  await new ServerProcess('sleeper', folder).launch({ command: 'sleep', args: ['60'] });
  const found = new ServerProcess('sleeper', folder);
  t.is(typeof found.pid, 'number');
  await found.stop('SIGTERM', 5_000);
  t.is(found.pid, undefined);
});

test('a server that ignores the polite signal is killed', async (t) => {
  const server = new ServerProcess('stubborn', home());
  await server.launch({
    command: '/bin/sh',
    args: ['-c', 'trap "" TERM; echo ready; while :; do sleep 0.1; done'],
  });
  await server.waitUntil(() => Promise.resolve(readFileSync(server.log, 'utf8').includes('ready')), 5_000);
  await server.stop('SIGTERM', 300);
  t.is(server.pid, undefined);
});

test('a server that dies while starting is reported with the end of its log', async (t) => {
  const server = new ServerProcess('broken', home());
  await server.launch({ command: '/bin/sh', args: ['-c', 'echo cannot bind; exit 1'] });
  const error = await t.throwsAsync(
    server.waitUntil(() => Promise.resolve(false), 10_000),
    { code: 'SERVER_DIED' },
  );
  t.regex(error.message, /broken ended while starting[\s\S]*cannot bind/);
});
