/** The processor API: what a custom operator is given and what it may do. */
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { SourceRecord, StreamRecord } from './record.ts';

/** Which clock a punctuator runs on: the highest event time seen by the task, or the wall clock. */
export type PunctuationType = 'stream-time' | 'wall-clock';

/** A scheduled punctuation; `cancel` stops it. */
export interface Punctuation {
  cancel(): void;
}

export interface ProcessorContext<KOut, VOut> {
  /** Hands a record to every child operator, at once. Key, value and timestamp are read before the call returns. */
  forward(record: StreamRecord<KOut, VOut>): void;
  /** The consumed record being processed; undefined content while punctuating. */
  readonly source: SourceRecord;
  /** A store named in the operator's `stores`. Throws for one that is not. */
  store<S extends StateStore>(spec: StoreSpec<S>): S;
  /**
   * Calls back every `intervalMs` of the chosen clock with its current time (epoch milliseconds). Stream-time
   * punctuators fire when time has passed a multiple of the interval, once however far it jumped.
   */
  schedule(intervalMs: number, type: PunctuationType, callback: (time: number) => void): Punctuation;
  /** Highest event time seen by this task, -1 before the first record. */
  streamTime(): number;
  /** Wall time in epoch milliseconds, from the instance's injectable clock. */
  wallTime(): number;
  /** Subtopology and partition of the task. */
  readonly task: { readonly subtopology: number; readonly partition: number };
}

/**
 * An operator with a life: one instance per task. `process` is synchronous and must be deterministic in its input
 * and its stores, since after a crash the same records are processed again.
 */
export interface Processor<KIn, VIn, KOut, VOut> {
  init?(context: ProcessorContext<KOut, VOut>): void;
  process(record: StreamRecord<KIn, VIn>): void;
  close?(): void;
}

/** Makes a new processor for each task: never return the same object twice. */
export type ProcessorSupplier<KIn, VIn, KOut, VOut> = () => Processor<KIn, VIn, KOut, VOut>;
