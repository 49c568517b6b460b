/**
 * From a record of the outcomes topic to the row of a DUPLICATE or QUARANTINE receipt. Of a quarantined record
 * nothing can be relied upon but where it entered: every other field may be missing or be any text.
 */
import { Bytes, type AvroReader, type RecordBatch } from '../../../lib/index.ts';
import {
  isHex64,
  isMicros,
  microsToEpochMillis,
  parsePlatformRunId,
  receiptId,
  type Outcome,
} from '../../rails/index.ts';
import { LedgerError } from './ledger-error.ts';
import type { PartitionSlice } from './receipt-batch.ts';
import type { ReceiptKinds } from './receipt-kinds.ts';

const OUTCOME_FIELDS = 17;
const NUL = '\u0000';
const RUNS_CACHED = 10_000;

export class OutcomeRecordReader {
  readonly #kinds: ReceiptKinds;
  readonly #avro: AvroReader;
  readonly #bytes = new Bytes();
  /** Runs by the text found in records: itself, or null when it names none. */
  readonly #runs = new Map<string, string | null>();

  constructor(kinds: ReceiptKinds, avro: AvroReader) {
    this.#kinds = kinds;
    this.#avro = avro;
  }

  /**
   * Appends the row of record `i` to the slice and counts it. Throws SerdeError or LedgerError RECORD_UNREADABLE
   * with nothing appended, and NotReady while the record's schema is being fetched.
   */
  read(batch: RecordBatch, i: number, slice: PartitionSlice): void {
    if (batch.valueLength[i]! < 0) throw new LedgerError('RECORD_UNREADABLE', 'the outcome has no value');
    const bytes = this.#bytes;
    bytes.buffer = batch.data;
    bytes.start = batch.valueStart[i]!;
    bytes.length = batch.valueLength[i]!;
    const outcome = this.#avro.schemaOf(bytes).decode(bytes) as Outcome;
    this.#append(outcome, batch.offset[i]!, slice);
  }

  #append(outcome: Outcome, offset: number, slice: PartitionSlice): void {
    const decision: string = outcome.decision;
    if (decision !== 'DUPLICATE' && decision !== 'QUARANTINE') {
      throw new LedgerError('RECORD_UNREADABLE', `the decision is ${JSON.stringify(decision)}`);
    }
    if (!isMicros(outcome.decided_at_utc)) {
      throw new LedgerError(
        'RECORD_UNREADABLE',
        `decided_at_utc is ${JSON.stringify(outcome.decided_at_utc)}`,
      );
    }
    // PostgreSQL's text cannot hold U+0000: it is replaced, and the receipt says in which fields.
    const replaced: string[] = [];
    const text = (field: string, value: string | null): string | null => {
      if (!value?.includes(NUL)) return value;
      replaced.push(field);
      return value.replaceAll(NUL, '\ufffd');
    };
    const run = this.#runOf(outcome.platform_run_id);
    const kind = this.#kinds.of({
      platformRunId: run,
      scenarioRunId: text('scenario_run_id', outcome.scenario_run_id),
      eventType: text('event_type', outcome.event_type),
      eventClass: text('event_class', outcome.event_class),
      decision,
      reasonCodes: outcome.reason_codes,
      recordTopic: slice.topic,
      ingressTopic: outcome.ingress_topic,
      partitioningProfileId: outcome.partitioning_profile_id,
      policyId: outcome.policy_id,
      policyRevision: outcome.policy_revision,
    });
    const eventId = text('event_id', outcome.event_id);
    const evidence = evidenceOf(outcome, text('reason_detail', outcome.reason_detail), run, replaced);

    const rows = slice.outcomes;
    rows.row(OUTCOME_FIELDS);
    if (run === null) rows.nullField();
    else rows.text(run);
    rows.bytes8(kind.id);
    rows.bigint(outcome.ingress_offset);
    rows.bigint(offset);
    rows.timestamp(microsToEpochMillis(outcome.decided_at_utc));
    rows.int16(outcome.ingress_partition);
    rows.int16(slice.partition);
    if (eventId === null || isHex64(eventId)) {
      digestOrNull(rows, eventId);
      rows.nullField();
    } else {
      rows.nullField();
      rows.text(eventId);
    }
    digestOrNull(rows, outcome.payload_hash);
    digestOrNull(rows, outcome.partition_key);
    // Of the run as the row has it, which is how the view makes the id.
    rows.hash(
      receiptId(
        run ?? '',
        decision,
        outcome.ingress_topic,
        outcome.ingress_partition,
        outcome.ingress_offset,
      ),
    );
    if (outcome.dedupe_key !== null && isHex64(outcome.dedupe_key)) rows.hash(outcome.dedupe_key);
    else rows.nullField();
    if (outcome.original_ingress_partition === null || outcome.original_ingress_offset === null) {
      rows.nullField();
      rows.nullField();
    } else {
      rows.int16(outcome.original_ingress_partition);
      rows.bigint(outcome.original_ingress_offset);
    }
    if (evidence === null) rows.nullField();
    else rows.jsonb(evidence);
    if (outcome.raw === null) rows.nullField();
    else rows.bytea(outcome.raw);
    slice.count(kind, run ?? '', offset);
  }

  #runOf(text: string | null): string | null {
    if (text === null) return null;
    let run = this.#runs.get(text);
    if (run === undefined) {
      if (this.#runs.size >= RUNS_CACHED) this.#runs.clear();
      run = namesRun(text) ? text : null;
      this.#runs.set(text, run);
    }
    return run;
  }
}

function namesRun(text: string): boolean {
  try {
    parsePlatformRunId(text);
    return true;
  } catch {
    return false;
  }
}

interface Evidence {
  readonly kind: string;
  readonly ref: string;
}

/** What the other columns cannot show. */
function evidenceOf(
  outcome: Outcome,
  detail: string | null,
  run: string | null,
  replaced: readonly string[],
): Evidence[] | null {
  const evidence: Evidence[] = [];
  if (detail !== null && detail !== '') evidence.push({ kind: 'reason_detail', ref: detail });
  if (outcome.decision === 'QUARANTINE') evidence.push({ kind: 'retryable', ref: String(outcome.retryable) });
  if (outcome.raw_sha256 !== null) evidence.push({ kind: 'raw_sha256', ref: outcome.raw_sha256 });
  if (run === null && outcome.platform_run_id !== null) {
    evidence.push({
      kind: 'claimed_platform_run_id',
      ref: outcome.platform_run_id.replaceAll(NUL, '\ufffd'),
    });
  }
  if (replaced.length > 0) evidence.push({ kind: 'u0000_replaced_in', ref: replaced.join(',') });
  return evidence.length === 0 ? null : evidence;
}

function digestOrNull(rows: PartitionSlice['outcomes'], value: string | null): void {
  if (value !== null && isHex64(value)) rows.digest(value);
  else rows.nullField();
}
