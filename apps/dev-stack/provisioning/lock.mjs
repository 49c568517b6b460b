/**
 * A lock file that survives its owner's death: it names the owner's pid and start, and a waiter takes over from an
 * owner that no longer runs. Used for the per-user cache and for each stack's folder.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, rmdirSync, unlinkSync, writeFileSync, linkSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSameProcess, processStart } from './process-identity.mjs';

const RETRY_MS = 200;

/**
 * Waits until this process holds the lock, runs `work`, and releases the lock whatever happens.
 *
 * @template T
 * @param {string} path of the lock file; its folder is created
 * @param {() => Promise<T>} work
 * @param {{ onWait?: (ownerPid: number) => void }} [options] `onWait` is called once if another process holds it
 * @returns {Promise<T>}
 */
export async function withLock(path, work, options = {}) {
  mkdirSync(dirname(path), { recursive: true });
  const owner = { pid: process.pid, start: processStart(process.pid), nonce: randomUUID() };
  let announced = false;
  while (!tryAcquire(path, owner)) {
    const holder = readOwner(path);
    if (holder !== undefined && !isSameProcess(holder.pid, holder.start)) {
      breakStaleLock(path, holder);
      continue;
    }
    if (holder !== undefined && !announced) {
      announced = true;
      options.onWait?.(holder.pid);
    }
    await sleep(RETRY_MS);
  }
  try {
    return await work();
  } finally {
    if (readOwner(path)?.nonce === owner.nonce) unlinkSync(path);
  }
}

/**
 * The file appears with its full content or not at all: written aside, then linked (link fails if the name exists).
 *
 * @param {string} path
 * @param {object} owner
 */
function tryAcquire(path, owner) {
  const draft = `${path}.${randomUUID()}`;
  writeFileSync(draft, JSON.stringify(owner), { mode: 0o600 });
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(draft);
  }
}

/**
 * @param {string} path
 * @returns {{ pid: number, start: string, nonce: string } | undefined}
 */
function readOwner(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * Only the process that creates the folder named after the dead owner may remove that owner's lock; without it two
 * waiters could both judge it dead and the slower one would remove the faster one's new lock.
 *
 * @param {string} path
 * @param {{ nonce: string }} holder
 */
function breakStaleLock(path, holder) {
  const claim = `${path}.stale-${holder.nonce}`;
  try {
    mkdirSync(claim);
  } catch {
    return;
  }
  try {
    if (readOwner(path)?.nonce === holder.nonce) rmSync(path, { force: true });
  } finally {
    rmdirSync(claim);
  }
}
