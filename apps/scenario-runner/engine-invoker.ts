/**
 * Running the engine: behind an interface, because it may be a program here, a job on a cluster, or a stand-in. The
 * one that ships runs a program, in a process group of its own, with nothing of the platform's environment but what
 * the wiring names.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Readable } from 'node:stream';
import { engineCommand, namesRunId, type EngineCall } from './engine-command.ts';
import type { ReasonCode } from './reason-codes.ts';

export interface EngineExit {
  /** Why it failed; null when it ended well. What it wrote is checked elsewhere. */
  readonly failure: { readonly code: ReasonCode; readonly reason: string } | null;
  /** The end of what it printed, without the values of secrets it was given. */
  readonly stdout: string;
  readonly stderr: string;
}

export interface EngineInvoker {
  /** Whether the engine was told the runner's run id and has to repeat it in its receipt. */
  readonly takesRunId: boolean;
  /**
   * Runs the engine once, until it ends or the signal stops it. A failed engine is an answer; throws a
   * ScenarioRunnerError when it cannot be called at all, and the signal's reason when it was stopped.
   */
  invoke(call: EngineCall, signal: AbortSignal): Promise<EngineExit>;
}

export interface SubprocessEngineOptions {
  /** Words with `{placeholders}`. */
  readonly command: readonly string[];
  /** Names of variables the engine may see besides PATH, HOME, LANG, TZ and TMPDIR. */
  readonly environment: readonly string[];
  readonly timeoutMs: number;
  /** What the variables are taken from. */
  readonly env?: NodeJS.ProcessEnv;
}

const ALWAYS_VISIBLE = ['PATH', 'HOME', 'LANG', 'TZ', 'TMPDIR'];
const SECRET_NAME = /secret|password|token|key|dsn|credential/i;
/** Of each stream; what came before is dropped. */
const KEPT_OUTPUT_BYTES = 1024 * 1024;
/** Between asking a program to stop and stopping it. */
const STOP_GRACE_MS = 5000;

export class SubprocessEngine implements EngineInvoker {
  readonly takesRunId: boolean;
  readonly #options: SubprocessEngineOptions;

  constructor(options: SubprocessEngineOptions) {
    this.#options = options;
    this.takesRunId = namesRunId(options.command);
  }

  async invoke(call: EngineCall, signal: AbortSignal): Promise<EngineExit> {
    const [program, ...args] = engineCommand(this.#options.command, call);
    const { timeoutMs } = this.#options;
    const env = this.#environment();
    await mkdir(dirname(call.engineFolder), { recursive: true });
    signal.throwIfAborted();
    const child = spawn(program!, args, { env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    const stdout = new OutputTail(child.stdout);
    const stderr = new OutputTail(child.stderr);
    const timeout = AbortSignal.timeout(timeoutMs);
    const onAbort = (): void => stop(child);
    signal.addEventListener('abort', onAbort);
    timeout.addEventListener('abort', onAbort);
    const forget = stopWithThisProcess(child);
    try {
      const failure = await ended(child);
      signal.throwIfAborted();
      const secrets = secretsIn(env);
      return {
        failure: timeout.aborted
          ? { code: 'ENGINE_TIMEOUT', reason: `it had not ended after ${timeoutMs / 1000} s` }
          : failure === null
            ? null
            : { code: 'ENGINE_EXIT_NONZERO', reason: failure },
        stdout: stdout.text(secrets),
        stderr: stderr.text(secrets),
      };
    } finally {
      signal.removeEventListener('abort', onAbort);
      timeout.removeEventListener('abort', onAbort);
      forget();
    }
  }

  #environment(): Record<string, string> {
    const from = this.#options.env ?? process.env;
    const visible: Record<string, string> = {};
    for (const name of [...ALWAYS_VISIBLE, ...this.#options.environment]) {
      const value = from[name];
      if (value !== undefined) visible[name] = value;
    }
    return visible;
  }
}

/** Resolves when the process has ended and its output is read: null when it ended well. */
function ended(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`it could not be started: ${error.message}`));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(null);
      else resolve(code === null ? `it was ended by ${String(signal)}` : `it ended with status ${code}`);
    });
  });
}

/** Ends the engine and whatever it has started. */
function stop(child: ChildProcess): void {
  const group = child.pid;
  if (group === undefined) return;
  signalGroup(group, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(group, 'SIGKILL'), STOP_GRACE_MS);
  child.once('close', () => clearTimeout(timer));
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** In a group of its own the engine does not hear the terminal: it is told when this process ends. */
function stopWithThisProcess(child: ChildProcess): () => void {
  const onExit = (): void => {
    if (child.pid !== undefined && child.exitCode === null) signalGroup(child.pid, 'SIGKILL');
  };
  process.once('exit', onExit);
  return () => process.removeListener('exit', onExit);
}

function secretsIn(env: Readonly<Record<string, string>>): string[] {
  return Object.entries(env)
    .filter(([name, value]) => SECRET_NAME.test(name) && value.length > 3)
    .map(([, value]) => value);
}

/** The last bytes of a stream. */
class OutputTail {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #dropped = 0;

  constructor(stream: Readable) {
    stream.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      while (this.#bytes - this.#chunks[0]!.length >= KEPT_OUTPUT_BYTES) {
        const first = this.#chunks.shift()!;
        this.#bytes -= first.length;
        this.#dropped += first.length;
      }
    });
  }

  text(secrets: readonly string[]): string {
    let text = Buffer.concat(this.#chunks).toString('utf8');
    for (const secret of secrets) text = text.replaceAll(secret, '[REDACTED]');
    return this.#dropped === 0 ? text : `[${this.#dropped} bytes before this were dropped]\n${text}`;
  }
}
