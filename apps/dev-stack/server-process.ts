/**
 * One server as an operating-system process that outlives the command that started it: launched in its own session,
 * known by pid and start time (so a reused pid is never touched), stopped politely and then firmly.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { StackError } from './failure.ts';
import { RECORD_AND_EXEC, isSameProcess, parseProcessRecord } from './provisioning/process-identity.mjs';
import { describeTail } from './provisioning/run-logged.mjs';

const POLL_MS = 50;
const RECORD_DEADLINE_MS = 10_000;
const KILL_DEADLINE_MS = 5_000;

export interface LaunchCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Run as this user; only root may ask for it. */
  readonly user?: { readonly uid: number; readonly gid: number };
}

export class ServerProcess {
  readonly log: string;
  private readonly record: string;

  /**
   * @param server its name, for messages
   * @param home a folder that the server's user can write to
   */
  constructor(
    readonly server: string,
    readonly home: string,
  ) {
    this.log = join(home, 'server.log');
    this.record = join(home, 'process');
  }

  /** The pid of the live server process; undefined if it does not run. */
  get pid(): number | undefined {
    const known = this.readRecord();
    return known !== undefined && isSameProcess(known.pid, known.start) ? known.pid : undefined;
  }

  /** Starts the server and returns once it is recorded; it may not answer yet. Call only when {@link pid} is undefined. */
  async launch(launch: LaunchCommand): Promise<void> {
    mkdirSync(this.home, { recursive: true });
    rmSync(this.record, { force: true });
    const log = openSync(this.log, 'a', 0o600);
    const child = spawn(
      '/bin/sh',
      ['-c', RECORD_AND_EXEC, 'sh', this.record, launch.command, ...launch.args],
      {
        cwd: this.home,
        detached: true,
        stdio: ['ignore', log, log],
        env: { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: 'C.UTF-8', ...launch.env },
        ...launch.user,
      },
    );
    closeSync(log);
    const failed = new Promise<never>((_resolve, reject) => child.once('error', reject));
    failed.catch(() => undefined);
    child.unref();
    await Promise.race([failed, this.recorded()]);
  }

  private async recorded(): Promise<void> {
    const deadline = Date.now() + RECORD_DEADLINE_MS;
    while (!existsSync(this.record)) {
      if (Date.now() > deadline) {
        throw new StackError('SERVER_DIED', `${this.server} did not start; ${describeTail(this.log)}`);
      }
      await sleep(POLL_MS);
    }
  }

  /**
   * Waits until `isHealthy` says so.
   *
   * @throws StackError SERVER_DIED if the process ends first, SERVER_NOT_HEALTHY after `deadlineMs`; both show the log's end
   */
  async waitUntil(isHealthy: () => Promise<boolean>, deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    while (!(await isHealthy())) {
      if (this.pid === undefined) {
        throw new StackError('SERVER_DIED', `${this.server} ended while starting; ${describeTail(this.log)}`);
      }
      if (Date.now() > deadline) {
        throw new StackError(
          'SERVER_NOT_HEALTHY',
          `${this.server} (process ${this.pid}) did not become healthy within ${deadlineMs / 1000} s; ${describeTail(this.log)}`,
        );
      }
      await sleep(POLL_MS);
    }
  }

  /**
   * Ends the server: `signal`, and SIGKILL if it still runs after `graceMs`. Returns when the process is gone.
   *
   * @throws StackError SERVER_WILL_NOT_STOP
   */
  async stop(signal: NodeJS.Signals, graceMs: number): Promise<void> {
    const known = this.readRecord();
    if (known !== undefined) {
      const gone =
        (await signalAndWait(known, signal, graceMs)) ||
        (await signalAndWait(known, 'SIGKILL', KILL_DEADLINE_MS));
      if (!gone) {
        throw new StackError(
          'SERVER_WILL_NOT_STOP',
          `${this.server} (process ${known.pid}) ignores SIGKILL: it may hang in a disk access; try again later`,
        );
      }
    }
    rmSync(this.record, { force: true });
  }

  private readRecord(): { readonly pid: number; readonly start: string } | undefined {
    try {
      return parseProcessRecord(readFileSync(this.record, 'utf8'));
    } catch {
      return undefined;
    }
  }
}

async function signalAndWait(
  known: { readonly pid: number; readonly start: string },
  signal: NodeJS.Signals,
  deadlineMs: number,
): Promise<boolean> {
  if (!isSameProcess(known.pid, known.start)) return true;
  try {
    process.kill(known.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return true;
    throw error;
  }
  const deadline = Date.now() + deadlineMs;
  while (isSameProcess(known.pid, known.start)) {
    if (Date.now() > deadline) return false;
    await sleep(POLL_MS);
  }
  return true;
}
