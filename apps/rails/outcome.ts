/** What the gate writes to the outcomes topic about a record it did not admit: `schemas/outcome.avsc` as a type. */
import type { GateReasonCode } from './reason-codes.ts';

export interface Outcome {
  readonly decision: 'DUPLICATE' | 'QUARANTINE';
  readonly reason_codes: readonly GateReasonCode[];
  readonly reason_detail: string | null;
  readonly retryable: boolean;
  readonly event_id: string | null;
  readonly event_type: string | null;
  readonly event_class: string | null;
  readonly platform_run_id: string | null;
  readonly scenario_run_id: string | null;
  readonly manifest_fingerprint: string | null;
  readonly ts_utc: string | null;
  readonly payload_hash: string | null;
  readonly partition_key: string | null;
  readonly dedupe_key: string | null;
  readonly partitioning_profile_id: string | null;
  readonly policy_id: string;
  readonly policy_revision: string;
  readonly ingress_topic: string;
  readonly ingress_partition: number;
  readonly ingress_offset: number;
  /** Coordinates of the record that was admitted; null unless this is a duplicate. */
  readonly original_ingress_topic: string | null;
  readonly original_ingress_partition: number | null;
  readonly original_ingress_offset: number | null;
  /** `micros`, wall time. */
  readonly decided_at_utc: string;
  readonly raw: Buffer | null;
  readonly raw_sha256: string | null;
  /** Bytes; -1 when the record had no value. */
  readonly raw_length: number;
}
