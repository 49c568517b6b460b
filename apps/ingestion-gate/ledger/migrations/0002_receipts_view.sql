-- Up Migration

-- The recipes of apps/rails/identifiers.ts and the places of apps/rails/object-layout.ts, computed when read: a
-- receipt row then need not store what follows from its other columns. Tests hold them against rails.

create function ledger_receipt_id(run text, decision text, topic text, partition int, "offset" bigint) returns text
language sql stable parallel safe
return left(encode(sha256(convert_to(
  coalesce(run, '') || '|' || decision || '|' || topic || '|' || partition || '|' || "offset", 'UTF8')), 'hex'), 32);

create function ledger_dedupe_key(run text, event_class text, event_id text) returns text
language sql stable parallel safe
return encode(sha256(convert_to(run || ':' || event_class || ':' || event_id, 'UTF8')), 'hex');

-- Key of a segment in the platform's bucket. Records that name no run lie under `unattributed`.
create function ledger_segment_key(run text, folder text, topic text, partition int, "offset" bigint) returns text
language sql stable parallel safe
return coalesce(run, 'unattributed') || '/ig/' || folder || '/topic=' || topic || '/partition=' || partition ||
  '/segment-' || lpad(("offset" / 65536)::text, 12, '0') || '.parquet';

-- One row per ingress record. A DUPLICATE shows where its original stands on the bus.
create view receipts as
  select
    ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset) as receipt_id,
    r.platform_run_id,
    k.scenario_run_id,
    coalesce(r.event_text, encode(r.event_digest, 'hex')) as event_id,
    k.event_type,
    k.event_class,
    k.decision,
    k.reason_codes,
    k.record_topic as eb_topic,
    r.record_partition::int as eb_partition,
    r.record_offset as eb_offset,
    'kafka_offset'::text as eb_offset_kind,
    r.decided_at as eb_published_at_utc,
    encode(r.partition_key, 'hex') as partition_key,
    encode(r.payload_hash, 'hex') as payload_hash,
    ledger_dedupe_key(r.platform_run_id, k.event_class, coalesce(r.event_text, encode(r.event_digest, 'hex'))) as dedupe_key,
    k.partitioning_profile_id,
    k.policy_id,
    k.policy_revision,
    ledger_segment_key(r.platform_run_id, 'receipts', k.record_topic, r.record_partition, r.record_offset) || '#' ||
      ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset) as receipt_ref,
    '[]'::jsonb as evidence_refs,
    k.ingress_topic,
    r.ingress_partition::int as ingress_partition,
    r.ingress_offset,
    r.decided_at as admitted_at_utc
  from admitted_receipts r
  join receipt_kinds k on k.kind = r.kind
union all
  select
    ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset),
    r.platform_run_id,
    k.scenario_run_id,
    coalesce(r.event_text, encode(r.event_digest, 'hex')),
    k.event_type,
    k.event_class,
    k.decision,
    k.reason_codes,
    o.record_topic,
    o.record_partition::int,
    o.record_offset,
    case when o.record_topic is not null then 'kafka_offset' end,
    o.decided_at,
    encode(r.partition_key, 'hex'),
    encode(r.payload_hash, 'hex'),
    ledger_dedupe_key(r.platform_run_id, k.event_class, coalesce(r.event_text, encode(r.event_digest, 'hex'))),
    k.partitioning_profile_id,
    k.policy_id,
    k.policy_revision,
    ledger_segment_key(r.platform_run_id, 'receipts', k.record_topic, r.record_partition, r.record_offset) || '#' ||
      ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset),
    jsonb_build_array(jsonb_build_object('kind', 'outcome_record', 'ref',
      k.record_topic || '/' || r.record_partition || '/' || r.record_offset)) ||
    case
      when k.decision = 'QUARANTINE' then jsonb_build_array(jsonb_build_object('kind', 'quarantine_record', 'ref',
        ledger_segment_key(r.platform_run_id, 'quarantine', k.record_topic, r.record_partition, r.record_offset) || '#' ||
        ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset)))
      when o.record_topic is not null then jsonb_build_array(jsonb_build_object('kind', 'receipt_ref', 'ref',
        ledger_segment_key(r.platform_run_id, 'receipts', o.record_topic, o.record_partition, o.record_offset) || '#' ||
        ledger_receipt_id(r.platform_run_id, 'ADMIT', k.ingress_topic, r.original_partition, r.original_offset)))
      else '[]'::jsonb
    end || coalesce(r.evidence, '[]'::jsonb),
    k.ingress_topic,
    r.ingress_partition::int,
    r.ingress_offset,
    case when k.decision = 'DUPLICATE' then r.decided_at end
  from outcome_receipts r
  join receipt_kinds k on k.kind = r.kind
  left join (
    select a.platform_run_id, a.ingress_partition, a.ingress_offset, a.record_partition, a.record_offset,
      a.decided_at, ka.ingress_topic, ka.record_topic
    from admitted_receipts a join receipt_kinds ka on ka.kind = a.kind
  ) o on k.decision = 'DUPLICATE' and o.platform_run_id = r.platform_run_id
    and o.ingress_topic = k.ingress_topic
    and o.ingress_partition = r.original_partition and o.ingress_offset = r.original_offset;

-- Down Migration

drop view receipts;
drop function ledger_receipt_id, ledger_dedupe_key, ledger_segment_key;
