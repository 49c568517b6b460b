/**
 * The ports of a stack. The default stack has fixed ones; any other stack picks free ones and remembers them. All lie below
 * the ephemeral range, where an outgoing connection could take a port between our check and the server's bind.
 */
import { createServer } from 'node:net';
import { StackError } from './failure.ts';
import { DEFAULT_STACK, type StackFolder } from './stack-folder.ts';

export const LOOPBACK = '127.0.0.1';

/** In the order in which they are offered as flags: `--kafka-port`, `FP_KAFKA_PORT`, … */
export const PORT_NAMES = ['kafka', 'kafka-controller', 'registry', 's3', 'postgres', 'lag-console'] as const;
export type PortName = (typeof PORT_NAMES)[number];
export type Ports = Readonly<Record<PortName, number>>;

export const DEFAULT_PORTS: Ports = {
  kafka: 27192,
  'kafka-controller': 27193,
  registry: 27181,
  s3: 27190,
  postgres: 27132,
  'lag-console': 27180,
};

const PICKED_FIRST = 21_000;
const PICKED_LAST = 26_999;
const PORTS_FILE = 'ports.json';

export function portFlag(name: PortName): string {
  return `--${name}-port`;
}

export function portVariable(name: PortName): string {
  return `FP_${name.toUpperCase().replaceAll('-', '_')}_PORT`;
}

/**
 * Ports chosen by flag, else by environment variable.
 *
 * @throws StackError INVALID_PORT
 */
export function requestedPorts(
  flags: Readonly<Partial<Record<PortName, string>>>,
  env: NodeJS.ProcessEnv,
): Partial<Ports> {
  const requested: Partial<Record<PortName, number>> = {};
  for (const name of PORT_NAMES) {
    const text = flags[name] ?? env[portVariable(name)];
    if (text !== undefined && text !== '') requested[name] = parsePort(text, name);
  }
  return requested;
}

function parsePort(text: string, name: PortName): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new StackError(
    'INVALID_PORT',
    `${portFlag(name)} (${portVariable(name)}) is "${text}": give a number from 1 to 65535`,
  );
}

export function rememberedPorts(folder: StackFolder): Ports | undefined {
  return folder.read(PORTS_FILE) as Ports | undefined;
}

/**
 * The stack's ports: requested ones first, then remembered ones, then fixed (default stack) or freshly picked ones. A
 * remembered port of a stopped, picked stack that someone else uses by now is picked again. Remembers the result.
 *
 * @param running the stack has live servers, so its ports are in use by itself and must stay
 * @throws StackError PORTS_CHANGED_WHILE_RUNNING
 */
export async function settlePorts(
  folder: StackFolder,
  requested: Partial<Ports>,
  running: boolean,
  isFree = isPortFree,
): Promise<Ports> {
  const remembered = rememberedPorts(folder);
  if (running && remembered !== undefined) return unchangedPorts(folder, remembered, requested);
  const taken = new Set(folder.siblings().flatMap((other) => Object.values(rememberedPorts(other) ?? {})));
  for (const port of Object.values(requested)) taken.add(port);
  const settled: Partial<Record<PortName, number>> = {};
  for (const name of PORT_NAMES) {
    const known =
      requested[name] ?? (folder.name === DEFAULT_STACK ? DEFAULT_PORTS[name] : remembered?.[name]);
    const reusable = known !== undefined && (isFixed(folder, requested, name) || (await isFree(known)));
    settled[name] = reusable ? known : await pickPort(taken, isFree);
    taken.add(settled[name]);
  }
  folder.write(PORTS_FILE, settled);
  return settled as Ports;
}

function isFixed(folder: StackFolder, requested: Partial<Ports>, name: PortName): boolean {
  return folder.name === DEFAULT_STACK || requested[name] !== undefined;
}

function unchangedPorts(folder: StackFolder, remembered: Ports, requested: Partial<Ports>): Ports {
  for (const name of PORT_NAMES) {
    const wanted = requested[name];
    if (wanted !== undefined && wanted !== remembered[name]) {
      throw new StackError(
        'PORTS_CHANGED_WHILE_RUNNING',
        `stack "${folder.name}" runs with ${name} port ${remembered[name]}, not ${wanted}: ` +
          `stop it first (fp stack down --name ${folder.name}), then start it with the new port`,
      );
    }
  }
  return remembered;
}

async function pickPort(
  taken: ReadonlySet<number>,
  isFree: (port: number) => Promise<boolean>,
): Promise<number> {
  const span = PICKED_LAST - PICKED_FIRST + 1;
  const start = Math.floor(Math.random() * span);
  for (let step = 0; step < span; step++) {
    const port = PICKED_FIRST + ((start + step) % span);
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new StackError(
    'PORT_IN_USE',
    `no free port between ${PICKED_FIRST} and ${PICKED_LAST}: stop other stacks`,
  );
}

/** @throws StackError PORT_IN_USE, naming the port, who needs it, and how to choose another */
export async function requireFreePort(
  folder: StackFolder,
  name: PortName,
  port: number,
  isFree = isPortFree,
): Promise<void> {
  if (await isFree(port)) return;
  throw new StackError(
    'PORT_IN_USE',
    `port ${port} on ${LOOPBACK} is in use by another program, and stack "${folder.name}" needs it for ${name}: ` +
      `free it, or choose another with ${portFlag(name)} N (or ${portVariable(name)}=N)`,
  );
}

export async function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, LOOPBACK, () => probe.close(() => resolve(true)));
  });
}
