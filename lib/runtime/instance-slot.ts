/**
 * The instance slot: a small number that only one live process on this machine holds per application and state
 * folder. The transactional.id is made of it, so a restarted process takes its predecessor's id and the broker
 * aborts the predecessor's open transaction at once instead of after its timeout.
 *
 * The lock is a listening socket, which the kernel gives up when the process dies, however it dies.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { join, resolve } from 'node:path';

export interface InstanceSlot {
  readonly number: number;
  /** `<application>-<slot>`, stable over restarts. */
  readonly transactionalId: string;
  release(): Promise<void>;
}

const MOST_SLOTS = 1024;

/** Takes the lowest free slot, or the given one (a StatefulSet's ordinal); throws when that is taken. */
export async function takeInstanceSlot(
  applicationId: string,
  stateDir: string,
  wanted?: number,
): Promise<InstanceSlot> {
  const folder = resolve(stateDir);
  mkdirSync(folder, { recursive: true });
  const first = wanted ?? 0;
  const last = wanted ?? MOST_SLOTS - 1;
  for (let number = first; number <= last; number++) {
    const server = await lock(folder, applicationId, number);
    if (server === null) continue;
    return {
      number,
      transactionalId: `${applicationId}-${number}`,
      release: () => new Promise((done) => server.close(() => done())),
    };
  }
  throw new Error(
    wanted === undefined
      ? `all ${MOST_SLOTS} instance slots of "${applicationId}" in ${folder} are taken`
      : `instance slot ${wanted} of "${applicationId}" in ${folder} is held by another process; stop it or choose another slot`,
  );
}

async function lock(folder: string, applicationId: string, number: number): Promise<Server | null> {
  const name = createHash('sha256')
    .update(`${folder}\n${applicationId}\n${number}`)
    .digest('hex')
    .slice(0, 32);
  if (process.platform === 'linux') return listen(`\0streams-slot-${name}`);
  const path = join(folder, `slot-${name.slice(0, 16)}.sock`);
  const server = await listen(path);
  if (server !== null || (await alive(path))) return server;
  unlinkSync(path);
  return listen(path);
}

function listen(path: string): Promise<Server | null> {
  return new Promise((done, fail) => {
    const server = createServer((socket) => socket.destroy());
    server.unref();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') done(null);
      else fail(error);
    });
    server.listen({ path, exclusive: true }, () => done(server));
  });
}

function alive(path: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      done(true);
    });
    socket.once('error', () => done(false));
  });
}
