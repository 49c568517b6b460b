/**
 * The per-user cache of server software, outside any checkout: one folder per product and version, which appears
 * complete or not at all, whoever else builds it at the same time.
 */
import { accessSync, constants, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { withLock } from './lock.mjs';

const APPLICATION = 'kafka-stream-topologies';

/**
 * `FP_CACHE_DIR`, else the XDG cache folder (or `~/.cache`) of this user.
 *
 * @param {NodeJS.ProcessEnv} [env]
 */
export function cacheRoot(env = process.env) {
  return env['FP_CACHE_DIR'] || join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), APPLICATION);
}

/** @param {string} key @param {string} [root] */
export function cachedFolder(key, root = cacheRoot()) {
  return join(root, key);
}

/**
 * The cached folder `key`, built first if it is missing. `build` fills the empty folder it is given; when it returns,
 * the folder gets its final name in one step, so a build that was killed leaves only a draft, removed by the next one.
 *
 * @param {string} key product, version and, for machine code, platform
 * @param {(draft: string, log: string) => Promise<void>} build
 * @param {{ root?: string, onWait?: (pid: number) => void }} [options]
 * @returns {Promise<string>} the folder's path
 */
export async function provideCached(key, build, options = {}) {
  const root = options.root ?? cacheRoot();
  const folder = cachedFolder(key, root);
  if (existsSync(folder)) return folder;
  mkdirSync(root, { recursive: true });
  accessSync(root, constants.W_OK);
  return withLock(
    `${folder}.lock`,
    async () => {
      if (existsSync(folder)) return folder;
      const draft = `${folder}.draft`;
      rmSync(draft, { recursive: true, force: true });
      mkdirSync(draft, { recursive: true });
      await build(draft, join(root, 'logs', `${key}.log`));
      renameSync(draft, folder);
      return folder;
    },
    options,
  );
}
