import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  DEFAULT_PORTS,
  LOOPBACK,
  isPortFree,
  requestedPorts,
  requireFreePort,
  settlePorts,
} from '../../../apps/dev-stack/ports.ts';
import { DEFAULT_STACK, StackFolder } from '../../../apps/dev-stack/stack-folder.ts';

const allFree = () => Promise.resolve(true);

function stacksRoot(): string {
  return mkdtempSync(join(tmpdir(), 'fp-stacks-'));
}

test('the default stack has fixed ports, even if one is in use', async (t) => {
  const folder = new StackFolder(DEFAULT_STACK, stacksRoot());
  t.deepEqual(await settlePorts(folder, {}, false, () => Promise.resolve(false)), DEFAULT_PORTS);
});

test('another stack picks distinct ports below the ephemeral range and remembers them', async (t) => {
  const folder = new StackFolder('blue', stacksRoot());
  const first = await settlePorts(folder, {}, false, allFree);
  const values = Object.values(first);
  t.is(new Set(values).size, values.length);
  t.true(values.every((port) => port < 32_768));
  t.deepEqual(await settlePorts(folder, {}, false, allFree), first);
});

test('no two stacks of a checkout share a port, even when neither runs', async (t) => {
  const root = stacksRoot();
  const taken = new Set<number>();
  for (const name of ['a', 'b', 'c', 'd']) {
    for (const port of Object.values(await settlePorts(new StackFolder(name, root), {}, false, allFree))) {
      t.false(taken.has(port));
      taken.add(port);
    }
  }
});

test('a remembered port that someone else uses by now is picked again, the others stay', async (t) => {
  const folder = new StackFolder('blue', stacksRoot());
  const first = await settlePorts(folder, {}, false, allFree);
  const second = await settlePorts(folder, {}, false, (port) => Promise.resolve(port !== first.s3));
  t.not(second.s3, first.s3);
  t.deepEqual({ ...second, s3: first.s3 }, first);
});

test('a flag wins over a variable, and both over what is remembered', (t) => {
  const env = { FP_KAFKA_PORT: '30001', FP_LAG_CONSOLE_PORT: '30002' };
  t.deepEqual(requestedPorts({ kafka: '30003' }, env), { kafka: 30_003, 'lag-console': 30_002 });
});

for (const text of ['x', '0', '65536', '-1', '1.5', '1e3']) {
  test(`"${text}" is refused as a port, naming flag and variable`, (t) => {
    const error = t.throws(() => requestedPorts({ s3: text }, {}), { code: 'INVALID_PORT' });
    t.regex(error.message, /--s3-port .*FP_S3_PORT/);
  });
}

test('a running stack keeps its ports, and asking for others says how to change them', async (t) => {
  const folder = new StackFolder('blue', stacksRoot());
  const ports = await settlePorts(folder, {}, false, allFree);
  t.deepEqual(await settlePorts(folder, { kafka: ports.kafka }, true, allFree), ports);
  const error = await t.throwsAsync(settlePorts(folder, { kafka: 1 }, true, allFree), {
    code: 'PORTS_CHANGED_WHILE_RUNNING',
  });
  t.regex(error.message, /fp stack down --name blue/);
});

test('a port in use names the port, who needs it, and the flag that changes it', async (t) => {
  const occupant = createServer();
  await new Promise<void>((resolve) => occupant.listen(0, LOOPBACK, resolve));
  const address = occupant.address();
  if (address === null || typeof address === 'string') throw new Error('no TCP address');
  t.teardown(() => occupant.close());
  t.false(await isPortFree(address.port));
  const folder = new StackFolder('blue', stacksRoot());
  const error = await t.throwsAsync(requireFreePort(folder, 'postgres', address.port), {
    code: 'PORT_IN_USE',
  });
  t.true(error.message.includes(String(address.port)));
  t.regex(error.message, /"blue" needs it for postgres.*--postgres-port N/);
});
