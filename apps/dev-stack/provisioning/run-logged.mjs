/** Runs a build tool with its output in a log file; a failure shows the end of that log. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';

const TAIL_LINES = 25;

/**
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ log: string, cwd?: string, env?: NodeJS.ProcessEnv, uid?: number, gid?: number }} options the log is overwritten
 * @returns {Promise<void>} rejects with the command, its exit code and the log's tail
 */
export function runLogged(command, args, options) {
  mkdirSync(dirname(options.log), { recursive: true });
  const { log: path, ...spawnOptions } = options;
  const log = openSync(path, 'w');
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      ...spawnOptions,
      stdio: ['ignore', log, log],
    });
    child.once('error', (error) => {
      closeSync(log);
      reject(new Error(`cannot start ${command}: ${error.message}`));
    });
    child.once('exit', (code, signal) => {
      closeSync(log);
      if (code === 0) resolve();
      else
        reject(
          new Error(
            `${command} ${args[0] ?? ''} ended with ${signal ?? `exit code ${code}`}; ${describeTail(options.log)}`,
          ),
        );
    });
  });
}

/** @param {string} path */
export function describeTail(path) {
  return `the end of ${path}:\n${tail(path)}`;
}

/**
 * @param {string} path
 * @param {number} [lines]
 */
export function tail(path, lines = TAIL_LINES) {
  try {
    return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '(no log was written)';
  }
}
