-- Up Migration

-- A run whose world is still to be made reads no pack yet.
alter table sr_runs alter column pack_root drop not null;
alter table sr_runs add column requested_pack_root text;
update sr_runs set requested_pack_root = pack_root;

-- READY may be emitted into another platform run than its own, where it is an attempt like any other.
alter table sr_outbox add column emit_platform_run_id text;
update sr_outbox set emit_platform_run_id = platform_run_id;
alter table sr_outbox alter column emit_platform_run_id set not null;
alter table sr_outbox drop constraint sr_outbox_platform_run_id_run_id_event_type_attempt_key;
alter table sr_outbox add constraint sr_outbox_emission unique (emit_platform_run_id, run_id, event_type, attempt);

alter table sr_platform_runs
  add column closed_at timestamptz,
  add column closed_by text,
  add column close_reason text;

create function sr_platform_runs_guard() returns trigger language plpgsql as $$
begin
  if old.closed_at is not null and new is distinct from old then
    raise exception 'platform run % is closed', old.platform_run_id using errcode = 'check_violation';
  end if;
  return new;
end $$;
create trigger sr_platform_runs_guard before update on sr_platform_runs
  for each row execute function sr_platform_runs_guard();

-- Acts that change outcomes, told once each however often they are reported.
create table sr_governance_facts (
  event_id text primary key check (event_id ~ '^[a-f0-9]{64}$'),
  platform_run_id text not null,
  event_family text not null,
  ts_utc text not null,
  fact jsonb not null,
  recorded_at timestamptz not null default clock_timestamp()
);
create index sr_governance_facts_by_run on sr_governance_facts (platform_run_id, event_family, ts_utc);

create function sr_governance_facts_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'sr_governance_facts is append-only' using errcode = 'check_violation';
end $$;
create trigger sr_governance_facts_append_only before update or delete on sr_governance_facts
  for each row execute function sr_governance_facts_append_only();

-- Who was turned away: counted, because whoever is refused may come as often as he likes.
create table sr_auth_denials (
  actor_id text not null,
  action text not null,
  platform_run_id text not null,
  run_id text not null,
  denials bigint not null default 1,
  first_at timestamptz not null default clock_timestamp(),
  last_at timestamptz not null default clock_timestamp(),
  primary key (actor_id, action, platform_run_id, run_id)
);

-- Down Migration

drop table sr_auth_denials;
drop table sr_governance_facts;
drop function sr_governance_facts_append_only();
drop trigger sr_platform_runs_guard on sr_platform_runs;
drop function sr_platform_runs_guard();
alter table sr_platform_runs drop column closed_at, drop column closed_by, drop column close_reason;
alter table sr_outbox drop constraint sr_outbox_emission;
delete from sr_outbox where emit_platform_run_id <> platform_run_id;
alter table sr_outbox drop column emit_platform_run_id;
alter table sr_outbox add unique (platform_run_id, run_id, event_type, attempt);
alter table sr_runs drop column requested_pack_root;
update sr_runs set pack_root = '' where pack_root is null;
alter table sr_runs alter column pack_root set not null;
