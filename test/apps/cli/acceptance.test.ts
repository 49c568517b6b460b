import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const CHECK = fileURLToPath(new URL('../../acceptance.mjs', import.meta.url));

test('docs/acceptance.md lists every row with the tests that show it, or with its reason', (t) => {
  const { status, stderr } = spawnSync(process.execPath, [CHECK], { encoding: 'utf8' });
  t.is(status, 0, stderr);
});
