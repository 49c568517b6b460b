/** From a record of the bus to an ADMIT receipt's row. The value is never read: the decision travels in the headers. */
import { HEADER_PREFIX_BYTES, type RecordBatch } from '../../../lib/index.ts';
import {
  dedupeKey,
  decodeDecisionHeader,
  DECISION_HEADER,
  EVENT_CLASS_HEADER,
  EVENT_TYPE_HEADER,
  isHex64,
  isPlatformRunId,
  PLATFORM_RUN_ID_HEADER,
  receiptId,
} from '../../rails/index.ts';
import { LedgerError } from './ledger-error.ts';
import type { PartitionSlice } from './receipt-batch.ts';
import type { ReceiptKinds } from './receipt-kinds.ts';

const ADMITTED_FIELDS = 13;
const STREAM_COMPLETED = 'stream.completed';
const NO_REASONS: readonly string[] = [];

export class AdmittedRecordReader {
  readonly #kinds: ReceiptKinds;
  readonly #streamCompleted: (platformRunId: string) => void;
  readonly #headers = new Map<string, string>();

  /** `streamCompleted` is told of every stream.completed fact that is read: no more of that run is coming. */
  constructor(kinds: ReceiptKinds, streamCompleted: (platformRunId: string) => void = () => undefined) {
    this.#kinds = kinds;
    this.#streamCompleted = streamCompleted;
  }

  /**
   * Appends the row of record `i` to the slice and counts it. Throws LedgerError RECORD_UNREADABLE, with nothing
   * appended, when the record is not what the gate writes.
   */
  read(batch: RecordBatch, i: number, slice: PartitionSlice): void {
    const headers = readHeaders(batch, i, this.#headers);
    const run = headers.get(PLATFORM_RUN_ID_HEADER);
    const decision = headers.get(DECISION_HEADER);
    if (run === undefined || !isPlatformRunId(run)) throw unreadable(PLATFORM_RUN_ID_HEADER, run);
    if (decision === undefined) throw unreadable(DECISION_HEADER, decision);
    const receipt = decodeDecisionHeader(decision);
    const key = textOf(batch, batch.keyStart[i]!, batch.keyLength[i]!);
    if (!isHex64(key))
      throw new LedgerError('RECORD_UNREADABLE', `the key '${key}' is not a stamped partition key`);

    const kind = this.#kinds.of({
      platformRunId: run,
      scenarioRunId: receipt.scenarioRunId,
      eventType: headers.get(EVENT_TYPE_HEADER) ?? null,
      eventClass: headers.get(EVENT_CLASS_HEADER) ?? null,
      decision: 'ADMIT',
      reasonCodes: NO_REASONS,
      recordTopic: slice.topic,
      ingressTopic: receipt.ingressTopic,
      partitioningProfileId: receipt.partitioningProfileId,
      policyId: receipt.policyId,
      policyRevision: receipt.policyRevision,
    });
    const offset = batch.offset[i]!;
    const rows = slice.admitted;
    rows.row(ADMITTED_FIELDS);
    rows.text(run);
    rows.bytes8(kind.id);
    rows.bigint(receipt.ingressOffset);
    rows.bigint(offset);
    rows.timestamp(batch.timestamp[i]!);
    rows.int16(receipt.ingressPartition);
    rows.int16(slice.partition);
    if (isHex64(receipt.eventId)) {
      rows.digest(receipt.eventId);
      rows.nullField();
    } else {
      rows.nullField();
      rows.text(receipt.eventId);
    }
    rows.digest(receipt.payloadHash);
    rows.digest(key);
    const { ingressTopic, ingressPartition, ingressOffset } = receipt;
    rows.hash(receiptId(run, 'ADMIT', ingressTopic, ingressPartition, ingressOffset));
    rows.hash(dedupeKey(run, kind.content.eventClass ?? '', receipt.eventId));
    slice.count(kind, run, offset);
    if (kind.content.eventType === STREAM_COMPLETED) this.#streamCompleted(run);
  }
}

/** The record's headers by name (the last of a repeated name), into a map that is reused. */
function readHeaders(batch: RecordBatch, i: number, into: Map<string, string>): Map<string, string> {
  into.clear();
  const data = batch.data;
  let at = batch.headersStart[i]!;
  for (let left = batch.headersCount[i]!; left > 0; left -= 1) {
    const nameLength = data.readInt32LE(at);
    const valueLength = data.readInt32LE(at + 4);
    at += HEADER_PREFIX_BYTES;
    const name = data.toString('latin1', at, at + nameLength);
    at += nameLength;
    if (valueLength < 0) continue;
    into.set(name, data.toString('utf8', at, at + valueLength));
    at += valueLength;
  }
  return into;
}

function textOf(batch: RecordBatch, start: number, length: number): string {
  return length < 0 ? '' : batch.data.toString('latin1', start, start + length);
}

function unreadable(header: string, value: string | undefined): LedgerError {
  return new LedgerError(
    'RECORD_UNREADABLE',
    `the header ${header} is ${value === undefined ? 'missing' : `'${value}'`}`,
  );
}
