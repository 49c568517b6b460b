/** What the runner works with: its authority, its stores, its way to the bus, its policy. */
import type { Logger, ObjectStore } from '../../lib/index.ts';
import type { PolicyRev, ScenarioRunnerPolicy, Settings } from '../rails/index.ts';
import type { EngineInvoker } from './engine-invoker.ts';
import type { Finding } from './evidence.ts';
import type { ControlPublisher } from './outbox.ts';
import type { RunObjectStore } from './run-objects.ts';
import type { RunKey } from './run-record.ts';
import type { RunStore } from './run-store.ts';
import type { WorldPacker } from './world-packer.ts';

/** The moments between which a crash leaves a different state behind, in the order they are passed. */
export const RUN_STEPS = [
  'accepted',
  'leased',
  'plan_committed',
  'plan_written',
  'executing',
  'engine_launch_recorded',
  'engine_ended',
  'engine_finish_recorded',
  'world_packed',
  'evidence_collected',
  'instance_proofs_written',
  'facts_view_written',
  'end_committed',
  'status_written',
  'ready_signal_written',
  'fact_published',
  'record_written',
] as const;

/** Those that only a run passes whose world is made for it. */
export const ENGINE_STEPS: readonly RunStep[] = [
  'executing',
  'engine_launch_recorded',
  'engine_ended',
  'engine_finish_recorded',
  'world_packed',
];

export type RunStep = (typeof RUN_STEPS)[number];

/** Who may do what. */
export type RunnerAuth = Settings['scenarioRunner']['auth'];

export interface RunnerContext {
  readonly store: RunStore;
  /** The platform's own bucket. */
  readonly objects: RunObjectStore;
  readonly platformBucket: string;
  /** Reader of the sealed worlds. */
  readonly oracle: ObjectStore;
  readonly oracleBucket: string;
  /** Makes worlds; absent when runs can only reuse them. */
  readonly engine?: EngineInvoker;
  /** Makes packs of what the engine wrote; absent when somebody else has to. */
  readonly packer?: WorldPacker;
  /** Absolute; the engine writes below it, in a folder per attempt. */
  readonly engineRunsDir: string;
  readonly auth: RunnerAuth;
  readonly service: Settings['service'];
  readonly publisher: ControlPublisher;
  readonly policy: ScenarioRunnerPolicy;
  readonly policyRev: PolicyRev;
  /** Name of the profile, for facts. */
  readonly environment: Settings['profile'];
  /** For what is about no platform run. */
  readonly logger: Logger;
  /** The runner's log of a platform run. */
  readonly logOf: (platformRunId: string) => Logger;
  /** Called after each step; what it throws ends the call there, as a crash would. */
  readonly onStep?: (step: RunStep, run: RunKey) => void | Promise<void>;
  /** Called whenever evidence is still missing, before the next look. */
  readonly onWaiting?: (missing: readonly Finding[], untilMs: number) => void;
}

export async function step(context: RunnerContext, name: RunStep, run: RunKey): Promise<void> {
  context.logOf(run.platformRunId).info({ step: name, scenario_run_id: run.runId }, 'run step');
  await context.onStep?.(name, run);
}
