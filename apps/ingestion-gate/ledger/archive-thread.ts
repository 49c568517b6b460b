/**
 * The archiver in a thread of its own, so that packing segments never holds up the receipts. The thread is told when
 * a run has ended, sees through shared memory how long the ledger has been idle, and reports what it has written.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LoggerOptions } from '../../../lib/index.ts';
import type { Settings } from '../../rails/index.ts';
import type { LedgerMetrics } from './ledger-metrics.ts';
import type { SegmentKind } from './segment-archiver.ts';

export interface ArchiveThreadData {
  readonly settings: Settings;
  readonly idleFlushMs: number | undefined;
  readonly logger: Pick<LoggerOptions, 'component' | 'level'>;
  /** One float64: epoch milliseconds when the ledger last had rows to write. */
  readonly lastRowsAt: SharedArrayBuffer;
}

export type ArchiveCommand = { readonly do: 'stop' } | { readonly do: 'run-ended'; readonly run: string };

export type ArchiveEvent =
  | { readonly event: 'wrote'; readonly segment: SegmentKind }
  | { readonly event: 'took'; readonly seconds: number }
  | { readonly event: 'missed'; readonly records: number };

/** A segment in the making is let finish; services have ten seconds to stop. */
const STOP_PATIENCE_MS = 6_000;

export class ArchiveThread {
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #lastRowsAt: Float64Array;
  #stopping = false;

  /** `failed` is called when the thread ends though it was not told to. */
  constructor(
    data: Omit<ArchiveThreadData, 'lastRowsAt'>,
    metrics: LedgerMetrics,
    failed: (error: Error) => void,
  ) {
    const lastRowsAt = new SharedArrayBuffer(8);
    this.#lastRowsAt = new Float64Array(lastRowsAt);
    this.#worker = new Worker(new URL('./archive-thread.mjs', import.meta.url), {
      name: 'archiver',
      workerData: { ...data, lastRowsAt } satisfies ArchiveThreadData,
    });
    this.#exited = once(this.#worker, 'exit').catch(() => undefined);
    this.#worker.on('error', failed);
    this.#worker.on('exit', (code) => {
      if (!this.#stopping && code === 0) failed(new Error('the archiver ended before its time'));
    });
    this.#worker.on('message', (message: ArchiveEvent) => {
      if (message.event === 'wrote') metrics.segments.inc({ kind: message.segment });
      else if (message.event === 'took') metrics.segmentSeconds.observe(message.seconds);
      else metrics.archiveMissed.inc(message.records);
    });
  }

  /** The ledger has had rows just now. */
  busy(): void {
    this.#lastRowsAt[0] = Date.now();
  }

  /** The run's stream has ended: its segments are due as soon as no more is coming. */
  runEnded(run: string): void {
    this.#worker.postMessage({ do: 'run-ended', run } satisfies ArchiveCommand);
  }

  /** Ends the thread; what it was writing is written, or will be written again by the next. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#worker.postMessage({ do: 'stop' } satisfies ArchiveCommand);
    const timer = setTimeout(() => void this.#worker.terminate(), STOP_PATIENCE_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}
