/**
 * The lock on a store's folder: one holder at a time among the processes of a machine.
 *
 * On Linux it is a listening socket with an abstract name, which the kernel gives up when the process dies, however
 * it dies. Elsewhere it is a file that names its holder's process and that a dead holder's successor takes over.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export interface StoreLock {
  release(): void;
}

/** Takes the lock of a folder that exists; null when someone, this process included, holds it. */
export function lockFolder(folder: string): StoreLock | null {
  return process.platform === 'linux' ? lockBySocket(folder) : lockByFile(join(folder, 'lock'));
}

function lockBySocket(folder: string): StoreLock | null {
  const name = createHash('sha256').update(folder).digest('hex').slice(0, 32);
  const server = createServer((socket) => socket.destroy());
  server.unref();
  // A name in use is also reported as an event; `listening` says it at once.
  server.on('error', () => undefined);
  server.listen({ path: `\0streams-store-${name}`, exclusive: true });
  if (!server.listening) return null;
  return { release: () => server.close() };
}

function lockByFile(path: string): StoreLock | null {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (alive(Number(readFileSync(path, 'utf8')))) return null;
    rmSync(path);
    return lockByFile(path);
  }
  return { release: () => rmSync(path, { force: true }) };
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
