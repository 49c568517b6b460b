/**
 * Writes a batch in one SQL transaction: positions first (the fence), then the rows by COPY, then what is counted.
 *
 * The session commits asynchronously (`synchronous_commit = off`). That cannot lose or double a receipt: rows and
 * positions are in one transaction, so when a crash of PostgreSQL takes the last moments away, it takes both, and the
 * same records are read from Kafka again.
 */
import { once } from 'node:events';
import type { ClientBase, Pool } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { copyStream, type CopyRows } from './copy-rows.ts';
import { advancePositions } from './positions.ts';
import type { PartitionSlice, ReceiptBatch } from './receipt-batch.ts';
import { ReceiptKinds } from './receipt-kinds.ts';
import { RunPartitions } from './run-partitions.ts';

const ADMITTED_COLUMNS =
  'platform_run_id, kind, ingress_offset, record_offset, decided_at, ingress_partition, record_partition, ' +
  'event_digest, event_text, payload_hash, partition_key, receipt_hash, dedupe_hash';
const OUTCOME_COLUMNS = `${ADMITTED_COLUMNS}, original_partition, original_offset, evidence, raw`;

export interface WriteResult {
  /** Rows that are now in the database. */
  readonly rows: number;
  /** Partitions of the batch that belong to another owner now; nothing of theirs was written. */
  readonly lost: readonly string[];
}

export class ReceiptWriter {
  readonly #pool: Pool;
  readonly #runs = new RunPartitions();
  readonly #kinds: ReceiptKinds;

  constructor(pool: Pool, kinds: ReceiptKinds) {
    this.#pool = pool;
    this.#kinds = kinds;
  }

  /**
   * Writes the batch; slices that another owner has overtaken are left out and named in the result. On an error
   * nothing of the batch is written and it may be written again: should the commit have succeeded unheard, the
   * fence tells.
   */
  async write(batch: ReceiptBatch): Promise<WriteResult> {
    const client = await this.#pool.connect();
    let broken = true;
    try {
      const result = await this.#write(client, batch);
      broken = false;
      return result;
    } catch (error) {
      this.#kinds.forget();
      this.#runs.forget();
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async #write(client: ClientBase, batch: ReceiptBatch): Promise<WriteResult> {
    const lost: string[] = [];
    for (;;) {
      const slices = batch.filled();
      if (slices.length === 0) return { rows: 0, lost };
      await this.#runs.ensure(client, runsOf(slices));
      await this.#kinds.store(client, kindsOf(slices));
      const overtaken = await transaction(client, slices);
      if (overtaken.length === 0) return { rows: batch.rows, lost };
      for (const name of overtaken) batch.drop(name);
      lost.push(...overtaken);
    }
  }
}

/** Names of the slices whose fence failed; when there are none, everything is committed. */
async function transaction(client: ClientBase, slices: readonly PartitionSlice[]): Promise<string[]> {
  await client.query('begin');
  try {
    const overtaken = await advancePositions(client, slices);
    if (overtaken.length > 0) {
      await client.query('rollback');
      return overtaken;
    }
    await copyRows(
      client,
      'admitted_receipts',
      ADMITTED_COLUMNS,
      slices.map((slice) => slice.admitted),
    );
    await copyRows(
      client,
      'outcome_receipts',
      OUTCOME_COLUMNS,
      slices.map((slice) => slice.outcomes),
    );
    await countRecords(client, slices);
    await client.query('commit');
    return [];
  } catch (error) {
    // The first error is the one to report; a broken connection cannot roll back and need not.
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

async function copyRows(
  client: ClientBase,
  table: string,
  columns: string,
  parts: readonly CopyRows[],
): Promise<void> {
  const filled = parts.filter((part) => part.rows > 0);
  if (filled.length === 0) return;
  const stream = client.query(copyFrom(`copy ${table} (${columns}) from stdin with (format binary)`));
  const finished = once(stream, 'finish');
  for (const chunk of copyStream(filled)) stream.write(chunk);
  stream.end();
  await finished;
}

async function countRecords(client: ClientBase, slices: readonly PartitionSlice[]): Promise<void> {
  const tallies = slices.flatMap((slice) =>
    [...slice.tallies.values()].map((tally) => ({
      kind: tally.kind.number,
      partition: slice.partition,
      records: tally.records,
      first: tally.first,
      last: tally.last,
    })),
  );
  const segments = slices.flatMap((slice) =>
    [...slice.segments.values()].map((each) => ({
      ...each,
      topic: slice.topic,
      partition: slice.partition,
    })),
  );
  const unreadable = slices.flatMap((slice) =>
    slice.unreadable.map((each) => ({ ...each, topic: slice.topic, partition: slice.partition })),
  );
  if (tallies.length > 0) {
    await client.query(
      `insert into receipt_tallies as t (kind, partition, records, first_offset, last_offset)
         select kind::bigint, partition, records, first, last from jsonb_to_recordset($1::jsonb)
           as added (kind text, partition int, records bigint, first bigint, last bigint)
         on conflict (kind, partition) do update
           set records = t.records + excluded.records, last_offset = excluded.last_offset`,
      [JSON.stringify(tallies)],
    );
    await client.query(
      `insert into receipt_segments as s (platform_run_id, topic, partition, segment, records)
         select run, topic, partition, segment, records from jsonb_to_recordset($1::jsonb)
           as added (run text, topic text, partition int, segment bigint, records bigint)
         on conflict (platform_run_id, topic, partition, segment) do update
           set records = s.records + excluded.records, touched_at = now()`,
      [JSON.stringify(segments)],
    );
  }
  if (unreadable.length > 0) {
    await client.query(
      `insert into unreadable_records (topic, partition, record_offset, reason)
         select topic, partition, "offset", reason from jsonb_to_recordset($1::jsonb)
           as added (topic text, partition int, "offset" bigint, reason text)`,
      [JSON.stringify(unreadable)],
    );
  }
}

function runsOf(slices: readonly PartitionSlice[]): Set<string> {
  const runs = new Set<string>();
  for (const slice of slices) for (const { run } of slice.segments.values()) if (run !== '') runs.add(run);
  return runs;
}

function* kindsOf(slices: readonly PartitionSlice[]) {
  for (const slice of slices) for (const { kind } of slice.tallies.values()) yield kind;
}
