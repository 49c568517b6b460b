import type { DropReason } from '../topology/graph.ts';

/** Counters of one instance, plain numbers so that the hot path pays nothing for them. All only ever grow. */
export class StreamsMetrics {
  recordsPolled = 0;
  recordsProcessed = 0;
  /** Records dropped by a `skip` policy. */
  recordsSkipped = 0;
  deserializationErrors = 0;
  /** Records that an operator left out, by reason (late, null-key …). */
  readonly dropped: Partial<Record<DropReason, number>> = {};
  /** Records whose task could not take them yet (restoring, or waiting for a schema) and that are read again. */
  recordsRewound = 0;
  recordsProduced = 0;
  bytesProduced = 0;
  commits = 0;
  /** Milliseconds of wall time spent in commits, from seal to apply. */
  commitMs = 0;
  aborts = 0;
  rebalances = 0;
  recordsRestored = 0;
}
