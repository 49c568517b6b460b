/**
 * Logs by run: a service that works on many runs at once writes each run's lines into that run's own folder, in a
 * file per component and in one for all components. Lines are appended whole, so processes can share a file.
 *
 *   <root>/<run>/<component>/<component>.log
 *   <root>/<run>/platform.log
 */
import { join } from 'node:path';
import { pino, type DestinationStream, type Level, type Logger } from 'pino';
import { createLogger } from './logger.ts';

export interface RunLogsOptions {
  /** Folder that has a folder per run. */
  readonly root: string;
  /** Name of the field that carries the run's id on every line. Default `run_id`. */
  readonly runField?: string;
  /** Values that must never be written, wherever they turn up. */
  readonly secrets?: readonly string[];
  /** Where lines of this level and above go besides. */
  readonly also?: { readonly stream: DestinationStream; readonly level: Level };
  /** Of what goes into files. Default from LOG_LEVEL, else `info`. */
  readonly level?: Level;
  /** Runs whose files are kept open; those used longest ago are closed first. Default 32. */
  readonly maxOpenRuns?: number;
}

interface OpenRun {
  readonly platform: FileStream;
  readonly components: Map<string, { readonly file: FileStream; readonly logger: Logger }>;
}

type FileStream = ReturnType<typeof pino.destination>;

const DEFAULT_OPEN_RUNS = 32;
const NAME = /^[A-Za-z0-9_.-]+$/;

export class RunLogs {
  readonly #options: RunLogsOptions;
  /** In the order of use, the latest last. */
  readonly #open = new Map<string, OpenRun>();

  constructor(options: RunLogsOptions) {
    this.#options = options;
  }

  /**
   * The log of a component about a run. Ask for it whenever something is to be logged rather than keeping it: its
   * files may be closed once many other runs were logged about. Throws a RangeError on a name that is no file name.
   */
  logger(component: string, run: string): Logger {
    for (const name of [component, run]) {
      if (!NAME.test(name) || name === '.' || name === '..') {
        throw new RangeError(`'${name}' cannot be a folder of logs: use A-Z a-z 0-9 _ . -`);
      }
    }
    const found = this.#open.get(run) ?? {
      platform: file(join(this.#options.root, run, 'platform.log')),
      components: new Map<string, { file: FileStream; logger: Logger }>(),
    };
    this.#open.delete(run);
    this.#open.set(run, found);
    this.#closeOldest();
    let own = found.components.get(component);
    if (own === undefined) {
      const stream = file(join(this.#options.root, run, component, `${component}.log`));
      own = { file: stream, logger: this.#create(component, run, [stream, found.platform]) };
      found.components.set(component, own);
    }
    return own.logger;
  }

  /** Closes every file. */
  close(): void {
    for (const run of this.#open.values()) end(run);
    this.#open.clear();
  }

  #create(component: string, run: string, files: readonly FileStream[]): Logger {
    const { also, secrets, runField = 'run_id' } = this.#options;
    const level = this.#options.level ?? ((process.env['LOG_LEVEL'] ?? 'info') as Level);
    const streams = pino.multistream([
      ...files.map((stream) => ({ level, stream })),
      ...(also === undefined ? [] : [{ level: also.level, stream: also.stream }]),
    ]);
    return createLogger({
      component,
      // Each stream takes what is of its own level.
      level: 'trace',
      fields: { [runField]: run },
      destination: streams,
      ...(secrets === undefined ? {} : { secrets }),
    });
  }

  #closeOldest(): void {
    const most = this.#options.maxOpenRuns ?? DEFAULT_OPEN_RUNS;
    for (const [name, run] of this.#open) {
      if (this.#open.size <= most) return;
      this.#open.delete(name);
      end(run);
    }
  }
}

function file(path: string): FileStream {
  // Written at once: the last lines before a crash are those that matter.
  return pino.destination({ dest: path, append: true, mkdir: true, sync: true });
}

function end(run: OpenRun): void {
  run.platform.end();
  for (const { file: stream } of run.components.values()) stream.end();
}
