/**
 * Where the ledger stands in each partition, kept in PostgreSQL beside the rows.
 *
 * A batch moves `next` on only from where it began, in the transaction that writes its rows. If another owner has
 * moved it meanwhile, no row matches: whatever this instance holds of the partition is stale and is dropped. That
 * makes the ledger exactly-once without any help from the Kafka group, whose offsets are committed for lag only.
 */
import type { ClientBase } from 'pg';

export interface Advance {
  readonly topic: string;
  readonly partition: number;
  /** The position the batch began at. */
  readonly start: number;
  /** Exclusive: last record's offset + 1. */
  readonly next: number;
}

export function partitionName(topic: string, partition: number): string {
  return `${topic}/${String(partition)}`;
}

interface PositionRow {
  readonly topic: string;
  readonly partition: number;
  readonly next: string;
}

/** Positions of these partitions by `partitionName`; a partition never seen before begins at 0. */
export async function readPositions(
  client: ClientBase,
  partitions: readonly { readonly topic: string; readonly partition: number }[],
): Promise<Map<string, number>> {
  const topics = partitions.map((each) => each.topic);
  const numbers = partitions.map((each) => each.partition);
  await client.query(
    `insert into ledger_positions (topic, partition, next)
     select topic, partition, 0 from unnest($1::text[], $2::int[]) as wanted (topic, partition)
     order by topic, partition on conflict do nothing`,
    [topics, numbers],
  );
  const { rows } = await client.query<PositionRow>(
    `select p.topic, p.partition, p.next from ledger_positions p
     join unnest($1::text[], $2::int[]) as wanted (topic, partition) using (topic, partition)`,
    [topics, numbers],
  );
  return new Map(rows.map((row) => [partitionName(row.topic, row.partition), Number(row.next)]));
}

/**
 * Moves positions on inside the caller's transaction. Returns the names of the partitions that another owner has
 * moved since `start`; when there are any, the caller must roll back.
 */
export async function advancePositions(client: ClientBase, advances: readonly Advance[]): Promise<string[]> {
  const { rows } = await client.query<{ topic: string; partition: number }>(
    `update ledger_positions p set next = moved.next
     from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) as moved (topic, partition, start, next)
     where p.topic = moved.topic and p.partition = moved.partition and p.next = moved.start
     returning p.topic, p.partition`,
    [
      advances.map((each) => each.topic),
      advances.map((each) => each.partition),
      advances.map((each) => each.start),
      advances.map((each) => each.next),
    ],
  );
  const held = new Set(rows.map((row) => partitionName(row.topic, row.partition)));
  return advances.map((each) => partitionName(each.topic, each.partition)).filter((name) => !held.has(name));
}
