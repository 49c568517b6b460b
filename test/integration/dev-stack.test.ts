/** The stack commands against real servers, in stacks of their own beside the one the other tests use. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'minio';
import pg from 'pg';
import test from 'ava';
import { publishedEnvironment, type StackEnvironment } from '../../apps/dev-stack/environment.ts';
import { NativeStack } from '../../apps/dev-stack/native-stack.ts';
import { isPortFree, rememberedPorts } from '../../apps/dev-stack/ports.ts';
import { createProgress } from '../../apps/dev-stack/provisioning/progress.mjs';
import { postgresHome } from '../../apps/dev-stack/servers/postgres.ts';
import { Stack } from '../../apps/dev-stack/stack.ts';
import { REPOSITORY, StackFolder } from '../../apps/dev-stack/stack-folder.ts';

const suffix = randomBytes(3).toString('hex');
const blue = stackNamed(`it-blue-${suffix}`);
const green = stackNamed(`it-green-${suffix}`);

function stackNamed(name: string): Stack {
  return new Stack(
    new StackFolder(name),
    createProgress(() => undefined),
  );
}

function startCli(...args: string[]): ChildProcess {
  return spawn(process.execPath, [join(REPOSITORY, 'apps', 'cli', 'fp.mjs'), 'stack', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, STACK: 'native' },
  });
}

async function cli(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = startCli(...args);
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

async function waitFor(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`timed out waiting for ${what}`);
    await sleep(20);
  }
}

async function pids(stack: Stack): Promise<Record<string, number | undefined>> {
  const status = await new NativeStack(
    stack.folder,
    createProgress(() => undefined),
  ).status();
  return Object.fromEntries(status.map(({ server, pid }) => [server, pid]));
}

/** Every process, of whatever parent, that works in the stack's folders: each server is started in its own. */
function processesOf(stack: Stack): string[] {
  const homes = [stack.folder.path, postgresHome(stack.folder)];
  return readdirSync('/proc').filter((entry) => {
    try {
      const folder = readlinkSync(`/proc/${entry}/cwd`);
      return homes.some((home) => folder.startsWith(home));
    } catch {
      return false;
    }
  });
}

function environmentOf(stack: Stack): StackEnvironment {
  const environment = publishedEnvironment(stack.folder);
  if (environment === undefined) throw new Error(`stack ${stack.folder.name} is not up`);
  return environment;
}

function objectStore(environment: StackEnvironment, identity: 'runtime' | 'oracle'): Client {
  const endpoint = new URL(environment.S3_ENDPOINT);
  const [accessKey, secretKey] =
    identity === 'runtime'
      ? [environment.S3_ACCESS_KEY, environment.S3_SECRET_KEY]
      : [environment.ORACLE_S3_ACCESS_KEY, environment.ORACLE_S3_SECRET_KEY];
  return new Client({
    endPoint: endpoint.hostname,
    port: Number(endpoint.port),
    useSSL: false,
    accessKey,
    secretKey,
  });
}

test.after.always(async () => {
  await Promise.all([blue.destroy(), green.destroy()]);
});

test.serial(
  'a command killed while the servers start loses none of them: the next one finishes the job',
  async (t) => {
    t.timeout(180_000);
    const killed = startCli('up', '--name', blue.folder.name);
    await waitFor('the broker process', () => existsSync(join(blue.folder.serverFolder('kafka'), 'process')));
    killed.kill('SIGKILL');
    await once(killed, 'close');
    t.is(publishedEnvironment(blue.folder), undefined);
    const { kafka } = await pids(blue);

    const second = await cli('up', '--name', blue.folder.name);
    t.is(second.code, 0, second.output);
    const after = await pids(blue);
    t.is(after['kafka'], kafka);
    t.true((await blue.status()).every(({ state }) => state === 'running'));
  },
);

test.serial('bringing up a running stack again changes nothing', async (t) => {
  const [before, environment] = [await pids(blue), environmentOf(blue)];
  const again = await cli('up', '--name', blue.folder.name);
  t.is(again.code, 0, again.output);
  t.deepEqual(await pids(blue), before);
  t.deepEqual(environmentOf(blue), environment);
});

test.serial('the published settings open the database, as a role that is no superuser', async (t) => {
  const client = new pg.Client({ connectionString: environmentOf(blue).POSTGRES_DSN });
  await client.connect();
  const answer = await client.query<{ rolsuper: boolean }>(
    'select rolsuper from pg_roles where rolname = current_user',
  );
  await client.end();
  t.false(answer.rows[0]!.rolsuper);
});

