import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import test from 'ava';
import { RunLogs } from '../../../lib/telemetry/run-logs.ts';

function folder(t: { teardown(work: () => void): void }): string {
  const root = mkdtempSync(join(tmpdir(), 'run-logs-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  return root;
}

function lines(...path: string[]): Record<string, unknown>[] {
  return readFileSync(join(...path), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("CI-100 a run's lines lie in its own folder, by component and together, with its id on every line", (t) => {
  const root = folder(t);
  const logs = new RunLogs({ root, runField: 'platform_run_id' });
  logs.logger('ingestion_gate', 'run-a').info('admitted');
  logs.logger('scenario_runner', 'run-a').info('ready');
  logs.logger('scenario_runner', 'run-b').info('other');
  logs.close();
  t.deepEqual(
    lines(root, 'run-a', 'platform.log').map((line) => [
      line['component'],
      line['platform_run_id'],
      line['msg'],
    ]),
    [
      ['ingestion_gate', 'run-a', 'admitted'],
      ['scenario_runner', 'run-a', 'ready'],
    ],
  );
  t.is(lines(root, 'run-a', 'scenario_runner', 'scenario_runner.log').length, 1);
  t.is(lines(root, 'run-b', 'platform.log').length, 1);
});

test('CI-100 a secret reaches no line: not as a field, not in a message, not inside an error', (t) => {
  const root = folder(t);
  const secret = 'pass"word-42';
  const logs = new RunLogs({ root, secrets: [secret] });
  const logger = logs.logger('gate', 'run');
  logger.info({ secret_key: 'field-secret', deep: { nested: { password: 'deep-secret' } } }, 'fields');
  logger.error(
    { error: new Error(`connect postgres://user:${secret}@host`).message },
    `failed with ${secret}`,
  );
  logs.close();
  const text = readFileSync(join(root, 'run', 'platform.log'), 'utf8');
  for (const hidden of ['field-secret', 'deep-secret', secret, JSON.stringify(secret).slice(1, -1)]) {
    t.false(text.includes(hidden), hidden);
  }
  t.is(lines(root, 'run', 'platform.log').length, 2);
});

test('a closed run is appended to when it is logged about again', (t) => {
  const root = folder(t);
  const logs = new RunLogs({ root, maxOpenRuns: 1 });
  for (const run of ['a', 'b', 'a']) logs.logger('gate', run).info(run);
  logs.close();
  t.is(lines(root, 'a', 'platform.log').length, 2);
});

test('each destination takes lines from its own level on', (t) => {
  const root = folder(t);
  const seen: string[] = [];
  const stream = new Writable({
    write(chunk: Buffer, _encoding, done) {
      seen.push(String(chunk));
      done();
    },
  });
  const logs = new RunLogs({ root, level: 'info', also: { stream, level: 'warn' } });
  const logger = logs.logger('gate', 'run');
  logger.debug('detail');
  logger.info('news');
  logger.warn('trouble');
  logs.close();
  t.deepEqual(
    lines(root, 'run', 'platform.log').map((line) => line['msg']),
    ['news', 'trouble'],
  );
  t.is(seen.length, 1);
});

test('a name that would leave the folder is refused', (t) => {
  const logs = new RunLogs({ root: folder(t) });
  t.throws(() => logs.logger('gate', '../elsewhere'), { instanceOf: RangeError });
  t.throws(() => logs.logger('..', 'run'), { instanceOf: RangeError });
});
