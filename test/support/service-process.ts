/**
 * A program under test in a process of its own: it can be killed, paused and ended, and its log can be waited for. It
 * holds a pipe to this process, so nothing is left behind when a test run is torn down.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { eventually, type Patience } from './eventually.ts';

const MOST_LOG_CHARACTERS = 256 * 1024;
const TAIL_CHARACTERS = 3000;
const STOP_PATIENCE_MS = 12_000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class ServiceProcess {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #exited: Promise<Exit>;
  #exit: Exit | null = null;
  #log = '';
  /** Set when this side ends the process, so that its end is no surprise. */
  #expected = false;

  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string | undefined>>) {
    this.name = name;
    this.#child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env });
    for (const stream of [this.#child.stdout!, this.#child.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-MOST_LOG_CHARACTERS);
      });
    }
    this.#exited = once(this.#child, 'exit').then(([code, signal]) => {
      this.#exit = { code: code as number | null, signal: signal as NodeJS.Signals | null };
      return this.#exit;
    });
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#exit === null;
  }

  /** The last part of what it has written. */
  get log(): string {
    return this.#log;
  }

  /** Throws when the process has ended by itself. */
  check(): void {
    if (this.#exit === null || this.#expected) return;
    const how = this.#exit.signal ?? `exit code ${String(this.#exit.code)}`;
    throw new Error(`${this.name} has ended by itself (${how}); its log ends:\n${this.tail()}`);
  }

  tail(): string {
    return this.#log.slice(-TAIL_CHARACTERS);
  }

  /** Waits for a line of its log. */
  async logged(pattern: RegExp, patience: Patience = {}): Promise<void> {
    await eventually(
      `${this.name} logs ${String(pattern)}`,
      () => pattern.test(this.#log),
      { check: () => this.check(), ...patience },
      () => `its log ends:\n${this.tail()}`,
    );
  }

  /** Sends a signal without waiting: SIGSTOP, SIGCONT. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** kill -9. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#expected = true;
    this.#child.kill('SIGKILL');
    await this.#exited;
  }

  /** Waits for an end that the process makes itself. */
  async ended(deadlineMs = 60_000): Promise<Exit> {
    this.#expected = true;
    return eventually(
      `${this.name} ends`,
      () => this.#exit,
      { deadlineMs },
      () => `its log ends:\n${this.tail()}`,
    );
  }

  /** SIGTERM; answers how it ended and after how many milliseconds. One that does not listen is killed. */
  async terminate(): Promise<Exit & { readonly ms: number }> {
    this.#expected = true;
    const started = performance.now();
    this.#child.kill('SIGTERM');
    const force = setTimeout(() => this.#child.kill('SIGKILL'), STOP_PATIENCE_MS);
    const exit = await this.#exited;
    clearTimeout(force);
    return { ...exit, ms: performance.now() - started };
  }

  /** For clean-up: stops it however it is, paused or not. */
  async dispose(): Promise<void> {
    if (!this.running) return;
    this.#child.kill('SIGCONT');
    await this.terminate();
  }
}
