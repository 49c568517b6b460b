-- Up Migration

-- What all receipts of a kind have in common, stored once: a receipt row then carries only what is its own.
-- `kind` is derived from the other columns (receipt-kinds.ts), so a rebuild gives the same numbers.
create table receipt_kinds (
  kind                    bigint primary key,
  platform_run_id         text,
  scenario_run_id         text,
  event_type              text,
  event_class             text,
  decision                text not null check (decision in ('ADMIT', 'DUPLICATE', 'QUARANTINE')),
  reason_codes            text[] not null,
  -- Where the decision itself stands: a bus topic for ADMIT, the outcomes topic otherwise.
  record_topic            text not null,
  ingress_topic           text not null,
  partitioning_profile_id text,
  policy_id               text,
  policy_revision         text
);
create index receipt_kinds_run on receipt_kinds (platform_run_id);

-- One row per admitted record. Partitions by run are made when a run is first seen (run-partitions.ts).
create table admitted_receipts (
  platform_run_id   text not null,
  kind              bigint not null,
  ingress_offset    bigint not null,
  record_offset     bigint not null,
  decided_at        timestamptz not null,
  ingress_partition smallint not null,
  record_partition  smallint not null,
  -- A hex64 id as its 32 bytes; any other text as it is.
  event_digest      bytea,
  event_text        text,
  payload_hash      bytea not null,
  partition_key     bytea not null
) partition by list (platform_run_id);

-- One row per DUPLICATE or QUARANTINE. Everything about the event may be missing: it may have been unreadable.
create table outcome_receipts (
  platform_run_id   text,
  kind              bigint not null,
  ingress_offset    bigint not null,
  record_offset     bigint not null,
  decided_at        timestamptz not null,
  ingress_partition smallint not null,
  record_partition  smallint not null,
  event_digest      bytea,
  event_text        text,
  payload_hash      bytea,
  partition_key     bytea,
  -- DUPLICATE: where its original entered. The original's place on the bus is joined when read.
  original_partition smallint,
  original_offset    bigint,
  -- What else the gate recorded; never indexed, shown under evidence_refs.
  evidence          jsonb,
  -- QUARANTINE: the record's own bytes, until they are packed into a segment.
  raw               bytea
) partition by list (platform_run_id);
create table outcome_receipts_no_run partition of outcome_receipts for values in (null);

-- Hash on the text that people look up; BRIN (which costs next to nothing on load) for the joins and the
-- segments, because offsets are written in order.
create index admitted_receipts_event on admitted_receipts using hash (coalesce(event_text, encode(event_digest, 'hex')));
create index admitted_receipts_offsets on admitted_receipts using brin (record_offset, ingress_offset) with (pages_per_range = 32);
create index outcome_receipts_event on outcome_receipts using hash (coalesce(event_text, encode(event_digest, 'hex')));
create index outcome_receipts_offsets on outcome_receipts using brin (record_offset, ingress_offset) with (pages_per_range = 32);

-- The exactly-once fence: a batch of rows commits together with `next` moving on from where the batch began.
create table ledger_positions (
  topic     text not null,
  partition integer not null,
  -- Exclusive: the offset of the next record to read.
  next      bigint not null,
  primary key (topic, partition)
);

-- Records by kind and partition, kept in the transaction that writes the rows.
create table receipt_tallies (
  kind         bigint not null references receipt_kinds (kind) on delete cascade,
  partition    integer not null,
  records      bigint not null,
  first_offset bigint not null,
  last_offset  bigint not null,
  primary key (kind, partition)
);

-- What is to be archived: a segment is 65,536 offsets of one partition, as far as one run has records in it.
create table receipt_segments (
  platform_run_id  text not null,
  topic            text not null,
  partition        integer not null,
  segment          bigint not null,
  records          bigint not null,
  archived_records bigint not null default 0,
  touched_at       timestamptz not null default now(),
  primary key (platform_run_id, topic, partition, segment)
);
create index receipt_segments_open on receipt_segments (touched_at) where archived_records < records;

-- Records that say nothing the ledger can read. There should be none: only the gate writes these topics.
create table unreadable_records (
  topic         text not null,
  partition     integer not null,
  record_offset bigint not null,
  reason        text not null,
  seen_at       timestamptz not null default now(),
  primary key (topic, partition, record_offset)
);

-- Down Migration

drop table unreadable_records, receipt_segments, receipt_tallies, ledger_positions, outcome_receipts, admitted_receipts, receipt_kinds;
