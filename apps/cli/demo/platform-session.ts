/** The whole platform on this machine, for as long as a demonstration lasts: servers, topics, services. */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { REPOSITORY } from '../../dev-stack/stack-folder.ts';
import { loadSettings, type Settings } from '../../rails/index.ts';
import { loadEnvironment } from '../environment.ts';
import { runFp, Services } from './fp-process.ts';
import type { Stages } from './stages.ts';

const FP = fileURLToPath(new URL('../fp.mjs', import.meta.url));
const GUARDIAN = fileURLToPath(new URL('./guardian.mjs', import.meta.url));

/** The services of the platform and their commands, in no order: each waits for what it needs. */
const SERVICES = [
  ['ingestion_gate', ['gate', 'run']],
  ['receipt_ledger', ['ledger', 'run']],
  ['world_streamer_producer', ['wsp', 'run']],
  ['lag_console', ['lag-console', 'run']],
] as const;

export interface SessionOptions {
  /** Leave everything running afterwards. */
  readonly keep: boolean;
  /** Whether a service that ends by itself, or a replay that stands still, is a failure. */
  readonly supervised: boolean;
}

export class PlatformSession {
  readonly supervised: boolean;
  readonly settings: Settings;
  readonly services: Services;
  readonly logFolder: string;
  readonly #guardian: ChildProcess | null;

  private constructor(
    settings: Settings,
    services: Services,
    logFolder: string,
    guardian: ChildProcess | null,
    supervised: boolean,
  ) {
    this.settings = settings;
    this.services = services;
    this.logFolder = logFolder;
    this.#guardian = guardian;
    this.supervised = supervised;
  }

  /**
   * Brings everything up. A stack that runs already is used and left running; one that this call starts is stopped
   * by `close`, or by the guardian when this process dies first.
   */
  static async open(stages: Stages, { keep, supervised }: SessionOptions): Promise<PlatformSession> {
    const found = await stackIsUp();
    const guardian = found || keep ? null : startGuardian();
    const services = new Services(logFolderOf());
    try {
      await stages.run('stack', () => runFp(['stack', 'up']));
      loadEnvironment(process.env);
      const settings = loadSettings();
      await stages.run('topology', () => runFp(['topology', 'apply', '--json']));
      for (const [name, args] of SERVICES) services.start(name, args);
      return new PlatformSession(settings, services, logFolderOf(), guardian, supervised);
    } catch (error) {
      await services.stop();
      if (guardian !== null) await dismiss(guardian);
      throw error;
    }
  }

  /** Leaves everything running. */
  keep(): void {
    this.services.release();
  }

  /** Stops the services, and the stack when this session started it. */
  async close(): Promise<void> {
    await this.services.stop();
    if (this.#guardian !== null) await dismiss(this.#guardian);
  }
}

function logFolderOf(): string {
  return join(REPOSITORY, '.fp', 'stacks', process.env['FP_STACK'] ?? 'default', 'services');
}

async function stackIsUp(): Promise<boolean> {
  return runFp(['stack', 'status']).then(
    () => true,
    () => false,
  );
}

/** A small process of its own that stops the stack when the pipe to this one breaks. */
function startGuardian(): ChildProcess {
  const guardian = spawn(process.execPath, [GUARDIAN, FP], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  });
  guardian.unref();
  return guardian;
}

/** Lets the guardian do its work now and waits for it. */
async function dismiss(guardian: ChildProcess): Promise<void> {
  // Not waited for before, it must be now: nothing else may be left to keep this process alive.
  guardian.ref();
  const ended = new Promise<void>((done) => guardian.once('exit', () => done()));
  guardian.stdin?.end();
  await ended;
}
