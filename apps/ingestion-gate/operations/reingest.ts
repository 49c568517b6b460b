/**
 * Sends a quarantined record through the front door again: the same bytes, on the partition its key gives, with the
 * original's receipt id in a header. The gate decides anew; both receipts then name each other.
 */
import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';
import {
  avroAnyReader,
  Bytes,
  NotReady,
  OutgoingBatch,
  producerDefaults,
  SerdeError,
  type KafkaClient,
  type SchemaSource,
} from '../../../lib/index.ts';
import type { Envelope, Partitioning } from '../../rails/index.ts';
import { partitionOfKey } from '../http/event-reader.ts';
import { PRINCIPAL_HEADER } from '../http/ingress-writer.ts';
import type { LedgerReceipt } from './receipt-lookup.ts';

/** On an ingress record: the receipt of the quarantined record that it is sent again for. */
export const SUPERSEDES_HEADER = 'ig_supersedes';

export class ReingestError extends Error {
  override readonly name = 'ReingestError';
}

export interface ReingestOptions {
  readonly database: ClientBase;
  readonly client: KafkaClient;
  readonly bootstrapServers: string;
  readonly schemas: SchemaSource;
  readonly partitioning: Partitioning;
  readonly partitions: number;
  readonly ingressTopic: string;
}

export interface ReingestRequest {
  readonly original: LedgerReceipt;
  readonly raw: Buffer;
  readonly requestedBy: string;
  readonly reason: string;
}

const TIMEOUT_MS = 15_000;

/** The bytes of a quarantined record while PostgreSQL holds them; undefined once they are packed into a segment. */
export async function rawInLedger(database: ClientBase, receipt: LedgerReceipt): Promise<Buffer | undefined> {
  const { rows } = await database.query<{ raw: Buffer | null }>(
    `select r.raw from outcome_receipts r join receipt_kinds k on k.kind = r.kind
     where r.receipt_hash = ledger_hash($1) and k.ingress_topic = $2 and r.ingress_partition = $3 and r.ingress_offset = $4`,
    [receipt.receipt_id, receipt.ingress.topic, receipt.ingress.partition, receipt.ingress.offset],
  );
  return rows[0]?.raw ?? undefined;
}

/** Throws ReingestError unless the bytes are those whose digest the gate recorded. */
export function assertIntact(receipt: LedgerReceipt, raw: Buffer): void {
  const recorded = receipt.evidence_refs.find(({ kind }) => kind === 'raw_sha256')?.ref;
  const found = createHash('sha256').update(raw).digest('hex');
  if (recorded !== found) {
    throw new ReingestError(
      `the bytes of ${receipt.receipt_id} have the digest ${found}, not ${recorded ?? 'none'}`,
    );
  }
}

/** Resolves with the new record's place on ingress, when it is acknowledged and the link is written. */
export async function reingest(
  options: ReingestOptions,
  { original, raw, requestedBy, reason }: ReingestRequest,
): Promise<{ readonly topic: string; readonly partition: number; readonly offset: number }> {
  if (original.decision !== 'QUARANTINE')
    throw new ReingestError(
      `${original.receipt_id} is ${original.decision}; only quarantined records are sent again`,
    );
  assertIntact(original, raw);
  const topic = options.ingressTopic;
  const key = await keyOf(options, raw);
  const partition = key === undefined ? original.ingress.partition : partitionOfKey(key, options.partitions);
  const producer = options.client.createProducer({
    ...producerDefaults,
    'bootstrap.servers': options.bootstrapServers,
    acks: 'all',
    'message.timeout.ms': TIMEOUT_MS,
  });
  try {
    const batch = new OutgoingBatch(1);
    batch.add({
      topic,
      partition,
      key: key ?? null,
      value: raw,
      headers: [
        [SUPERSEDES_HEADER, original.receipt_id],
        [PRINCIPAL_HEADER, requestedBy],
      ],
    });
    await producer.produce(batch);
    await producer.flush(TIMEOUT_MS);
    const offset = producer.acknowledged(topic, partition);
    await options.database.query(
      `insert into reingested_records (ingress_topic, ingress_partition, ingress_offset, original_receipt_id,
         original_partition, original_offset, requested_by, reason) values ($1, $2, $3, $4, $5, $6, $7, $8)`,
      [
        topic,
        partition,
        offset,
        original.receipt_id,
        original.ingress.partition,
        original.ingress.offset,
        requestedBy,
        reason,
      ],
    );
    return { topic, partition, offset };
  } finally {
    await producer.close(TIMEOUT_MS);
  }
}

/** The key of a record that can be read; one that cannot stays on its partition. */
async function keyOf({ schemas, partitioning }: ReingestOptions, raw: Buffer): Promise<string | undefined> {
  const bytes = new Bytes(raw);
  const reader = avroAnyReader(schemas);
  for (;;) {
    try {
      const schema = reader.schemaOf(bytes);
      return partitioning.profileOf(schema.recordName).key(schema.decode(bytes) as Envelope);
    } catch (error) {
      if (error instanceof SerdeError) return undefined;
      if (!(error instanceof NotReady)) throw error;
      await error.ready;
    }
  }
}