test.serial(
  'services read the oracle bucket and cannot write or delete in it; the oracle writer cannot touch the platform',
  async (t) => {
    const runtime = objectStore(environmentOf(blue), 'runtime');
    const oracle = objectStore(environmentOf(blue), 'oracle');
    await oracle.putObject('oracle-store', 'world/a', 'sealed');
    await runtime.putObject('fraud-platform', 'run/a', 'receipt');

    t.is((await runtime.statObject('oracle-store', 'world/a')).size, 6);
    await t.throwsAsync(runtime.putObject('oracle-store', 'world/b', 'forged'), { code: 'AccessDenied' });
    await t.throwsAsync(runtime.putObject('oracle-store', 'world/a', 'forged'), { code: 'AccessDenied' });
    await t.throwsAsync(runtime.removeObject('oracle-store', 'world/a'), { code: 'AccessDenied' });
    await t.throwsAsync(oracle.putObject('fraud-platform', 'run/b', 'x'), { code: 'AccessDenied' });
  },
);

test.serial(
  'a second stack runs beside the first; an interrupted exec --fresh removes it and nothing else',
  async (t) => {
    t.timeout(180_000);
    const before = await pids(blue);
    const script =
      'console.log(`saw ${process.env.FP_STACK} at ${process.env.S3_ENDPOINT}`); setInterval(() => {}, 1e6)';
    const child = startCli(
      'exec',
      '--fresh',
      '--name',
      green.folder.name,
      '--',
      process.execPath,
      '-e',
      script,
    );
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await waitFor('the command in the second stack', () => output.includes('\n'));
    t.is(output, `saw ${green.folder.name} at ${environmentOf(green).S3_ENDPOINT}\n`);
    const [bluePorts, greenPorts] = [rememberedPorts(blue.folder)!, rememberedPorts(green.folder)!];
    t.is(new Set([...Object.values(bluePorts), ...Object.values(greenPorts)]).size, 12);
    t.true((await green.status()).every(({ state }) => state === 'running'));

    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    t.is(code, 130);
    t.deepEqual(processesOf(green), []);
    t.false(existsSync(green.folder.path));
    t.deepEqual(await pids(blue), before);
  },
);

test.serial('exec passes the exit code on', async (t) => {
  const { code, output } = await cli(
    'exec',
    '--name',
    blue.folder.name,
    '--',
    process.execPath,
    '-e',
    'process.exit(7)',
  );
  t.is(code, 7, output);
});

test.serial(
  'reset deletes what the platform stored and keeps the oracle bucket and its identities',
  async (t) => {
    t.timeout(180_000);
    const clusterOf = () =>
      readFileSync(join(blue.folder.serverFolder('kafka'), 'data', 'meta.properties'), 'utf8');
    const cluster = clusterOf();
    const reset = await cli('reset', '--name', blue.folder.name);
    t.is(reset.code, 0, reset.output);
    t.deepEqual(processesOf(blue), []);

    const up = await cli('up', '--name', blue.folder.name);
    t.is(up.code, 0, up.output);
    t.not(clusterOf(), cluster);
    const runtime = objectStore(environmentOf(blue), 'runtime');
    t.is((await runtime.statObject('oracle-store', 'world/a')).size, 6);
    await t.throwsAsync(runtime.statObject('fraud-platform', 'run/a'), { code: 'NotFound' });
    await t.throwsAsync(runtime.putObject('oracle-store', 'world/b', 'forged'), { code: 'AccessDenied' });
  },
);

test.serial('down leaves no process, no used port, and no settings; status says so', async (t) => {
  const ports = rememberedPorts(blue.folder)!;
  t.is((await cli('status', '--name', blue.folder.name)).code, 0);
  const down = await cli('down', '--name', blue.folder.name);
  t.is(down.code, 0, down.output);
  t.deepEqual(processesOf(blue), []);
  for (const port of [ports.kafka, ports.registry, ports.s3, ports.postgres]) {
    t.true(await isPortFree(port), `port ${port} is still in use`);
  }
  t.is((await cli('status', '--name', blue.folder.name)).code, 3);
  const env = await cli('env', '--name', blue.folder.name);
  t.is(env.code, 1);
  t.regex(env.output, /fp stack up --name/);
});
