/** What the gate committed about one ingress record, read from the bus or the outcomes topic, as a receipt. */
import { HeaderBlock, type AvroReader, Bytes, type RecordBatch } from '../../../lib/index.ts';
import {
  dedupeKey,
  decodeDecisionHeader,
  epochMillisToMicros,
  EVENT_CLASS_HEADER,
  EVENT_TYPE_HEADER,
  PLATFORM_RUN_ID_HEADER,
  receiptId,
  type Decision,
  type DecisionHeader,
  type Outcome,
} from '../../rails/index.ts';

export interface RecordPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

/** The receipt of one push. Its fields are those of the ledger's receipts, where both have them. */
export interface PushReceipt {
  readonly receipt_id: string;
  readonly decision: Decision;
  readonly reason_codes: readonly string[];
  readonly reason_detail: string | null;
  readonly retryable: boolean;
  readonly event_id: string | null;
  readonly event_type: string | null;
  readonly event_class: string | null;
  readonly platform_run_id: string | null;
  readonly scenario_run_id: string | null;
  readonly payload_hash: string | null;
  readonly dedupe_key: string | null;
  readonly partition_key: string | null;
  readonly partitioning_profile_id: string | null;
  readonly policy_rev: { readonly policy_id: string; readonly revision: string };
  readonly ingress: RecordPlace;
  /** The record on the bus; null unless this event was admitted. */
  readonly eb_ref:
    (RecordPlace & { readonly offset_kind: 'kafka_offset'; readonly published_at_utc: string }) | null;
  readonly admitted_at_utc: string | null;
  readonly decided_at_utc: string;
  /** Of a duplicate: where the admitted record entered, and its receipt, whose look-up shows its place on the bus. */
  readonly original: { readonly receipt_id: string; readonly ingress: RecordPlace } | null;
  /** Where the decision stands. */
  readonly evidence_refs: readonly { readonly kind: string; readonly ref: string }[];
}

/** Positions `headers` on record `i`. */
export function headersAt(headers: HeaderBlock, batch: RecordBatch, i: number): HeaderBlock {
  headers.buffer = batch.data;
  headers.start = batch.headersStart[i]!;
  headers.length = batch.headersLength[i]!;
  headers.count = batch.headersCount[i]!;
  return headers;
}

/** The receipt of a bus record. */
export function receiptOfAdmission(
  decision: DecisionHeader,
  headers: HeaderBlock,
  batch: RecordBatch,
  i: number,
  topic: string,
): PushReceipt {
  const platformRunId = headers.text(PLATFORM_RUN_ID_HEADER) ?? '';
  const eventClass = headers.text(EVENT_CLASS_HEADER) ?? '';
  const ingress = {
    topic: decision.ingressTopic,
    partition: decision.ingressPartition,
    offset: decision.ingressOffset,
  };
  const place = { topic, partition: batch.partition[i]!, offset: batch.offset[i]! };
  const admittedAt = epochMillisToMicros(batch.timestamp[i]);
  return {
    receipt_id: receiptId(platformRunId, 'ADMIT', ingress.topic, ingress.partition, ingress.offset),
    decision: 'ADMIT',
    reason_codes: [],
    reason_detail: null,
    retryable: false,
    event_id: decision.eventId,
    event_type: headers.text(EVENT_TYPE_HEADER) ?? null,
    event_class: eventClass,
    platform_run_id: platformRunId,
    scenario_run_id: decision.scenarioRunId,
    payload_hash: decision.payloadHash,
    dedupe_key: dedupeKey(platformRunId, eventClass, decision.eventId),
    partition_key: batch.data.toString(
      'latin1',
      batch.keyStart[i],
      batch.keyStart[i]! + Math.max(0, batch.keyLength[i]!),
    ),
    partitioning_profile_id: decision.partitioningProfileId,
    policy_rev: { policy_id: decision.policyId, revision: decision.policyRevision },
    ingress,
    eb_ref: { ...place, offset_kind: 'kafka_offset', published_at_utc: admittedAt },
    admitted_at_utc: admittedAt,
    decided_at_utc: admittedAt,
    original: null,
    evidence_refs: [],
  };
}

/** The coordinates that a bus record's decision names. */
export function decisionOf(headers: HeaderBlock): DecisionHeader | undefined {
  const text = headers.text('decision');
  return typeof text === 'string' ? decodeDecisionHeader(text) : undefined;
}

const bytes = new Bytes();

/** Reads record `i` of the outcomes topic. Throws NotReady while its schema is being fetched. */
export function outcomeAt(avro: AvroReader, batch: RecordBatch, i: number): Outcome {
  bytes.buffer = batch.data;
  bytes.start = batch.valueStart[i]!;
  bytes.length = batch.valueLength[i]!;
  return avro.schemaOf(bytes).decode(bytes) as Outcome;
}

/** The receipt of what was not admitted. `where` is the outcome record. */
export function receiptOfOutcome(outcome: Outcome, where: RecordPlace): PushReceipt {
  const run = outcome.platform_run_id ?? '';
  const ingress = {
    topic: outcome.ingress_topic,
    partition: outcome.ingress_partition,
    offset: outcome.ingress_offset,
  };
  const original =
    outcome.original_ingress_topic === null
      ? null
      : {
          topic: outcome.original_ingress_topic,
          partition: outcome.original_ingress_partition!,
          offset: outcome.original_ingress_offset!,
        };
  return {
    receipt_id: receiptId(run, outcome.decision, ingress.topic, ingress.partition, ingress.offset),
    decision: outcome.decision,
    reason_codes: [...outcome.reason_codes],
    reason_detail: outcome.reason_detail,
    retryable: outcome.retryable,
    event_id: outcome.event_id,
    event_type: outcome.event_type,
    event_class: outcome.event_class,
    platform_run_id: outcome.platform_run_id,
    scenario_run_id: outcome.scenario_run_id,
    payload_hash: outcome.payload_hash,
    dedupe_key: outcome.dedupe_key,
    partition_key: outcome.partition_key,
    partitioning_profile_id: outcome.partitioning_profile_id,
    policy_rev: { policy_id: outcome.policy_id, revision: outcome.policy_revision },
    ingress,
    eb_ref: null,
    admitted_at_utc: null,
    decided_at_utc: outcome.decided_at_utc,
    original:
      original === null
        ? null
        : {
            receipt_id: receiptId(run, 'ADMIT', original.topic, original.partition, original.offset),
            ingress: original,
          },
    evidence_refs: [
      { kind: 'outcome_record', ref: `${where.topic}/${where.partition}/${where.offset}` },
      ...(outcome.raw_sha256 === null ? [] : [{ kind: 'raw_sha256', ref: outcome.raw_sha256 }]),
    ],
  };
}
