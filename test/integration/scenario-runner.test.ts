/** The runner on real servers: from a request to READY, every refusal, every crash point, every re-emit. */
import test from 'ava';
import {
  issuePlatformRun,
  reemit,
  ENGINE_STEPS,
  RUN_STEPS,
  runStatus,
  ScenarioRunnerError,
  submitRun,
  type RunSubmission,
} from '../../apps/scenario-runner/index.ts';
import { RUN_STATES, mayMove } from '../../apps/scenario-runner/run-state.ts';
import { readyMessageId, scenarioRunId, streamedOutputs } from '../../apps/rails/index.ts';
import {
  RecordingDoor,
  requestFor,
  runnerFixture,
  type RunnerFixture,
} from './scenario-runner/runner-fixture.ts';
import { writeSealedPack, type SealedPack } from './scenario-runner/sealed-pack.ts';

let fixture: RunnerFixture;
let world: SealedPack;
let seed = 100;
let platformRuns = 0;

test.before(async () => {
  fixture = await runnerFixture();
  world = await writeSealedPack(fixture.oracle, '42');
});
test.after.always(() => fixture.remove());

function platformRun(): string {
  platformRuns += 1;
  return `platform_20260101T${String(Math.floor(platformRuns / 60)).padStart(4, '0')}${String(platformRuns % 60).padStart(2, '0')}Z`;
}

function submission(pack: SealedPack, change: Partial<RunSubmission> = {}): RunSubmission {
  const id = platformRun();
  return {
    platform_run_id: id,
    pack_root: pack.root,
    request: requestFor(pack, `key/${id}`),
    wait_seconds: 0,
    ...change,
  };
}

/** A world of its own, to be broken. */
async function worldToBreak(): Promise<SealedPack> {
  seed += 1;
  return writeSealedPack(fixture.oracle, String(seed));
}

