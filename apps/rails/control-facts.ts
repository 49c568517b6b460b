/** Payloads of the control and audit facts, as their Avro schemas have them. Longs are numbers. */
import type { PolicyRev } from './policies.ts';
import type { TrafficMode } from './output-catalogue.ts';

export interface RunReadyPayload {
  readonly run_id: string;
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  /** 1 for the first emission; a re-emit counts up. */
  readonly attempt: number;
  readonly message_id: string;
  readonly facts_view_ref: string;
  readonly bundle_hash: string;
  readonly plan_hash: string | null;
  readonly run_config_digest: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly scenario_id: string;
  readonly seed: string;
  readonly traffic_mode: TrafficMode;
  readonly outputs: readonly {
    readonly output_id: string;
    readonly role: 'business_traffic' | 'context';
    readonly row_count: number;
    readonly content_digest: string;
    readonly view_manifest_ref: string;
    readonly view_id: string;
  }[];
  readonly gates: readonly { readonly gate_id: string; readonly status: 'PASS' }[];
  readonly oracle_pack_ref: {
    readonly oracle_pack_id: string;
    readonly manifest_ref: string;
    readonly engine_run_root: string;
    readonly oracle_root: string;
    readonly stream_view_root: string;
    readonly engine_run_id: string;
    readonly scenario_id: string;
    readonly engine_release: string;
  };
  readonly policy_rev: PolicyRev;
  /** Null leaves speed and caps to the replayer's policy. */
  readonly speedup: number | null;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
  readonly emitted_at_utc: string | null;
  readonly service_release_id: string | null;
  readonly environment: string | null;
  readonly provenance: {
    readonly service_release_id: string;
    readonly environment: string;
    readonly config_revision: string | null;
    readonly run_config_digest: string | null;
  } | null;
}

export interface RunTerminalPayload {
  readonly run_id: string;
  readonly status_state: 'FAILED' | 'QUARANTINED';
  readonly status_ref: string;
  readonly record_ref: string;
  readonly reemit_key: string;
  readonly attempt: number;
  readonly reason_code: string | null;
  readonly emitted_at_utc: string | null;
}

export interface RunClosedPayload {
  readonly run_id: string;
  /** How the scenario run had ended. */
  readonly status_state: 'READY' | 'FAILED' | 'QUARANTINED';
  readonly closed_by: string;
  readonly reason: string | null;
  readonly attempt: number;
  readonly emitted_at_utc: string | null;
}

export type StopReason = 'end_of_view' | 'max_events' | 'max_events_per_output' | 'drained' | 'cancelled';

/** No wall time is in it: the fact's own is its ts_utc, so a fact told again says the same. */
interface StreamPayload {
  readonly message_id: string;
  readonly attempt: number;
  readonly lane: number;
  readonly lane_count: number;
  readonly outputs: readonly { readonly output_id: string; readonly read: number; readonly sent: number }[];
  readonly speedup: number;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

export type StreamStartedPayload = StreamPayload;

export interface StreamProgressPayload extends StreamPayload {
  readonly stream_time_utc: string | null;
}

export interface StreamCompletedPayload extends StreamPayload {
  readonly stop_reason: StopReason | null;
  readonly stream_time_utc: string | null;
}

export interface StreamFailedPayload extends StreamPayload {
  readonly stream_time_utc: string | null;
  /** One of the streamer's terminal codes. */
  readonly code: string;
  readonly message: string;
}

export type StreamCommand = 'pause' | 'resume' | 'throttle' | 'drain' | 'cancel';

export interface StreamCommandPayload {
  readonly command_id: string;
  readonly command: StreamCommand;
  /** Null means the latest attempt accepted. */
  readonly attempt: number | null;
  readonly speedup: number | null;
  readonly target_eps: number | null;
  readonly actor: string;
  readonly reason: string | null;
}

export interface PolicyActivationPayload extends PolicyRev {
  readonly activated_at_utc: string;
}

export interface QuarantineSpikePayload {
  readonly policy_id: string;
  readonly quarantine_count: number;
  readonly window_seconds: number;
  readonly detected_at_utc: string;
}

interface AuditCheck {
  readonly ok: boolean;
  readonly reason: string | null;
  readonly detail: string | null;
}

export interface AuditVerifyPayload {
  readonly run_id: string;
  readonly status: 'PASS' | 'FAIL';
  readonly checked_at_utc: string;
  readonly checks: { readonly hash_chain: AuditCheck; readonly checkpoints: AuditCheck };
}
