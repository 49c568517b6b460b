/**
 * A disk store's folder: its lock, whom its files belong to, and whether they may be trusted.
 *
 * `store.json` says who wrote the files and in which state they were left. Files are trusted when they were closed
 * and have not changed since, or when their writer died but the machine has not been restarted since (the operating
 * system then has every write of it) and all of them prove readable. Anything else is wiped: the changelog has it.
 */
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { lockFolder, type StoreLock } from './store-lock.ts';

/** Who files belong to. A difference in any of these wipes them. */
export interface StoreIdentity {
  readonly application: string;
  readonly store: string;
  readonly partition: number;
  /** The kind of store. */
  readonly type: string;
  /** The application's own version of what its serdes write. */
  readonly formatVersion: number;
}

/** Why files were wiped instead of trusted. */
export type WipeReason =
  /** They are not a store's files, or those of another version of this library. */
  | 'UNKNOWN_FORMAT'
  /** They belong to another application, store or partition, or to another version of its serdes. */
  | 'OTHER_OWNER'
  /** Their writer died, and so did the machine: what the disk has of its writes is not known. */
  | 'UNCLEAN_AFTER_RESTART'
  /** The last process to open them died of it. */
  | 'DIED_WHILE_OPENING'
  /** They are not as they were closed. */
  | 'CHANGED_WHILE_CLOSED'
  /** They cannot be read to the end, or what they say does not match its checksum. */
  | 'CORRUPTED';

/** A store's folder cannot be used now. */
export class StoreLockedError extends Error {
  override readonly name = 'StoreLockedError';
}

interface StoreFile {
  readonly format: number;
  readonly identity: StoreIdentity;
  readonly state: 'opening' | 'open' | 'closed';
  /** The machine's start that the state was written in; empty where the system does not say. */
  readonly boot: string;
  /** Size and modification time of the data file when it was closed. */
  readonly size: number;
  readonly modified: string;
}

const FORMAT = 1;
const DATA = 'data.mdb';

export class StoreDirectory {
  readonly dataPath: string;
  /** What opening has to find out: nothing, or whether every entry can be read (its writer died). */
  readonly mustVerify: boolean;
  /** Why what was here has been wiped; null when it was trusted, or when nothing was here. */
  readonly wiped: WipeReason | null;
  readonly #path: string;
  readonly #identity: StoreIdentity;
  readonly #lock: StoreLock;