async function json(ref: string): Promise<Record<string, unknown>> {
  const key = ref.replace(/^s3:\/\/[^/]+\//, '');
  return JSON.parse((await fixture.platform.get(key)).toString('utf8')) as Record<string, unknown>;
}

test('CI-30 READY covers traffic and context outputs with roles, digests and seal, and every gate passed', async (t) => {
  const door = new RecordingDoor();
  const { context } = await fixture.open({ publisher: door });
  const outcome = await submitRun(context, submission(world, { replay: { speedup: 0, max_events: 20 } }));
  t.is(outcome.state, 'READY');
  t.true(outcome.published);
  t.deepEqual(
    outcome.outputs.map((output) => [output.output_id, output.role]),
    streamedOutputs('fraud').map((output) => [output.output_id, output.role as string]),
  );
  t.is(outcome.gates_passed.length, 10);
  t.is(door.events.length, 1);
  const [ready] = door.events;
  t.is(ready!.event_type, 'run.ready');
  t.is(ready!.run_id, outcome.run_id);
  t.is(ready!.payload['message_id'], outcome.message_id);
  t.is(ready!.payload['max_events'], 20);
  t.is(outcome.message_id, readyMessageId(outcome.platform_run_id, outcome.run_id, outcome.bundle_hash!));
  const facts = await json(outcome.facts_view_ref!);
  t.is((facts['oracle_pack_seal'] as { seal_status: string }).seal_status, 'SEALED_OK');
  t.is((await json(outcome.status_ref))['state'], 'READY');
  const record = await fixture.platform.get(outcome.record_ref.replace(/^s3:\/\/[^/]+\//, ''));
  const kinds = record
    .toString('utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { event_kind: string }).event_kind);
  t.true(kinds.indexOf('READY_COMMITTED') > kinds.indexOf('PLAN_COMMITTED'));
  t.is(kinds.at(-1), 'READY_PUBLISHED');
});

test('CI-20 resubmitting a READY run returns it unchanged and publishes nothing', async (t) => {
  const door = new RecordingDoor();
  const { context } = await fixture.open({ publisher: door });
  const asked = submission(world);
  const first = await submitRun(context, asked);
  const again = await submitRun(context, asked);
  t.deepEqual(again, first);
  t.is(door.events.length, 1);
});

test('CI-17 the same key with another intent is a collision, with the same intent the same run', async (t) => {
  const { context } = await fixture.open({ publisher: new RecordingDoor() });
  const asked = submission(world);
  const first = await submitRun(context, asked);
  const other = {
    ...asked.request,
    window: { ...asked.request.window, window_end_utc: '2026-01-03T00:00:00Z' },
  };
  const error = await t.throwsAsync(submitRun(context, { ...asked, request: other }), {
    instanceOf: ScenarioRunnerError,
  });
  t.is(error.code, 'EQUIV_KEY_COLLISION');
  const elsewhere = await submitRun(context, { ...asked, platform_run_id: platformRun() });
  t.is(elsewhere.run_id, first.run_id);
  t.not(elsewhere.message_id, first.message_id);
});

test('CI-18 of concurrent submits one leads, the others get the status, and one READY is published', async (t) => {
  const door = new RecordingDoor();
  let entered: () => void = () => undefined;
  const leading = new Promise<void>((resolve) => (entered = resolve));
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  const leader = await fixture.open({
    publisher: door,
    onStep: async (name) => {
      if (name !== 'leased') return;
      entered();
      await released;
    },
  });
  const follower = await fixture.open({ publisher: door });
  const asked = submission(world);
  const led = submitRun(leader.context, asked);
  await leading;
  const followers = await Promise.all([
    submitRun(follower.context, asked),
    submitRun(follower.context, asked),
  ]);
  t.deepEqual(
    followers.map((outcome) => [outcome.leader, outcome.state]),
    [
      [false, 'OPEN'],
      [false, 'OPEN'],
    ],
  );
  release();
  t.like(await led, { leader: true, state: 'READY' });
  t.is(door.events.length, 1);
});

test('CI-19 a leader whose lease was taken over is fenced at its next commit', async (t) => {
  const asked = submission(world);
  const { context } = await fixture.open({
    publisher: new RecordingDoor(),
    onStep: async (name) => {
      if (name !== 'leased') return;
      await fixture.query('update sr_run_leases set lease_token = $1 where platform_run_id = $2', [
        'usurped',
        asked.platform_run_id,
      ]);
    },
  });
  const error = await t.throwsAsync(submitRun(context, asked), { instanceOf: ScenarioRunnerError });
  t.is(error.code, 'LEASE_LOST');
  const [run] = await fixture.query<{ state: string }>(
    'select state from sr_runs where platform_run_id = $1',
    [asked.platform_run_id],
  );
  t.is(run!.state, 'OPEN');
});

test('CI-19 a dead leader is succeeded at once, before its lease expires, and fenced if it was not dead', async (t) => {
  const door = new RecordingDoor();
  const asked = submission(world);
  let stalled: () => void = () => undefined;
  const stalling = new Promise<void>((resolve) => (stalled = resolve));
  let wake: () => void = () => undefined;
  const woken = new Promise<void>((resolve) => (wake = resolve));
  const first = await fixture.open({
    publisher: door,
    onStep: async (name) => {
      if (name !== 'plan_committed') return;
      stalled();
      await woken;
    },
  });
  const zombie = submitRun(first.context, asked);
  await stalling;
  // What the server does when the leader's process is gone: its connection ends.
  await fixture.query(
    `select pg_terminate_backend(pid) from pg_locks
     where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
       and (classid::bigint << 32 | objid::bigint) = hashtextextended('sr_run_leases/' || $1 || '/' || $2, 0)`,
    [asked.platform_run_id, scenarioRunId(asked.request.run_equivalence_key)],
  );
  const second = await fixture.open({ publisher: door });
  t.like(await submitRun(second.context, asked), { leader: true, state: 'READY', published: true });
  wake();
  const error = await t.throwsAsync(zombie, { instanceOf: ScenarioRunnerError });
  t.is(error.code, 'LEASE_LOST');
  t.is(door.events.length, 1);
});

test('CI-19 the lease is released when the run has ended, and renewed before', async (t) => {
  const asked = submission(world);
  const seen: number[] = [];
  const { context } = await fixture.open({
    publisher: new RecordingDoor(),
    onStep: async (name) => {
      if (name !== 'leased' && name !== 'end_committed') return;
      const [lease] = await fixture.query<{ at: Date }>(
        'select expires_at as at from sr_run_leases where platform_run_id = $1',
        [asked.platform_run_id],
      );
      seen.push(lease!.at.getTime());
    },
  });
  await submitRun(context, asked);
  t.is(seen.length, 2);
  t.true(seen[1]! > seen[0]!);
  t.deepEqual(
    await fixture.query('select 1 from sr_run_leases where platform_run_id = $1', [asked.platform_run_id]),
    [],
  );
});

for (const crashAt of RUN_STEPS.filter((name) => !ENGINE_STEPS.includes(name))) {
  test(`CI-27 a crash at '${crashAt}' is repaired by submitting again: one READY, the same documents`, async (t) => {
    const door = new RecordingDoor();
    const asked = submission(world);
    const crashing = await fixture.open({
      publisher: door,
      onStep: (name) => {
        if (name === crashAt) throw new Error('crash');
      },
    });
    await t.throwsAsync(submitRun(crashing.context, asked), { message: 'crash' });
    const [between] = await fixture.query<{ state: string }>(
      'select state from sr_runs where platform_run_id = $1',
      [asked.platform_run_id],
    );
    const healthy = await fixture.open({ publisher: door });
    const outcome = await submitRun(healthy.context, asked);
    t.is(outcome.state, 'READY', `from ${between!.state}`);
    t.true(outcome.published);
    t.is(new Set(door.events.map((event) => event.event_id)).size, 1);
    const facts = await json(outcome.facts_view_ref!);
    t.is(facts['bundle_hash'], outcome.bundle_hash);
    const signal = await json(outcome.facts_view_ref!.replace('run_facts_view', 'ready_signal'));
    t.deepEqual(signal, door.events[0]!.payload);
    t.is((await json(outcome.status_ref))['state'], 'READY');
    const record = await fixture.query<{ n: number }>(
      `select count(*)::int as n from sr_run_records where platform_run_id = $1 and event_kind in ('PLAN_COMMITTED', 'READY_COMMITTED')`,
      [asked.platform_run_id],
    );
    t.is(record[0]!.n, 2);
  });
}

test('CI-27 a lost acknowledgement repeats the fact with the same event id and payload', async (t) => {
  const door = new RecordingDoor();
  const asked = submission(world);
  let lost = false;
  const { context } = await fixture.open({
    publisher: {
      publish: async (event) => {
        const receipt = await door.publish(event);
        if (lost) return receipt;
        lost = true;
        throw new Error('no acknowledgement');
      },
    },
  });
  const first = await submitRun(context, asked);
  t.like(first, { state: 'READY', published: false });
  t.like(await submitRun(context, asked), { state: 'READY', published: true });
  t.deepEqual(door.events[0], door.events[1]);
});

interface Breakage {
  readonly title: string;
  readonly state: string;
  readonly code: string;
  readonly mention: string;
  break(pack: SealedPack): Promise<void>;
}

async function flip(key: string): Promise<void> {
  const bytes = await fixture.oracle.get(key);
  bytes[bytes.length - 3]! ^= 1;
  await fixture.oracle.put(key, bytes);
}

async function keyOf(prefix: string, pattern: RegExp): Promise<string> {
  for await (const { key } of fixture.oracle.list(prefix)) if (pattern.test(key)) return key;
  throw new Error(`nothing under ${prefix} is like ${String(pattern)}`);
}

const BREAKAGES: readonly Breakage[] = [
  ...['1A', '2B', '3A', '6B'].map((segment) => ({
    title: `CI-24 a flipped byte in the bundle of gate ${segment}`,
    state: 'QUARANTINED',
    code: 'EVIDENCE_CONFLICT',
    mention: `${segment}.validation`,
    break: async (pack: SealedPack) =>
      flip(await keyOf(pack.engineKey, new RegExp(`/${segment}/.*checks/report\\.json$`))),
  })),
  {
    title: 'CI-25 a flipped byte in a part of a stream view',
    state: 'QUARANTINED',
    code: 'EVIDENCE_CONFLICT',
    mention: 'part-000000.arrow',
    break: async (pack) => flip(await keyOf(pack.key, /part-000000\.arrow$/)),
  },
  {
    title: 'CI-25 a manifest that was touched after sealing',
    state: 'QUARANTINED',
    code: 'EVIDENCE_CONFLICT',
    mention: 'SEAL_MISMATCH',
    break: async (pack) => {
      const key = `${pack.key}/_oracle_pack_manifest.json`;
      await fixture.oracle.put(key, Buffer.concat([await fixture.oracle.get(key), Buffer.from('\n')]));
    },
  },
  {
    title: 'CI-5 an unsealed pack',
    state: 'FAILED',
    code: 'ORACLE_PACK_NOT_SEALED',
    mention: '_SEALED.json',
    break: (pack) => fixture.oracle.remove(`${pack.key}/_SEALED.json`),
  },
  {
    title: 'CI-4 a pack sealed as failed',
    state: 'FAILED',
    code: 'ORACLE_PACK_SEALED_FAILED',
    mention: 'sealed as failed',
    break: async (pack) => {
      const key = `${pack.key}/_SEALED.json`;
      const seal = (await fixture.oracle.get(key)).toString('utf8').replace('SEALED_OK', 'SEALED_FAILED');
      await fixture.oracle.put(key, Buffer.from(seal));
    },
  },
  {
    title: 'CI-15 a tombstoned pack',
    state: 'FAILED',
    code: 'ORACLE_PACK_TOMBSTONED',
    mention: 'contaminated',
    break: async (pack) => {
      const stone = {
        oracle_pack_id: pack.packId,
        actor: 'HUMAN::ops',
        reason: 'contaminated',
        tombstoned_at_utc: '2026-02-01T00:00:00.000000Z',
      };
      await fixture.oracle.put(`tombstones/${pack.packId}.json`, Buffer.from(JSON.stringify(stone)));
    },
  },
  {
    title: 'CI-23 an engine receipt of another run',
    state: 'QUARANTINED',
    code: 'EVIDENCE_CONFLICT',
    mention: 'ENGINE_RECEIPT_MISMATCH',
    break: async (pack) => {
      const key = `${pack.engineKey}/run_receipt.json`;
      const receipt = (await fixture.oracle.get(key))
        .toString('utf8')
        .replace('e'.repeat(32), 'f'.repeat(32));
      await fixture.oracle.put(key, Buffer.from(receipt));
    },
  },
  {
    title: 'CI-25 a missing passed flag',
    state: 'WAITING_EVIDENCE',
    code: 'EVIDENCE_WAITING',
    mention: 'GATE_RECEIPT_MISSING gate.layer2.5B.validation',
    break: async (pack) => fixture.oracle.remove(await keyOf(pack.engineKey, /\/5B\/.*_passed\.flag$/)),
  },
  {
    title: 'CI-25 a stream view without its receipt',
    state: 'WAITING_EVIDENCE',
    code: 'EVIDENCE_WAITING',
    mention: 'ORACLE_STREAM_VIEW_RECEIPT_MISSING',
    break: async (pack) =>
      fixture.oracle.remove(await keyOf(pack.key, /arrival_events_5B\/_stream_sort_receipt\.json$/)),
  },
];

for (const breakage of BREAKAGES) {
  test(`${breakage.title} is refused before READY: ${breakage.state} ${breakage.code}`, async (t) => {
    const door = new RecordingDoor();
    const pack = await worldToBreak();
    await breakage.break(pack);
    const { context } = await fixture.open({ publisher: door });
    const outcome = await submitRun(context, submission(pack));
    t.is(outcome.state, breakage.state as typeof outcome.state);
    t.is(outcome.reason_code, breakage.code as typeof outcome.reason_code);
    t.true(outcome.reason?.includes(breakage.mention), outcome.reason ?? 'no reason');
    t.is(outcome.message_id, null);
    const types = door.events.map((event) => event.event_type);
    t.deepEqual(types, breakage.state === 'WAITING_EVIDENCE' ? [] : ['run.terminal']);
    if (breakage.state === 'QUARANTINED') {
      t.is(
        (await json(outcome.status_ref.replace('run_status', 'quarantine')))['reason_code'],
        breakage.code,
      );
    }
  });
}

test('CI-25 waiting is looked at again: evidence that arrives makes the run READY', async (t) => {
  const pack = await worldToBreak();
  const flag = await keyOf(pack.engineKey, /\/6A\/.*_passed\.flag$/);
  const bytes = await fixture.oracle.get(flag);
  await fixture.oracle.remove(flag);
  const { context } = await fixture.open({
    publisher: new RecordingDoor(),
    onWaiting: () => void fixture.oracle.put(flag, bytes),
  });
  const outcome = await submitRun(context, submission(pack, { wait_seconds: 60 }));
  t.like(outcome, { state: 'READY', reason_code: null });
});

test('CI-25 evidence missing at the deadline fails the run', async (t) => {
  const pack = await worldToBreak();
  await fixture.oracle.remove(await keyOf(pack.engineKey, /\/6A\/.*_passed\.flag$/));
  const { context } = await fixture.open({
    publisher: new RecordingDoor(),
    policy: { evidence_wait_seconds: 1 },
  });
  const outcome = await submitRun(context, submission(pack, { wait_seconds: 30 }));
  t.like(outcome, { state: 'FAILED', reason_code: 'EVIDENCE_MISSING_DEADLINE' });
});

test('CI-34 PostgreSQL itself refuses every move that the state table does not have', async (t) => {
  const { context } = await fixture.open({ publisher: new RecordingDoor() });
  const asked = submission(world);
  const { run_id: runId } = await submitRun(context, asked);
  const [columns] = await fixture.query<{ list: string }>(
    `select string_agg(quote_ident(column_name), ', ') as list from information_schema.columns
     where table_name = 'sr_runs' and column_name not in ('platform_run_id', 'state')`,
  );
  for (const from of RUN_STATES) {
    for (const to of RUN_STATES) {
      const id = platformRun();
      await fixture.query('insert into sr_platform_runs values ($1)', [id]);
      await fixture.query(
        `insert into sr_runs (platform_run_id, state, ${columns!.list})
         select $1, $2, ${columns!.list} from sr_runs where platform_run_id = $3 and run_id = $4`,
        [id, from, asked.platform_run_id, runId],
      );
      const move = fixture.query('update sr_runs set state = $2 where platform_run_id = $1', [id, to]);
      if (mayMove(from, to)) await t.notThrowsAsync(move, `${from} to ${to}`);
      else await t.throwsAsync(move, { message: `a run cannot move from ${from} to ${to}` });
    }
  }
});

test('CI-35 the record cannot be changed, not even by a program with a bug', async (t) => {
  const { context } = await fixture.open({ publisher: new RecordingDoor() });
  const { platform_run_id: id } = await submitRun(context, submission(world));
  await t.throwsAsync(
    fixture.query('update sr_run_records set event_kind = event_kind where platform_run_id = $1', [id]),
    {
      message: /append-only/,
    },
  );
  await t.throwsAsync(fixture.query('delete from sr_run_records where platform_run_id = $1', [id]), {
    message: /append-only/,
  });
});

test('CI-31 a failed publication keeps READY, and a re-emit repairs it without a new attempt', async (t) => {
  const door = new RecordingDoor();
  door.fail = new Error('broker away');
  const { context } = await fixture.open({ publisher: door });
  const outcome = await submitRun(context, submission(world));
  t.like(outcome, { state: 'READY', published: false });
  t.regex(outcome.publish_failure!, /broker away/);
  door.fail = undefined;
  const again = await reemit(context, {
    platform_run_id: outcome.platform_run_id,
    run_id: outcome.run_id,
    reemit_kind: 'READY_ONLY',
  });
  t.like(again, { attempt: 1, new_attempt: false, published: true, message_id: outcome.message_id! });
  t.is(door.events.length, 1);
});

test('CI-32 a re-emit is a new attempt with ids of its own, a dry run emits nothing, and the rate is limited', async (t) => {
  const door = new RecordingDoor();
  const { context } = await fixture.open({ publisher: door });
  const outcome = await submitRun(context, submission(world));
  const ask = {
    platform_run_id: outcome.platform_run_id,
    run_id: outcome.run_id,
    reemit_kind: 'READY_ONLY',
  } as const;
  t.like(await reemit(context, { ...ask, dry_run: true }), { attempt: 2, published: false });
  t.is(door.events.length, 1);
  const limit = context.policy.reemit.max_per_window;
  for (let n = 2; n < 2 + limit; n += 1) {
    t.like(await reemit(context, ask), { attempt: n, new_attempt: true, published: true });
  }
  const error = await t.throwsAsync(reemit(context, ask), { instanceOf: ScenarioRunnerError });
  t.is(error.code, 'REEMIT_RATE_LIMIT');
  t.is(new Set(door.events.map((event) => event.payload['message_id'])).size, 1 + limit);
  t.is(new Set(door.events.map((event) => event.event_id)).size, 1 + limit);
  t.deepEqual(
    (await runStatus(context, { platformRunId: outcome.platform_run_id, runId: outcome.run_id })).message_id,
    outcome.message_id,
  );
});

test('CI-32 a kind that does not fit the state is refused, and a terminal fact is emitted again', async (t) => {
  const door = new RecordingDoor();
  const pack = await worldToBreak();
  await fixture.oracle.remove(`${pack.key}/_SEALED.json`);
  const { context } = await fixture.open({ publisher: door });
  const failed = await submitRun(context, submission(pack));
  const ask = { platform_run_id: failed.platform_run_id, run_id: failed.run_id };
  const error = await t.throwsAsync(reemit(context, { ...ask, reemit_kind: 'READY_ONLY' }), {
    instanceOf: ScenarioRunnerError,
  });
  t.is(error.code, 'REEMIT_READY_ONLY_MISMATCH');
  t.like(await reemit(context, { ...ask, reemit_kind: 'BOTH' }), {
    event_type: 'run.terminal',
    attempt: 2,
    published: true,
  });
  t.is(door.events.length, 2);
});

test('CI-98 platform run ids are never issued twice, however many ask at once', async (t) => {
  const { context } = await fixture.open({ publisher: new RecordingDoor() });
  const ids = await Promise.all(Array.from({ length: 12 }, () => issuePlatformRun(context.store.pool)));
  t.is(new Set(ids).size, 12);
});

test('CI-38 no lease token and no credential is in anything a run leaves behind', async (t) => {
  const asked = submission(world);
  let token = '';
  const { context } = await fixture.open({
    publisher: new RecordingDoor(),
    onStep: async (name) => {
      if (name !== 'leased') return;
      const [lease] = await fixture.query<{ lease_token: string }>(
        'select lease_token from sr_run_leases where platform_run_id = $1',
        [asked.platform_run_id],
      );
      token = lease!.lease_token;
    },
  });
  await submitRun(context, asked);
  const secrets = [
    token,
    fixture.settings.objectStore.secretKey,
    new URL(fixture.settings.postgres.dsn).password,
  ];
  let documents = 0;
  for await (const { key } of fixture.platform.list(asked.platform_run_id)) {
    const text = (await fixture.platform.get(key)).toString('utf8');
    for (const secret of secrets) t.false(text.includes(secret), key);
    documents += 1;
  }
  // Plan, facts view, READY, status, record, and a proof per output.
  t.is(documents, 9);
});
