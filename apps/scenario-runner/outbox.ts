/**
 * Control facts that are decided and still have to be published.
 *
 * A fact enters the outbox in the transaction that decides it and leaves it when the front door has acknowledged
 * it, so a crash in between repeats the fact and never loses it. Repeats carry the same event id, and the gate
 * answers them with DUPLICATE.
 */
import type { PoolClient } from 'pg';
import type { Envelope, FrontDoorReceipt, PolicyRev } from '../rails/index.ts';
import { appendRecords, type RecordKind, type RunKey } from './run-record.ts';

export const FACT_TYPES = ['run.ready', 'run.terminal', 'run.closed'] as const;
export type FactType = (typeof FACT_TYPES)[number];

export interface OutboxFact {
  readonly eventType: FactType;
  /** The platform run the fact is told in. */
  readonly emitPlatformRunId: string;
  /** Counts the facts of this type and run told there, from 1. */
  readonly attempt: number;
  readonly messageId: string;
  readonly event: Envelope;
}

export interface PublishedFact extends OutboxFact {
  readonly coordinates: FrontDoorReceipt;
}

/** Where facts are published: the front door of the platform, or a stand-in for it. */
export interface ControlPublisher {
  /** Resolves when the fact is durably stored; rejects when that is unknown or failed. */
  publish(event: Envelope): Promise<FrontDoorReceipt>;
}

interface OutboxRow {
  readonly position: string;
  readonly eventType: FactType;
  readonly emitPlatformRunId: string;
  readonly attempt: number;
  readonly messageId: string;
  readonly event: Envelope;
}

/** Adds facts in the caller's transaction; an attempt that is there already stays as it is. Returns how many were added. */
export async function insertFacts(
  client: PoolClient,
  key: RunKey,
  facts: readonly OutboxFact[],
): Promise<number> {
  let added = 0;
  for (const fact of facts) {
    const { rowCount } = await client.query(
      `insert into sr_outbox
         (platform_run_id, run_id, event_type, attempt, event_id, message_id, event, emit_platform_run_id)
       values ($1, $2, $3, $4, $5, $6, $7, $8)
       on conflict (emit_platform_run_id, run_id, event_type, attempt) do nothing`,
      [
        key.platformRunId,
        key.runId,
        fact.eventType,
        fact.attempt,
        fact.event.event_id,
        fact.messageId,
        JSON.stringify(fact.event),
        fact.emitPlatformRunId,
      ],
    );
    added += rowCount ?? 0;
  }
  return added;
}

export class PublishFailed extends Error {
  override readonly name = 'PublishFailed';
  readonly fact: OutboxFact;

  constructor(fact: OutboxFact, cause: unknown) {
    super(`${fact.eventType} attempt ${fact.attempt}: ${(cause as Error).message}`, { cause });
    this.fact = fact;
  }
}

/**
 * Publishes the next fact that a run owes, oldest first, and returns it; undefined when it owes none, or when
 * another process is publishing just now. Throws PublishFailed, leaving the fact in the outbox.
 */
export async function publishNext(
  transaction: <T>(work: (client: PoolClient) => Promise<T>) => Promise<T>,
  publisher: ControlPublisher,
  key: RunKey,
  policyRev: PolicyRev,
): Promise<PublishedFact | undefined> {
  const outcome = await transaction(async (client) => {
    const { rows } = await client.query<OutboxRow>(
      `select position, event_type as "eventType", emit_platform_run_id as "emitPlatformRunId", attempt, message_id as "messageId", event from sr_outbox
       where platform_run_id = $1 and run_id = $2 and published_at is null
       order by position limit 1 for update skip locked`,
      [key.platformRunId, key.runId],
    );
    const fact = rows[0];
    if (fact === undefined) return undefined;
    let coordinates: FrontDoorReceipt;
    try {
      coordinates = await publisher.publish(fact.event);
    } catch (error) {
      await client.query(
        'update sr_outbox set failures = failures + 1, last_failure = $2 where position = $1',
        [fact.position, (error as Error).message],
      );
      await appendRecords(client, key, policyRev, [
        {
          event_kind: recordKind(fact, 'FAILED'),
          details: { ...what(fact), failure: (error as Error).message },
        },
      ]);
      return new PublishFailed(fact, error);
    }
    await client.query(
      `update sr_outbox set published_at = clock_timestamp(), ingress_topic = $2, ingress_partition = $3,
         ingress_offset = $4, last_failure = null where position = $1`,
      [fact.position, coordinates.topic, coordinates.partition, coordinates.offset?.toString() ?? null],
    );
    await appendRecords(client, key, policyRev, [
      { event_kind: recordKind(fact, 'PUBLISHED'), details: { ...what(fact), ...coordinates } },
    ]);
    return { ...fact, coordinates };
  });
  if (outcome instanceof PublishFailed) throw outcome;
  return outcome;
}

const RECORDED_AS = { 'run.ready': 'READY', 'run.terminal': 'TERMINAL', 'run.closed': 'RUN_CLOSE' } as const;

function recordKind(fact: OutboxRow, outcome: 'PUBLISHED' | 'FAILED'): RecordKind {
  if (fact.attempt > 1) return `REEMIT_${outcome}`;
  const kind = RECORDED_AS[fact.eventType];
  return outcome === 'PUBLISHED' ? `${kind}_PUBLISHED` : `${kind}_PUBLISH_FAILED`;
}

function what(fact: OutboxRow): { event_type: FactType; attempt: number; message_id: string } {
  return { event_type: fact.eventType, attempt: fact.attempt, message_id: fact.messageId };
}

export interface OutboxState {
  /** Highest attempt of this type that was ever decided for the platform run emitted into; 0 when none. */
  readonly lastAttempt: number;
  /** Facts of the run, of any type, that are still to be published. */
  readonly pending: number;
  /** Re-emits of this type decided within the last `windowSeconds`. */
  readonly recent: number;
}

export async function outboxState(
  client: Pick<PoolClient, 'query'>,
  key: RunKey,
  eventType: FactType,
  windowSeconds: number,
  emitPlatformRunId: string = key.platformRunId,
): Promise<OutboxState> {
  const { rows } = await client.query<OutboxState>(
    `select coalesce(max(attempt) filter (where event_type = $3 and emit_platform_run_id = $5), 0)::int as "lastAttempt",
       count(*) filter (where published_at is null and platform_run_id = $1)::int as pending,
       count(*) filter (where event_type = $3 and platform_run_id = $1 and attempt > 1 and created_at > clock_timestamp() - make_interval(secs => $4))::int
         as recent
     from sr_outbox where run_id = $2 and (platform_run_id = $1 or emit_platform_run_id = $5)`,
    [key.platformRunId, key.runId, eventType, windowSeconds, emitPlatformRunId],
  );
  return rows[0]!;
}
