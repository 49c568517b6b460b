/** Builds the evidence of a record that is not admitted: whatever was known of it when a rule failed. */
import type { ProcessorContext, SerdeError } from '../../../lib/index.ts';
import {
  epochMillisToMicros,
  RETRYABLE_GATE_REASONS,
  sha256Hex,
  type Envelope,
  type GateReasonCode,
  type Outcome,
  type Policies,
} from '../../rails/index.ts';
import type { Decision } from './decision.ts';
import type { EventKind } from './event-kind.ts';

/** An outcome must fit its topic beside its own fields; a longer record keeps its digest and its coordinates. */
const MOST_RAW_BYTES = 1024 * 1024;
/** Details are for people; a garbled record must not make its own evidence too long. */
const MOST_DETAIL_CHARACTERS = 2000;

export class Refusals {
  readonly #policies: Policies;
  readonly #context: ProcessorContext<string | null, Decision>;
  /** What is known of the record so far; it goes into the evidence. */
  envelope: Envelope | null = null;
  kind: EventKind | null = null;
  payloadHash: string | null = null;
  partitionKey: string | null = null;
  dedupeKey: string | null = null;

  constructor(policies: Policies, context: ProcessorContext<string | null, Decision>) {
    this.#policies = policies;
    this.#context = context;
  }

  /** Forgets the record before. */
  begin(): void {
    this.envelope = null;
    this.kind = null;
    this.payloadHash = null;
    this.partitionKey = null;
    this.dedupeKey = null;
  }

  quarantine(code: GateReasonCode, detail: string): Outcome {
    return this.#outcome('QUARANTINE', code, detail, null);
  }

  /** The bytes could not be read: not the wire format at all, no such schema, or not what their schema says. */
  unreadable(error: SerdeError): Outcome {
    if (this.kind !== null) return this.quarantine('SCHEMA_FAIL', error.message);
    return this.quarantine(
      error.code === 'UNKNOWN_SCHEMA' ? 'SCHEMA_ID_UNKNOWN' : 'UNPARSEABLE',
      error.message,
    );
  }

  /** The same event again: the evidence points at the record that was admitted, on this very partition. */
  duplicate(originalOffset: number): Outcome {
    return this.#outcome('DUPLICATE', 'DUPLICATE', null, originalOffset);
  }

  #outcome(
    decision: Outcome['decision'],
    code: GateReasonCode,
    detail: string | null,
    originalOffset: number | null,
  ): Outcome {
    const { source } = this.#context;
    const envelope = this.envelope;
    const { length } = source.value;
    // A duplicate's bytes are on the bus already.
    const keepsRaw = decision === 'QUARANTINE' && length >= 0 && length <= MOST_RAW_BYTES;
    const value = length >= 0 ? source.value.view() : null;
    return {
      decision,
      reason_codes: [code],
      reason_detail: detail?.slice(0, MOST_DETAIL_CHARACTERS) ?? null,
      retryable: RETRYABLE_GATE_REASONS.has(code),
      event_id: envelope?.event_id ?? null,
      event_type: envelope?.event_type ?? this.kind?.eventType ?? null,
      event_class: this.kind?.eventClass.name ?? null,
      platform_run_id: envelope?.platform_run_id ?? null,
      scenario_run_id: envelope?.scenario_run_id ?? null,
      manifest_fingerprint: envelope?.manifest_fingerprint ?? null,
      ts_utc: envelope?.ts_utc ?? null,
      payload_hash: this.payloadHash,
      partition_key: this.partitionKey,
      dedupe_key: this.dedupeKey,
      partitioning_profile_id: this.kind?.profile.id ?? null,
      policy_id: this.#policies.gateRev.policy_id,
      policy_revision: this.#policies.gateRev.revision,
      ingress_topic: source.topic,
      ingress_partition: source.partition,
      ingress_offset: source.offset,
      original_ingress_topic: originalOffset === null ? null : source.topic,
      original_ingress_partition: originalOffset === null ? null : source.partition,
      original_ingress_offset: originalOffset,
      decided_at_utc: epochMillisToMicros(this.#context.wallTime()),
      raw: keepsRaw ? value : null,
      raw_sha256: value === null ? null : sha256Hex(value),
      raw_length: length,
    };
  }
}
