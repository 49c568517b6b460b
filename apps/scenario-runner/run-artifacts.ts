/**
 * The documents a run leaves behind, as they lie in the object store under `<platform_run_id>/sr/`.
 *
 * Field names are the contract's. Plan, facts view and ready signal are write-once; the status and the record are
 * projections of Postgres, which is where the truth is decided.
 */
import type { PolicyRev, RunReadyPayload, TrafficMode, WorldKey } from '../rails/index.ts';
import type { ReasonCode } from './reason-codes.ts';
import type { Strategy } from './run-request.ts';
import type { RunState } from './run-state.ts';

export interface RunPlan {
  readonly run_id: string;
  readonly plan_hash: string;
  readonly policy_rev: PolicyRev;
  readonly strategy: Strategy;
  /** Traffic and context outputs, sorted. */
  readonly intended_outputs: readonly string[];
  /** Every gate that authorises an intended output, with all gates upstream of those; sorted. */
  readonly required_gates: readonly string[];
  /** Evidence still missing at this instant fails the run. */
  readonly evidence_deadline_utc: string;
  readonly attempt_limit: number;
  readonly created_at_utc: string;
}

/** What a run is about, repeated on everything that leaves it. */
export interface RunPins {
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly seed: string;
  readonly scenario_id: string;
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
}

export interface Digest {
  readonly algo: 'sha256';
  readonly hex: string;
}

export interface OutputLocator {
  readonly output_id: string;
  /** Relative to the pack's root. */
  readonly path: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly scenario_id: string;
  readonly seed: string;
  readonly content_digest: Digest;
}

export interface GateReceipt {
  readonly gate_id: string;
  readonly status: 'PASS';
  readonly scope: { readonly manifest_fingerprint: string };
  readonly receipt_kind: 'passed_flag';
  /** Of the gate's bundle, as recomputed from its bytes. */
  readonly digest: Digest;
  /** Relative to the engine run's root. */
  readonly artifacts: {
    readonly validation_bundle_root: string;
    readonly passed_flag_path: string;
    readonly index_path?: string;
  };
}

/** The sealed world. `oracle_root` is the pack's own root: what `readPack` takes. */
export type OraclePackRef = RunReadyPayload['oracle_pack_ref'];

export interface PackSeal {
  readonly seal_ref: string;
  readonly seal_status: 'SEALED_OK';
  /** Of the manifest's stored bytes. */
  readonly manifest_digest: Digest;
  readonly sealed_at_utc: string;
}

/** An output that the run streams, and the proof of it; its content digest is over the engine's part files. */
export type ReadyOutput = RunReadyPayload['outputs'][number];

export interface RunFactsView {
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly pins: RunPins;
  /** Sorted by output_id. */
  readonly locators: readonly OutputLocator[];
  /** Sorted by gate_id. */
  readonly gate_receipts: readonly GateReceipt[];
  /** Sorted by output_id. */
  readonly instance_receipts: readonly InstanceProof[];
  readonly policy_rev: PolicyRev;
  readonly bundle_hash: string;
  readonly plan_ref: string;
  readonly record_ref: string;
  readonly status_ref: string;
  readonly output_roles: Readonly<Record<string, ReadyOutput['role']>>;
  readonly intended_outputs: readonly string[];
  readonly run_config_digest: string;
  readonly oracle_pack_ref: OraclePackRef;
  readonly oracle_pack_seal: PackSeal;
  readonly traffic_mode: TrafficMode;
  /** In catalogue order: context first, then the event stream. */
  readonly outputs: readonly ReadyOutput[];
}

/** One output of one world as this platform run has proven it; another run over it must find the same. */
export interface InstanceProof {
  readonly output_id: string;
  readonly status: 'PASS';
  readonly scope: WorldKey;
  readonly target_ref: OutputLocator;
  readonly target_digest: Digest;
  readonly receipt_kind: 'instance_proof';
  readonly artifacts: { readonly receipt_path: string };
}

/** What the engine is asked to make. */
export interface EngineInvocation {
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly seed: string;
  readonly run_id: string;
  readonly scenario_binding: { readonly scenario_id: string } | { readonly scenario_set: readonly string[] };
  readonly request_id?: string;
  readonly invoker?: string;
  readonly notes?: string;
}

interface EngineAttemptBase {
  readonly run_id: string;
  readonly attempt_id: string;
  /** From 1. */
  readonly attempt_no: number;
  readonly started_at_utc: string;
  readonly ended_at_utc: string;
  readonly duration_ms: number;
  readonly invocation: EngineInvocation;
  readonly invoker?: string;
  readonly logs_ref: { readonly stdout_ref: string; readonly stderr_ref: string };
}

/** One run of the engine that has ended. */
export type EngineAttempt = EngineAttemptBase &
  (
    | {
        readonly outcome: 'SUCCEEDED';
        /** Absolute path of the folder it wrote. */
        readonly engine_run_root: string;
        /** The engine's own id, from its receipt. */
        readonly engine_run_id: string;
      }
    | { readonly outcome: 'FAILED'; readonly reason_code: ReasonCode; readonly reason: string }
  );

/** How fast and how far a run asks to be replayed; null leaves it to the replayer's policy. */
export type ReplayRequest = Pick<RunReadyPayload, 'speedup' | 'max_events' | 'max_events_per_output'>;

export interface RunStatus {
  readonly run_id: string;
  readonly state: RunState;
  readonly updated_at_utc: string;
  readonly record_ref: string;
  readonly reason_code?: ReasonCode;
  readonly facts_view_ref?: string;
}
