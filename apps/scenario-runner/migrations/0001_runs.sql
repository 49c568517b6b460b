-- Up Migration

create table sr_platform_runs (
  platform_run_id text primary key check (platform_run_id ~ '^platform_[0-9]{8}T[0-9]{6}Z$'),
  issued_at timestamptz not null default clock_timestamp()
);

create table sr_run_equivalence (
  run_equivalence_key text primary key,
  run_id text not null unique check (run_id ~ '^[a-f0-9]{32}$'),
  intent_fingerprint text not null check (intent_fingerprint ~ '^[a-f0-9]{64}$'),
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp()
);

-- A run is a scenario run inside a platform run: the platform run is the scope of its artifacts and of its READY.
create table sr_runs (
  platform_run_id text not null references sr_platform_runs,
  run_id text not null references sr_run_equivalence (run_id),
  state text not null default 'OPEN'
    check (state in ('OPEN', 'PLANNED', 'EXECUTING', 'WAITING_EVIDENCE', 'READY', 'FAILED', 'QUARANTINED')),
  reason_code text,
  reason text,
  request jsonb not null,
  pack_root text not null,
  replay jsonb not null,
  plan jsonb,
  facts_view jsonb,
  facts_view_ref text,
  bundle_hash text,
  ready_signal jsonb,
  accepted_at timestamptz not null default clock_timestamp(),
  updated_at timestamptz not null default clock_timestamp(),
  primary key (platform_run_id, run_id),
  check (state <> 'READY' or (facts_view is not null and bundle_hash is not null and ready_signal is not null))
);

create function sr_runs_guard() returns trigger language plpgsql as $$
begin
  if old.state <> new.state and not (
    (old.state = 'OPEN' and new.state in ('PLANNED', 'FAILED', 'QUARANTINED')) or
    (old.state = 'PLANNED' and new.state in ('EXECUTING', 'WAITING_EVIDENCE', 'READY', 'FAILED', 'QUARANTINED')) or
    (old.state = 'EXECUTING' and new.state in ('WAITING_EVIDENCE', 'READY', 'FAILED', 'QUARANTINED')) or
    (old.state = 'WAITING_EVIDENCE' and new.state in ('READY', 'FAILED', 'QUARANTINED'))
  ) then
    raise exception 'a run cannot move from % to %', old.state, new.state using errcode = 'check_violation';
  end if;
  if old.plan is not null and new.plan is distinct from old.plan then
    raise exception 'the plan of run % is write-once', old.run_id using errcode = 'check_violation';
  end if;
  if old.state = 'READY' and (new.facts_view is distinct from old.facts_view
      or new.ready_signal is distinct from old.ready_signal or new.bundle_hash is distinct from old.bundle_hash) then
    raise exception 'the facts of READY run % are write-once', old.run_id using errcode = 'check_violation';
  end if;
  new.updated_at := clock_timestamp();
  return new;
end $$;
create trigger sr_runs_guard before update on sr_runs for each row execute function sr_runs_guard();

-- run_id holds the run's id, or `reemit:<run_id>:<kind>` for the lease of a re-emit.
create table sr_run_leases (
  platform_run_id text not null,
  run_id text not null,
  owner_id text not null,
  lease_token text not null,
  expires_at timestamptz not null,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (platform_run_id, run_id)
);

create table sr_run_records (
  position bigint generated always as identity primary key,
  platform_run_id text not null,
  run_id text not null,
  event_id text not null check (event_id ~ '^[a-f0-9]{64}$'),
  event_kind text not null,
  ts_utc timestamptz not null default clock_timestamp(),
  details jsonb not null,
  policy_rev jsonb,
  unique (platform_run_id, run_id, event_id),
  foreign key (platform_run_id, run_id) references sr_runs
);
create index sr_run_records_by_kind on sr_run_records (platform_run_id, run_id, event_kind, ts_utc);

create function sr_run_records_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'sr_run_records is append-only' using errcode = 'check_violation';
end $$;
create trigger sr_run_records_append_only before update or delete on sr_run_records
  for each row execute function sr_run_records_append_only();

-- Facts decided but perhaps not published yet: written in the transaction that decides them.
create table sr_outbox (
  position bigint generated always as identity primary key,
  platform_run_id text not null,
  run_id text not null,
  event_type text not null,
  attempt integer not null check (attempt >= 1),
  event_id text not null check (event_id ~ '^[a-f0-9]{64}$'),
  message_id text not null check (message_id ~ '^[a-f0-9]{64}$'),
  event jsonb not null,
  created_at timestamptz not null default clock_timestamp(),
  published_at timestamptz,
  ingress_topic text,
  ingress_partition integer,
  ingress_offset text,
  failures integer not null default 0,
  last_failure text,
  unique (platform_run_id, run_id, event_type, attempt),
  foreign key (platform_run_id, run_id) references sr_runs
);
create index sr_outbox_pending on sr_outbox (platform_run_id, run_id, position) where published_at is null;

-- Down Migration

drop table sr_outbox;
drop table sr_run_records;
drop function sr_run_records_append_only();
drop table sr_run_leases;
drop table sr_runs;
drop function sr_runs_guard();
drop table sr_run_equivalence;
drop table sr_platform_runs;
