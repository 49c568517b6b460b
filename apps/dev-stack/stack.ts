/** One named stack, whatever runs its servers: every change happens under the stack's lock. */
import { rmSync } from 'node:fs';
import { ComposeStack } from './compose-stack.ts';
import { publishEnvironment, withdrawEnvironment, type StackEnvironment } from './environment.ts';
import { StackError } from './failure.ts';
import { NativeStack } from './native-stack.ts';
import type { Ports } from './ports.ts';
import { chooseFlavour, type Flavour } from './provisioning/flavour.mjs';
import { withLock } from './provisioning/lock.mjs';
import type { Progress } from './provisioning/progress.mjs';
import type { StackFolder } from './stack-folder.ts';

const FLAVOUR_FILE = 'stack.json';

export interface UpOptions {
  readonly ports?: Partial<Ports>;
  /** `native`, `compose`, or nothing for what this machine can do. */
  readonly flavour?: string | undefined;
}

export interface ServerState {
  readonly server: string;
  readonly state: 'running' | 'unhealthy' | 'stopped';
  /** Process id and port of a native server, the container's state otherwise. */
  readonly detail: string;
}

export class Stack {
  private readonly native: NativeStack;
  private readonly compose: ComposeStack;

  constructor(
    readonly folder: StackFolder,
    private readonly progress: Progress,
  ) {
    this.native = new NativeStack(folder, progress);
    this.compose = new ComposeStack(folder, progress);
  }

  /** Starts what does not run, waits until every server is healthy, and publishes the settings. */
  async up(options: UpOptions = {}): Promise<StackEnvironment> {
    return this.locked(async () => {
      const flavour = this.settleFlavour(options.flavour);
      const stack = flavour === 'native' ? this.native : this.compose;
      const environment = await stack.up(options.ports ?? {});
      publishEnvironment(this.folder, environment);
      return environment;
    });
  }

  /** Stops every server and leaves no process; keeps the data. */
  async down(): Promise<void> {
    await this.locked(() => this.stop());
  }

  /** Stops the stack and deletes its data, the oracle bucket's only if asked. */
  async reset(includingOracle: boolean): Promise<void> {
    await this.locked(async () => {
      const flavour = this.flavour;
      await this.stop();
      if (flavour === 'compose') await this.compose.wipe(includingOracle);
      else this.native.wipe(includingOracle);
    });
  }

  /** Stops the stack and deletes everything about it, as if it had never been. */
  async destroy(): Promise<void> {
    if (!this.folder.exists) return;
    await this.reset(true);
    rmSync(this.folder.path, { recursive: true, force: true });
  }

  async status(): Promise<ServerState[]> {
    if (this.flavour === 'compose') {
      return this.compose.status().map(({ server, state, healthy }) => ({
        server,
        state: healthy ? 'running' : state === 'running' ? 'unhealthy' : 'stopped',
        detail: state,
      }));
    }
    return (await this.native.status()).map(({ server, pid, healthy, port, log }) => ({
      server,
      state: pid === undefined ? 'stopped' : healthy ? 'running' : 'unhealthy',
      detail: pid === undefined ? `log ${log}` : `process ${pid}, port ${port ?? '?'}, log ${log}`,
    }));
  }

  /** How this stack was started last; undefined if never. */
  get flavour(): Flavour | undefined {
    return (this.folder.read(FLAVOUR_FILE) as { flavour: Flavour } | undefined)?.flavour;
  }

  get nativeStack(): NativeStack {
    return this.native;
  }

  get composeStack(): ComposeStack {
    return this.compose;
  }

  private async stop(): Promise<void> {
    withdrawEnvironment(this.folder);
    if (this.flavour === 'compose') await this.compose.down();
    else await this.native.down();
  }

  private settleFlavour(requested: string | undefined): Flavour {
    const { flavour, reason } = this.choose(requested);
    const known = this.flavour;
    const running = known === 'compose' ? this.compose.isRunning() : this.native.isRunning();
    if (running && known !== undefined && known !== flavour) {
      throw new StackError(
        'FLAVOUR_CHANGED_WHILE_RUNNING',
        `stack "${this.folder.name}" runs as ${known}, and ${flavour} was chosen (${reason}): ` +
          `stop it first (fp stack down --name ${this.folder.name})`,
      );
    }
    const how = flavour === 'native' ? 'as processes on this machine (native)' : 'in containers (compose)';
    this.progress.line('stack', `"${this.folder.name}" runs ${how}: ${reason}`);
    this.folder.write(FLAVOUR_FILE, { flavour });
    return flavour;
  }

  /** A running stack stays what it is unless something else is asked for. */
  private choose(requested: string | undefined): { flavour: Flavour; reason: string } {
    const asked = requested === '' ? undefined : requested;
    if (asked === undefined && this.flavour === 'native' && this.native.isRunning()) {
      return { flavour: 'native', reason: 'it is running already' };
    }
    try {
      return chooseFlavour(asked);
    } catch (cause) {
      throw new StackError('TOOLS_MISSING', (cause as Error).message, { cause });
    }
  }

  private async locked<T>(work: () => Promise<T>): Promise<T> {
    return withLock(this.folder.lockFile, work, {
      onWait: (pid) =>
        this.progress.line('stack', `process ${pid} is working on "${this.folder.name}"; waiting for it`),
    });
  }
}
