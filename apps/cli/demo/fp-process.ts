/** `fp` commands as child processes: one that ends with a result, and services that run until they are stopped. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FP = fileURLToPath(new URL('../fp.mjs', import.meta.url));
const STOP_PATIENCE_MS = 12_000;
const LOG_TAIL_CHARACTERS = 2000;

/** A command or a service that was needed has failed. */
export class CommandFailed extends Error {
  override readonly name = 'CommandFailed';
}

/** Runs a command to its end; progress goes to this process's error stream. Returns what it printed. */
export async function runFp(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [FP, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [code] = (await once(child, 'close')) as [number | null];
  // Why is on the error stream already.
  if (code !== 0) throw new CommandFailed(`fp ${args.join(' ')} failed (exit code ${code ?? 'none'})`);
  return output;
}

/** The last line of a command's output, as JSON. */
export async function runFpJson<T>(args: readonly string[]): Promise<T> {
  const output = (await runFp(args)).trim();
  try {
    return JSON.parse(output) as T;
  } catch (error) {
    throw new CommandFailed(`fp ${args.join(' ')} printed no JSON: ${output.slice(0, 200)}`, {
      cause: error,
    });
  }
}

interface Service {
  readonly name: string;
  readonly child: ChildProcess;
  readonly log: string;
}

/**
 * Long-running services. They hold a pipe to this process and stop by themselves when it is gone, however it went.
 */
export class Services {
  readonly #logFolder: string;
  #running: Service[] = [];
  #failed: Error | null = null;

  constructor(logFolder: string) {
    this.#logFolder = logFolder;
  }

  start(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): void {
    const log = join(this.#logFolder, `${name}.log`);
    mkdirSync(dirname(log), { recursive: true });
    const file = openSync(log, 'a');
    const child = spawn(process.execPath, [FP, ...args], {
      stdio: ['ignore', file, file, 'ipc'],
      env: { ...process.env, ...env },
    });
    closeSync(file);
    const service = { name, child, log };
    this.#running.push(service);
    child.once('exit', (code, signal) => {
      if (!this.#running.includes(service)) return;
      this.#running = this.#running.filter((one) => one !== service);
      const end = readFileSync(log, 'utf8').slice(-LOG_TAIL_CHARACTERS);
      this.#failed ??= new CommandFailed(
        `${name} ended (${signal ?? `exit code ${code ?? 'none'}`}); its log ${log} ends:\n${end}`,
      );
    });
  }

  /** Names and process ids. */
  get running(): readonly { readonly name: string; readonly pid: number }[] {
    return this.#running.map(({ name, child }) => ({ name, pid: child.pid! }));
  }

  /** Throws when a service has ended by itself. */
  check(): void {
    if (this.#failed !== null) throw this.#failed;
  }

  /** Lets the services live on after this process has ended. */
  release(): void {
    for (const { child } of this.#running) {
      child.send('stay');
      child.unref();
    }
    this.#running = [];
  }

  /** Stops every service, those that do not listen by force. */
  async stop(): Promise<void> {
    const services = this.#running;
    this.#running = [];
    await Promise.all(
      services.map(async ({ child }) => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill('SIGTERM');
        const force = setTimeout(() => child.kill('SIGKILL'), STOP_PATIENCE_MS);
        await ended;
        clearTimeout(force);
      }),
    );
  }
}
