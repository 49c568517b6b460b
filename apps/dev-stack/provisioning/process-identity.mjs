/**
 * Tells one process from another that later got the same pid: a pid plus the moment the process started.
 * Plain JavaScript without dependencies, because setup runs before `npm ci`.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** @type {string | undefined} */
let bootId;

function currentBoot() {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return bootId;
}

/**
 * When the process started, as an opaque text that no other process with this pid ever has; undefined if no such
 * process runs. A zombie (dead, not yet reaped by its parent) counts as not running.
 *
 * @param {number} pid
 * @returns {string | undefined}
 */
export function processStart(pid) {
  return process.platform === 'linux' ? linuxStart(pid) : posixStart(pid);
}

/** @param {number} pid */
function linuxStart(pid) {
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  return startFromStat(stat, currentBoot());
}

/**
 * Field 2 of /proc/<pid>/stat is the command in parentheses and may hold spaces or parentheses itself, so fields are
 * counted from the last one: state is field 3, the start in clock ticks since boot is field 22 (proc(5)).
 *
 * @param {string} stat
 * @param {string} boot
 */
export function startFromStat(stat, boot) {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  return state === 'Z' || state === 'X' ? undefined : `${boot}/${fields[19]}`;
}

/**
 * A shell script that records its own identity in the file $1 and then becomes the command $2…: the pid file exists
 * before the server does, even if whoever started it dies in between.
 */
export const RECORD_AND_EXEC = `
{ echo $$
  if [ -r /proc/$$/stat ]; then cat /proc/sys/kernel/random/boot_id /proc/$$/stat
  else LC_ALL=C ps -o stat=,lstart= -p $$; fi
} > "$1.draft" && mv "$1.draft" "$1" && shift && exec "$@"`;

/**
 * What {@link RECORD_AND_EXEC} wrote; undefined if it is not such a record.
 *
 * @param {string} text
 * @returns {{ pid: number, start: string } | undefined}
 */
export function parseProcessRecord(text) {
  const [pid = '', second = '', third] = text.trimEnd().split('\n');
  if (!/^\d+$/.test(pid) || second === '') return undefined;
  const start = third === undefined ? startFromPs(second) : startFromStat(third, second);
  return start === undefined ? undefined : { pid: Number(pid), start };
}

/** @param {string} line of `ps -o stat=,lstart=` in the C locale */
function startFromPs(line) {
  const [state = '', ...start] = line.trim().split(/\s+/);
  return state === '' || state.startsWith('Z') ? undefined : start.join(' ');
}

/** @param {number} pid */
function posixStart(pid) {
  try {
    const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return startFromPs(line);
  } catch {
    return undefined;
  }
}

/**
 * @param {number} pid
 * @param {string} start what {@link processStart} said when the process was known
 */
export function isSameProcess(pid, start) {
  return processStart(pid) === start;
}
