/**
 * What receipts have in common, stored once per kind instead of once per row (a run has some twenty kinds).
 * A kind's number is taken from the digest of its content, so no counter is shared between instances and a rebuild
 * gives the same numbers.
 */
import { createHash } from 'node:crypto';
import type { ClientBase } from 'pg';

export type Decision = 'ADMIT' | 'DUPLICATE' | 'QUARANTINE';

export interface KindContent {
  readonly platformRunId: string | null;
  readonly scenarioRunId: string | null;
  readonly eventType: string | null;
  readonly eventClass: string | null;
  readonly decision: Decision;
  readonly reasonCodes: readonly string[];
  readonly recordTopic: string;
  readonly ingressTopic: string;
  readonly partitioningProfileId: string | null;
  readonly policyId: string | null;
  readonly policyRevision: string | null;
}

export interface ReceiptKind {
  /** The number as the eight bytes of an int8 column. */
  readonly id: Buffer;
  /** The same number as SQL takes it. */
  readonly number: string;
  readonly content: KindContent;
}

/** Kinds come from records, some of which are hostile: beyond this many, the cache starts again. */
const MOST_CACHED = 20_000;

export class ReceiptKinds {
  readonly #known = new Map<string, ReceiptKind>();
  /** Kinds that the database is known to have. */
  readonly #stored = new Set<string>();

  of(content: KindContent): ReceiptKind {
    const key = keyOf(content);
    let kind = this.#known.get(key);
    if (kind === undefined) {
      if (this.#known.size >= MOST_CACHED) {
        this.#known.clear();
        this.#stored.clear();
      }
      const id = createHash('sha256').update(key).digest().subarray(0, 8);
      kind = { id, number: id.readBigInt64BE(0).toString(), content };
      this.#known.set(key, kind);
    }
    return kind;
  }

  /** Forgets what the database was known to have: somebody may have dropped a run. */
  forget(): void {
    this.#stored.clear();
  }

  /** Makes sure that the database has these kinds. Runs outside the batch's transaction: a kind alone does no harm. */
  async store(client: ClientBase, kinds: Iterable<ReceiptKind>): Promise<void> {
    const missing = [...kinds].filter((kind) => !this.#stored.has(kind.number));
    if (missing.length === 0) return;
    // One order for all instances, so that two that meet wait for each other and never deadlock.
    missing.sort((a, b) => (a.number < b.number ? -1 : 1));
    await client.query(
      `insert into receipt_kinds (kind, platform_run_id, scenario_run_id, event_type, event_class, decision,
         reason_codes, record_topic, ingress_topic, partitioning_profile_id, policy_id, policy_revision)
       select kind::bigint, platform_run_id, scenario_run_id, event_type, event_class, decision,
         array(select jsonb_array_elements_text(reason_codes)), record_topic, ingress_topic,
         partitioning_profile_id, policy_id, policy_revision
       from jsonb_to_recordset($1::jsonb) as k (kind text, platform_run_id text, scenario_run_id text,
         event_type text, event_class text, decision text, reason_codes jsonb, record_topic text,
         ingress_topic text, partitioning_profile_id text, policy_id text, policy_revision text)
       on conflict do nothing`,
      [JSON.stringify(missing.map(columnsOf))],
    );
    for (const kind of missing) this.#stored.add(kind.number);
  }
}

function keyOf(kind: KindContent): string {
  return JSON.stringify([
    kind.platformRunId,
    kind.scenarioRunId,
    kind.eventType,
    kind.eventClass,
    kind.decision,
    kind.reasonCodes,
    kind.recordTopic,
    kind.ingressTopic,
    kind.partitioningProfileId,
    kind.policyId,
    kind.policyRevision,
  ]);
}

function columnsOf(kind: ReceiptKind): Record<string, unknown> {
  return {
    kind: kind.number,
    platform_run_id: kind.content.platformRunId,
    scenario_run_id: kind.content.scenarioRunId,
    event_type: kind.content.eventType,
    event_class: kind.content.eventClass,
    decision: kind.content.decision,
    reason_codes: kind.content.reasonCodes,
    record_topic: kind.content.recordTopic,
    ingress_topic: kind.content.ingressTopic,
    partitioning_profile_id: kind.content.partitioningProfileId,
    policy_id: kind.content.policyId,
    policy_revision: kind.content.policyRevision,
  };
}
