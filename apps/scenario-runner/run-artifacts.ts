/**
 * The documents a run leaves behind, as they lie in the object store under `<platform_run_id>/sr/`.
 *
 * Field names are the contract's. Plan, facts view and ready signal are write-once; the status and the record are
 * projections of Postgres, which is where the truth is decided.
 */
import type { OutputRole, PolicyRev, TrafficMode } from '../rails/index.ts';
import type { ReasonCode } from './reason-codes.ts';
import type { Strategy } from './run-request.ts';
import type { FinalState, RunState } from './run-state.ts';

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

export interface OraclePackRef {
  readonly oracle_pack_id: string;
  readonly manifest_ref: string;
  readonly engine_run_root: string;
  /** The pack's own root: what `readPack` takes. */
  readonly oracle_root: string;
  readonly stream_view_root: string;
  /** The engine's own run id: `run_id` in the envelopes of engine rows. */
  readonly engine_run_id: string;
  readonly scenario_id: string;
  readonly engine_release: string;
}

export interface PackSeal {
  readonly seal_ref: string;
  readonly seal_status: 'SEALED_OK';
  /** Of the manifest's stored bytes. */
  readonly manifest_digest: Digest;
  readonly sealed_at_utc: string;
}

/** An output that the run streams, and the proof of it. */
export interface ReadyOutput {
  readonly output_id: string;
  readonly role: OutputRole;
  /** Rows of its stream view. */
  readonly row_count: number;
  /** Over the names and digests of the engine's part files. */
  readonly content_digest: string;
  readonly view_manifest_ref: string;
  readonly view_id: string;
}

export interface RunFactsView {
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly pins: RunPins;
  /** Sorted by output_id. */
  readonly locators: readonly OutputLocator[];
  /** Sorted by gate_id. */
  readonly gate_receipts: readonly GateReceipt[];
  readonly policy_rev: PolicyRev;
  readonly bundle_hash: string;
  readonly plan_ref: string;
  readonly record_ref: string;
  readonly status_ref: string;
  readonly output_roles: Readonly<Record<string, OutputRole>>;
  readonly intended_outputs: readonly string[];
  readonly run_config_digest: string;
  readonly oracle_pack_ref: OraclePackRef;
  readonly oracle_pack_seal: PackSeal;
  readonly traffic_mode: TrafficMode;
  /** In catalogue order: context first, then the event stream. */
  readonly outputs: readonly ReadyOutput[];
}

/** How fast and how far a run asks to be replayed; null leaves it to the replayer's policy. */
export interface ReplayRequest {
  /** Event seconds per wall second; 0 is as fast as possible. */
  readonly speedup: number | null;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

/** The payload of `run.ready`; that of attempt 1 is also the run's ready signal. */
export interface RunReadyPayload extends ReplayRequest {
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  /** 1 for the first emission, counting up with every re-emit. */
  readonly attempt: number;
  readonly message_id: string;
  readonly facts_view_ref: string;
  readonly bundle_hash: string;
  readonly plan_hash: string;
  readonly run_config_digest: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly scenario_id: string;
  readonly seed: string;
  readonly traffic_mode: TrafficMode;
  readonly outputs: readonly ReadyOutput[];
  readonly gates: readonly { readonly gate_id: string; readonly status: 'PASS' }[];
  readonly oracle_pack_ref: OraclePackRef;
  readonly policy_rev: PolicyRev;
  readonly emitted_at_utc: string;
  readonly service_release_id: null;
  readonly environment: string;
  readonly provenance: null;
}

/** The payload of `run.terminal`. */
export interface RunTerminalPayload {
  readonly run_id: string;
  readonly status_state: Exclude<FinalState, 'READY'>;
  readonly status_ref: string;
  readonly record_ref: string;
  readonly reemit_key: string;
  readonly attempt: number;
  readonly reason_code: ReasonCode;
  readonly emitted_at_utc: string;
}

export interface RunStatus {
  readonly run_id: string;
  readonly state: RunState;
  readonly updated_at_utc: string;
  readonly record_ref: string;
  readonly reason_code?: ReasonCode;
  readonly facts_view_ref?: string;
}
