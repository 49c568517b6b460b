import { mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import test from 'ava';
import {
  publishEnvironment,
  publishedEnvironment,
  shellExports,
  stackEnvironment,
  withdrawEnvironment,
} from '../../../apps/dev-stack/environment.ts';
import { DEFAULT_PORTS } from '../../../apps/dev-stack/ports.ts';
import { StackFolder } from '../../../apps/dev-stack/stack-folder.ts';

function folder(name = 'blue'): StackFolder {
  return new StackFolder(name, mkdtempSync(join(tmpdir(), 'fp-stacks-')));
}

for (const name of ['', 'Blue', '../blue', '-blue', 'a'.repeat(41), 'a b']) {
  test(`"${name}" is refused as a stack name`, (t) => {
    t.throws(() => new StackFolder(name), { code: 'INVALID_STACK_NAME' });
  });
}

test('credentials are generated once per stack, differ between stacks, and only their owner may read them', (t) => {
  const [blue, green] = [folder('blue'), folder('green')];
  t.deepEqual(blue.credentials(), blue.credentials());
  const values = [blue, green].flatMap((each) => Object.values<string>({ ...each.credentials() }));
  t.is(new Set(values).size, values.length);
  t.is(statSync(join(blue.path, 'credentials.json')).mode & 0o777, 0o600);
});

test('a file that was cut short counts as missing', (t) => {
  const blue = folder();
  blue.create();
  writeFileSync(join(blue.path, 'ports.json'), '{"kafka": 27');
  t.is(blue.read('ports.json'), undefined);
});

test('the published environment is private, and gone once withdrawn', (t) => {
  const blue = folder();
  const environment = stackEnvironment(DEFAULT_PORTS, blue.credentials(), 'http://127.0.0.1:27181');
  publishEnvironment(blue, environment);
  t.deepEqual(publishedEnvironment(blue), environment);
  t.is(statSync(join(blue.path, 'env.json')).mode & 0o777, 0o600);
  withdrawEnvironment(blue);
  t.is(publishedEnvironment(blue), undefined);
});

test('a shell that evaluates the exports has every value unchanged, quotes and all', (t) => {
  const environment = {
    ...stackEnvironment(DEFAULT_PORTS, folder().credentials(), 'http://127.0.0.1:27181'),
    S3_SECRET_KEY: `it's "$HOME" \`id\``,
  };
  const script = `${shellExports(environment)}env -0`;
  const answer = spawnSync('/bin/sh', ['-c', script], { encoding: 'utf8', env: {} });
  const lines = new Set(answer.stdout.split('\0'));
  for (const [name, value] of Object.entries(environment)) t.true(lines.has(`${name}=${value}`));
});
