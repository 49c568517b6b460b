/** What the runner works with: its authority, its stores, its way to the bus, its policy. */
import type { Logger, ObjectStore } from '../../lib/index.ts';
import type { PolicyRev, ScenarioRunnerPolicy } from '../rails/index.ts';
import type { Finding } from './evidence.ts';
import type { ControlPublisher } from './outbox.ts';
import type { RunObjectStore } from './run-objects.ts';
import type { RunKey } from './run-record.ts';
import type { RunStore } from './run-store.ts';

/** The moments between which a crash leaves a different state behind, in the order they are passed. */
export const RUN_STEPS = [
  'accepted',
  'leased',
  'plan_committed',
  'plan_written',
  'evidence_collected',
  'facts_view_written',
  'end_committed',
  'status_written',
  'ready_signal_written',
  'fact_published',
  'record_written',
] as const;

export type RunStep = (typeof RUN_STEPS)[number];

export interface RunnerContext {
  readonly store: RunStore;
  /** The platform's own bucket. */
  readonly objects: RunObjectStore;
  readonly platformBucket: string;
  /** Reader of the sealed worlds. */
  readonly oracle: ObjectStore;
  readonly publisher: ControlPublisher;
  readonly policy: ScenarioRunnerPolicy;
  readonly policyRev: PolicyRev;
  /** Name of the profile, for facts. */
  readonly environment: string;
  readonly logger: Logger;
  /** Called after each step; what it throws ends the call there, as a crash would. */
  readonly onStep?: (step: RunStep, run: RunKey) => void | Promise<void>;
  /** Called whenever evidence is still missing, before the next look. */
  readonly onWaiting?: (missing: readonly Finding[], untilMs: number) => void;
}

export async function step(context: RunnerContext, name: RunStep, run: RunKey): Promise<void> {
  context.logger.debug({ step: name, platform_run_id: run.platformRunId, run_id: run.runId }, 'run step');
  await context.onStep?.(name, run);
}