  /** Locks the folder, making it if it is not there. Throws StoreLockedError when another process has it. */
  constructor(path: string, identity: StoreIdentity) {
    mkdirSync(path, { recursive: true });
    this.#path = realpathSync(path);
    this.#identity = identity;
    this.dataPath = join(this.#path, DATA);
    const lock = lockFolder(this.#path);
    if (lock === null) {
      throw new StoreLockedError(
        `the folder ${this.#path} of store "${identity.store}" is in use by another owner of the same task; ` +
          'wait until it has closed, stop it, or give each instance its own stateDir',
      );
    }
    this.#lock = lock;
    try {
      const found = this.#read();
      this.wiped = found === null ? null : this.#distrust(found);
      this.mustVerify = found !== null && found !== 'unreadable' && found.state === 'open';
      if (this.wiped !== null || found === null) this.clear();
      this.#write('opening');
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** The files are open and proven: from now on it takes a restart of the machine to make them doubtful. */
  opened(): void {
    this.#write('open');
  }

  /** Removes the data file, which must be closed. */
  clear(): void {
    rmSync(this.dataPath, { force: true });
    rmSync(`${this.dataPath}-lock`, { force: true });
  }

  /** The data file is closed and complete: makes it durable, says so, and gives the folder up. */
  close(): void {
    const file = openSync(this.dataPath, 'r+');
    fsyncSync(file);
    closeSync(file);
    this.#write('closed');
    this.release();
  }

  /** Gives the folder up as it is. */
  release(): void {
    this.#lock.release();
  }

  #read(): StoreFile | 'unreadable' | null {
    let text: string;
    try {
      text = readFileSync(join(this.#path, 'store.json'), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      return JSON.parse(text) as StoreFile;
    } catch {
      return 'unreadable';
    }
  }

  #distrust(found: StoreFile | 'unreadable'): WipeReason | null {
    if (found === 'unreadable' || found.format !== FORMAT) return 'UNKNOWN_FORMAT';
    if (JSON.stringify(found.identity) !== JSON.stringify(ordered(this.#identity))) return 'OTHER_OWNER';
    if (found.state === 'opening') return 'DIED_WHILE_OPENING';
    if (found.state === 'open' && (found.boot === '' || found.boot !== bootId()))
      return 'UNCLEAN_AFTER_RESTART';
    if (found.state === 'closed') {
      const { size, modified } = measured(this.dataPath);
      if (size !== found.size || modified !== found.modified) return 'CHANGED_WHILE_CLOSED';
    }
    return complete(this.dataPath) ? null : 'CORRUPTED';
  }

  /** Replaces store.json so that a crash leaves the old one or the new one. */
  #write(state: StoreFile['state']): void {
    const content: StoreFile = {
      format: FORMAT,
      identity: ordered(this.#identity),
      state,
      boot: bootId(),
      ...measured(this.dataPath),
    };
    const path = join(this.#path, 'store.json');
    const file = openSync(`${path}.new`, 'w');
    writeSync(file, JSON.stringify(content));
    // "open" is worth less than "opening": should the machine lose it, the files are wiped either way.
    if (state !== 'open') fsyncSync(file);
    closeSync(file);
    renameSync(`${path}.new`, path);
    if (state !== 'open') syncFolder(this.#path);
  }
}

/** The identity with its members in one order, to be compared as text. */
function ordered({ application, store, partition, type, formatVersion }: StoreIdentity): StoreIdentity {
  return { application, store, partition, type, formatVersion };
}

function measured(path: string): { size: number; modified: string } {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return { size: Number(found?.size ?? 0), modified: String(found?.mtimeNs ?? 0) };
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return '';
  }
}

function syncFolder(path: string): void {
  if (process.platform === 'win32') return;
  const folder = openSync(path, 'r');
  fsyncSync(folder);
  closeSync(folder);
}

// Where LMDB's two meta pages (the first two of the file) have what is read here.
const MAGIC = 0xbeefc0de;
const MAGIC_AT = 24;
const PAGE_SIZE_AT = 48;
const LAST_PAGE_AT = 144;
const TRANSACTION_AT = 152;
const META_BYTES = 160;

/**
 * Whether the file has every page that its newest meta page knows of. LMDB maps the file into memory and would die
 * of a signal, not throw, on a page that is not there.
 */
function complete(path: string): boolean {
  const size = measured(path).size;
  const first = metaPage(path, 0);
  if (first === null) return false;
  const second = metaPage(path, first.pageSize);
  if (second?.pageSize !== first.pageSize) return false;
  const newest = second.transaction > first.transaction ? second : first;
  return size >= (newest.lastPage + 1) * newest.pageSize;
}

function metaPage(
  path: string,
  at: number,
): { pageSize: number; lastPage: number; transaction: number } | null {
  const page = Buffer.alloc(META_BYTES);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, page, 0, META_BYTES, at) < META_BYTES) return null;
  } finally {
    closeSync(file);
  }
  const pageSize = page.readUInt32LE(PAGE_SIZE_AT);
  const isPageSize = pageSize >= 512 && pageSize <= 65_536 && (pageSize & (pageSize - 1)) === 0;
  if (page.readUInt32LE(MAGIC_AT) !== MAGIC || !isPageSize) return null;
  return {
    pageSize,
    lastPage: Number(page.readBigUInt64LE(LAST_PAGE_AT)),
    transaction: Number(page.readBigUInt64LE(TRANSACTION_AT)),
  };
}
