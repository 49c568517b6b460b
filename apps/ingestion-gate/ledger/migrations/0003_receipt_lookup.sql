-- Up Migration

-- Look-ups by receipt and by dedupe key take milliseconds: both ids are computed when read, so rows keep the first
-- eight bytes of them, which name a row all but surely; the whole id decides.
alter table admitted_receipts add column receipt_hash bigint, add column dedupe_hash bigint;
alter table outcome_receipts add column receipt_hash bigint, add column dedupe_hash bigint;
create index admitted_receipts_receipt on admitted_receipts using hash (receipt_hash);
create index admitted_receipts_dedupe on admitted_receipts using hash (dedupe_hash);
create index outcome_receipts_receipt on outcome_receipts using hash (receipt_hash);
create index outcome_receipts_dedupe on outcome_receipts using hash (dedupe_hash);

-- The first eight bytes of an id in hex, as the ledger writes them.
create function ledger_hash(id text) returns bigint
language sql immutable strict parallel safe
return ('x' || left(id, 16))::bit(64)::bigint;

-- Rows written before.
update admitted_receipts r set
  receipt_hash = ledger_hash(ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset)),
  dedupe_hash = ledger_hash(ledger_dedupe_key(r.platform_run_id, k.event_class, coalesce(r.event_text, encode(r.event_digest, 'hex'))))
from receipt_kinds k where k.kind = r.kind;
update outcome_receipts r set
  receipt_hash = ledger_hash(ledger_receipt_id(r.platform_run_id, k.decision, k.ingress_topic, r.ingress_partition, r.ingress_offset)),
  dedupe_hash = ledger_hash(ledger_dedupe_key(r.platform_run_id, k.event_class, coalesce(r.event_text, encode(r.event_digest, 'hex'))))
from receipt_kinds k where k.kind = r.kind;

-- A quarantined record that was sent through the front door again, and the ingress record that it became. Written by
-- the operator's command, like the note of a decision; the ingress record's own header says the same.
create table reingested_records (
  ingress_topic         text not null,
  ingress_partition     integer not null,
  ingress_offset        bigint not null,
  original_receipt_id   text not null,
  original_partition    integer not null,
  original_offset       bigint not null,
  requested_by          text not null,
  reason                text not null,
  requested_at          timestamptz not null default now(),
  primary key (ingress_topic, ingress_partition, ingress_offset)
);
create index reingested_records_original on reingested_records (original_receipt_id);

create or replace view receipts as
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
    r.decided_at as admitted_at_utc,
    r.receipt_hash,
    r.dedupe_hash,
    null::int as original_ingress_partition,
    null::bigint as original_ingress_offset,
    r.decided_at as decided_at_utc
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
    case when k.decision = 'DUPLICATE' then r.decided_at end,
    r.receipt_hash,
    r.dedupe_hash,
    r.original_partition::int,
    r.original_offset,
    r.decided_at
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
drop table reingested_records;
drop function ledger_hash;
alter table outcome_receipts drop column receipt_hash, drop column dedupe_hash;
alter table admitted_receipts drop column receipt_hash, drop column dedupe_hash;
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
