/** The runner's HTTP surface, closing, instance proofs, overrides, governance and logs, on real servers. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import {
  closePlatformRun,
  governanceFacts,
  issuePlatformRun,
  reemit,
  ScenarioRunnerError,
  serveRunner,
  submitRun,
  tellGovernance,
  type ReasonCode,
  type RunSubmission,
  type ScenarioRunner,
} from '../../apps/scenario-runner/index.ts';
import { resumeRuns } from '../../apps/scenario-runner/resume.ts';
import { bundleRun } from '../../apps/scenario-runner/run-bundle.ts';
import { projectGovernance, type SessionLine } from '../../apps/scenario-runner/session.ts';
import { readyMessageId, type Envelope, type Settings } from '../../apps/rails/index.ts';
import {
  RecordingDoor,
  requestFor,
  runnerFixture,
  type RunnerFixture,
} from './scenario-runner/runner-fixture.ts';
import { writeSealedPack, type SealedPack } from './scenario-runner/sealed-pack.ts';

let fixture: RunnerFixture;
let world: SealedPack;
let keys = 0;

test.before(async () => {
  fixture = await runnerFixture();
  world = await writeSealedPack(fixture.oracle, '42');
});
test.after.always(() => fixture.remove());

async function submission(
  runner: ScenarioRunner,
  change: Partial<RunSubmission> = {},
): Promise<RunSubmission> {
  keys += 1;
  const key = `service/${keys}`;
  return {
    platform_run_id: await issuePlatformRun(runner.context.store.pool),
    pack_root: world.root,
    request: requestFor(world, key),
    wait_seconds: 0,
    ...change,
  };
}

type Auth = Settings['scenarioRunner']['auth'];
const OPEN: Auth = { mode: 'disabled', submit: [], reemit: [] };

async function withService(
  auth: Auth,
  work: (call: Call, runner: ScenarioRunner, door: RecordingDoor) => Promise<void>,
): Promise<void> {
  const door = new RecordingDoor();
  const runner = await fixture.open({ publisher: door });
  const context = { ...runner.context, auth };
  const service = await serveRunner(context, { host: '127.0.0.1', port: 0, sweepMs: 3_600_000 });
  const call: Call = async (method, path, body, actor) => {
    const response = await fetch(service.address + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(actor === undefined ? {} : { 'x-sr-actor': actor }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return {
      status: response.status,
      type: response.headers.get('content-type') ?? '',
      body: (await response.json()) as Record<string, unknown>,
    };
  };
  try {
    await work(call, runner, door);
  } finally {
    await service.stop();
  }
}

/** What was told in one platform run: a sweep also tells what other tests have left. */
function told(door: RecordingDoor, platformRunId: string): readonly Envelope[] {
  return door.events.filter((event) => event.platform_run_id === platformRunId);
}

type Call = (
  method: string,
  path: string,
  body?: object,
  actor?: string,
) => Promise<{ status: number; type: string; body: Record<string, unknown> }>;

function bodyOf({ wait_seconds: _wait, ...body }: RunSubmission): object {
  return body;
}

async function refusal(work: Promise<unknown>): Promise<ReasonCode | undefined> {
  return work.then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof ScenarioRunnerError) return error.code;
      throw error;
    },
  );
}

test.serial(
  'CI-37 a run is submitted, looked at and emitted again over HTTP, and the header says who',
  async (t) => {
    await withService(OPEN, async (call, runner, door) => {
      const asked = await submission(runner);
      const made = await call('POST', '/runs', bodyOf(asked), 'HUMAN::ada');
      t.is(made.status, 200);
      t.like(made.body, { state: 'READY', published: true });
      const id = String(made.body['run_id']);
      const status = await call('GET', `/runs/${id}?platform_run_id=${asked.platform_run_id}`);
      t.like(status.body, { state: 'READY', run_id: id });
      t.is((await call('GET', `/runs/${id}/facts`)).body['bundle_hash'], status.body['bundle_hash']);
      t.is(
        ((await call('GET', `/runs?platform_run_id=${asked.platform_run_id}`)).body['runs'] as object[])
          .length,
        1,
      );
      const again = await call(
        'POST',
        `/runs/${id}/reemit`,
        { platform_run_id: asked.platform_run_id, reemit_kind: 'READY_ONLY' },
        'HUMAN::bob',
      );
      t.like(again.body, { status_state: 'READY', published: ['run.ready'], attempt: 2 });
      t.is(told(door, asked.platform_run_id).length, 2);
      const records = await fixture.query<{ event_kind: string; details: Record<string, unknown> }>(
        `select event_kind, details from sr_run_records where platform_run_id = $1
       and event_kind in ('RUN_ACCEPTED', 'REEMIT_REQUESTED') order by position`,
        [asked.platform_run_id],
      );
      t.deepEqual(
        records.map((record) => record.details['invoker'] ?? record.details['requested_by']),
        ['HUMAN::ada', 'HUMAN::bob'],
      );
    });
  },
);

test.serial(
  'CI-37 refusals are problem details with the code, a fitting status and whether to come back',
  async (t) => {
    await withService(OPEN, async (call, runner, door) => {
      const asked = await submission(runner);
      const expect = async (response: Promise<Awaited<ReturnType<Call>>>, status: number, code?: string) => {
        const { status: found, type, body } = await response;
        t.is(found, status, JSON.stringify(body));
        t.regex(type, /^application\/problem\+json/);
        t.is(body['code'], code);
      };
      await expect(call('POST', '/runs', { ...bodyOf(asked), request: {} }), 422, 'RUN_REQUEST_INVALID');
      await expect(call('POST', '/runs', { ...bodyOf(asked), colour: 'red' }), 422, 'RUN_REQUEST_INVALID');
      await expect(call('GET', `/runs/${'0'.repeat(32)}`), 404, 'RUN_NOT_FOUND');
      await expect(call('GET', '/runs?state=DONE'), 422, 'RUN_REQUEST_INVALID');
      await expect(call('GET', '/nowhere'), 404);
      await call('POST', '/runs', bodyOf(asked));
      const window = { ...asked.request.window, window_end_utc: '2026-01-09T00:00:00Z' };
      await expect(
        call('POST', '/runs', { ...bodyOf(asked), request: { ...asked.request, window } }),
        409,
        'EQUIV_KEY_COLLISION',
      );
      door.fail = new Error('broker away');
      const id = await runIdOf(asked);
      await expect(
        call('POST', `/runs/${id}/reemit`, { platform_run_id: asked.platform_run_id, reemit_kind: 'BOTH' }),
        503,
        'READY_PUBLISH_FAILED',
      );
    });
  },
);

async function runIdOf(asked: RunSubmission): Promise<string> {
  const rows = await fixture.query<{ run_id: string }>(
    'select run_id from sr_runs where platform_run_id = $1',
    [asked.platform_run_id],
  );
  return rows[0]!.run_id;
}

test.serial(
  'CI-37 with allowlists, submitting and emitting again are allowed apart, and denials are recorded',
  async (t) => {
    const auth: Auth = { mode: 'allowlist', submit: ['HUMAN::ada'], reemit: ['HUMAN::bob'] };
    await withService(auth, async (call, runner) => {
      const asked = await submission(runner);
      for (const actor of [undefined, 'HUMAN::bob']) {
        t.like(await call('POST', '/runs', bodyOf(asked), actor), {
          status: 403,
          body: { code: 'AUTH_DENIED' },
        });
      }
      t.is((await call('POST', '/runs', bodyOf(asked), 'HUMAN::ada')).status, 200);
      const id = await runIdOf(asked);
      const ask = { platform_run_id: asked.platform_run_id, reemit_kind: 'READY_ONLY' };
      for (const _time of [1, 2]) {
        t.is((await call('POST', `/runs/${id}/reemit`, ask, 'HUMAN::ada')).status, 403);
      }
      t.is((await call('POST', `/runs/${id}/reemit`, ask, 'HUMAN::bob')).status, 200);
      const denials = await fixture.query(
        `select actor_id, action, denials::int as denials from sr_auth_denials where platform_run_id = $1
       order by action, actor_id`,
        [asked.platform_run_id],
      );
      t.deepEqual(denials, [
        { actor_id: 'HUMAN::ada', action: 'reemit', denials: 2 },
        { actor_id: '', action: 'submit', denials: 1 },
        { actor_id: 'HUMAN::bob', action: 'submit', denials: 1 },
      ]);
      const kept = await fixture.query(
        `select details from sr_run_records where platform_run_id = $1 and event_kind = 'AUTH_DENIED'`,
        [asked.platform_run_id],
      );
      t.deepEqual(kept, [{ details: { action: 'reemit', actor_id: 'HUMAN::ada' } }]);
    });
  },
);

test.serial('CI-25 the service carries on a run that waits, once its evidence is there', async (t) => {
  const pack = await writeSealedPack(fixture.oracle, '77');
  const receipt = `${pack.key}/stream_view/ts_utc/output_id=arrival_events_5B/_stream_sort_receipt.json`;
  const bytes = await fixture.oracle.get(receipt);
  await fixture.oracle.remove(receipt);
  const door = new RecordingDoor();
  const runner = await fixture.open({ publisher: door });
  const asked = await submission(runner, { pack_root: pack.root, request: requestFor(pack, 'resumed') });
  t.is((await submitRun(runner.context, asked)).state, 'WAITING_EVIDENCE');
  await resumeRuns(runner.context);
  t.deepEqual(told(door, asked.platform_run_id), []);
  await fixture.oracle.put(receipt, bytes);
  await resumeRuns(runner.context);
  t.deepEqual(
    await fixture.query('select state from sr_runs where platform_run_id = $1', [asked.platform_run_id]),
    [{ state: 'READY' }],
  );
  t.deepEqual(
    told(door, asked.platform_run_id).map((event) => event.event_type),
    ['run.ready'],
  );
});

test.serial(
  'CI-26 each output of a world is proven once per platform run, and other content under its name quarantines',
  async (t) => {
    const first = await writeSealedPack(fixture.oracle, '501');
    const runner = await fixture.open({ publisher: new RecordingDoor() });
    const asked = await submission(runner, { pack_root: first.root, request: requestFor(first, 'proof-1') });
    const outcome = await submitRun(runner.context, asked);
    const facts = JSON.parse(
      (await fixture.platform.get(outcome.facts_view_ref!.replace(/^s3:\/\/[^/]+\//, ''))).toString('utf8'),
    ) as { instance_receipts: { output_id: string; artifacts: { receipt_path: string } }[] };
    t.is(facts.instance_receipts.length, 4);
    const [proof] = facts.instance_receipts;
    const key = proof!.artifacts.receipt_path.replace(/^s3:\/\/[^/]+\//, '');
    t.regex(
      key,
      /instance_receipts\/output_id=arrival_events_5B\/seed=501\/manifest_fingerprint=[0-9a-f]{64}\/scenario_id=baseline_v1\/instance_receipt\.json$/,
    );

    // A second run over the same world proves the same.
    const second = { ...asked, request: requestFor(first, 'proof-2') };
    t.is((await submitRun(runner.context, second)).state, 'READY');

    const stored = (await fixture.platform.get(key)).toString('utf8');
    const digest = /"target_digest":\{"algo":"sha256","hex":"([0-9a-f]{64})"/.exec(stored)![1]!;
    await fixture.platform.put(key, Buffer.from(stored.replaceAll(digest, '0'.repeat(64))));
    const third = { ...asked, request: requestFor(first, 'proof-3') };
    t.like(await submitRun(runner.context, third), {
      state: 'QUARANTINED',
      reason_code: 'INSTANCE_RECEIPT_DRIFT',
    });
  },
);

test.serial(
  'CI-33 READY goes into another platform run only with an allowed reason and evidence that exists',
  async (t) => {
    const door = new RecordingDoor();
    const runner = await fixture.open({ publisher: door });
    const { context } = runner;
    const asked = await submission(runner);
    const outcome = await submitRun(context, asked);
    const into = await issuePlatformRun(context.store.pool);
    const ask = {
      platform_run_id: outcome.platform_run_id,
      run_id: outcome.run_id,
      reemit_kind: 'READY_ONLY',
      emit_platform_run_id: into,
    } as const;
    const override = {
      override_id: 'override-1',
      reason_code: 'DISASTER_RECOVERY',
      evidence_ref: fixture.platform.uri(`${into}/approvals/1.json`),
      approved_by: 'HUMAN::ada',
      approved_at_utc: '2026-03-01T00:00:00Z',
    };
    t.is(await refusal(reemit(context, ask)), 'CROSS_RUN_OVERRIDE_REQUIRED');
    t.is(
      await refusal(
        reemit(context, { ...ask, cross_run_override: { ...override, reason_code: 'CONVENIENCE' } }),
      ),
      'CROSS_RUN_OVERRIDE_REASON_NOT_ALLOWED',
    );
    t.is(
      await refusal(reemit(context, { ...ask, cross_run_override: override })),
      'CROSS_RUN_OVERRIDE_EVIDENCE_MISSING',
    );
    t.is(door.events.length, 1);

    await fixture.platform.put(`${into}/approvals/1.json`, Buffer.from('{"approved":true}'));
    const emitted = await reemit(context, { ...ask, cross_run_override: override });
    t.like(emitted, { emit_platform_run_id: into, attempt: 2, published: true });
    const ready = door.events[1]!;
    t.is(ready.platform_run_id, into);
    t.is(ready.payload['platform_run_id'], into);
    t.is(ready.payload['message_id'], readyMessageId(into, outcome.run_id, outcome.bundle_hash!, 2));

    // Submitting the same request there makes a READY of its own, which the emission does not stand for.
    const own = await submitRun(context, { ...asked, platform_run_id: into });
    t.like(own, {
      state: 'READY',
      published: true,
      message_id: readyMessageId(into, own.run_id, own.bundle_hash!),
    });
    t.is(new Set(door.events.map((event) => event.event_id)).size, 3);

    const [fact, ...more] = await governanceFacts(context.store.pool, into, 'EVIDENCE_REF_RESOLVED');
    t.deepEqual(more, []);
    t.like(fact!.details, { override_id: 'override-1', evidence_ref: override.evidence_ref });
    const kinds = await fixture.query<{ event_kind: string }>(
      `select event_kind from sr_run_records where platform_run_id = $1 and event_kind like 'GOV_REEMIT%'`,
      [outcome.platform_run_id],
    );
    t.deepEqual(kinds.map((row) => row.event_kind).sort(), [
      'GOV_REEMIT_KEY',
      'GOV_REEMIT_OVERRIDE_APPROVED',
    ]);
  },
);

test.serial(
  'CI-98 closing ends what waits, tells every scenario run, and nothing more happens in the platform run',
  async (t) => {
    const door = new RecordingDoor();
    const runner = await fixture.open({ publisher: door });
    const { context } = runner;
    const asked = await submission(runner);
    const ready = await submitRun(context, asked);
    const pack = await writeSealedPack(fixture.oracle, '601');
    await fixture.oracle.remove(
      `${pack.key}/stream_view/ts_utc/output_id=arrival_events_5B/_stream_sort_receipt.json`,
    );
    const waits = { ...asked, pack_root: pack.root, request: requestFor(pack, 'closed-while-waiting') };
    t.is((await submitRun(context, waits)).state, 'WAITING_EVIDENCE');

    const close = { platform_run_id: asked.platform_run_id, closed_by: 'HUMAN::ada', reason: 'done' };
    door.fail = new Error('broker away');
    t.is(await refusal(closePlatformRun(context, close)), 'CLOSE_PUBLISH_FAILED');
    door.fail = undefined;
    const closed = await closePlatformRun(context, close);
    t.like(closed, { closed_by: 'HUMAN::ada', close_reason: 'done' });
    t.deepEqual(await closePlatformRun(context, { ...close, closed_by: 'HUMAN::bob' }), closed);
    t.deepEqual(
      door.events.map((event) => [event.event_type, event.payload['status_state'] ?? 'READY']).sort(),
      [
        ['run.closed', 'FAILED'],
        ['run.closed', 'READY'],
        ['run.ready', 'READY'],
        ['run.terminal', 'FAILED'],
      ],
    );
    t.is(
      await refusal(submitRun(context, { ...asked, request: requestFor(world, 'too-late') })),
      'RUN_CLOSED',
    );
    const ask = {
      platform_run_id: ready.platform_run_id,
      run_id: ready.run_id,
      reemit_kind: 'BOTH',
    } as const;
    t.is(await refusal(reemit(context, ask)), 'RUN_CLOSED');
    await t.throwsAsync(
      fixture.query('update sr_platform_runs set closed_at = null where platform_run_id = $1', [
        asked.platform_run_id,
      ]),
      { message: /is closed/ },
    );
  },
);

test.serial(
  'CI-99 a governance fact is told once by its id, as an immutable object and a row found by run and family',
  async (t) => {
    const runner = await fixture.open({ publisher: new RecordingDoor() });
    const { context } = runner;
    const run = await issuePlatformRun(context.store.pool);
    const line = (eventType: string, offset: number, payload: SessionLine['payload']): SessionLine => ({
      event_id: String(offset).repeat(64),
      event_type: eventType,
      ts_utc: `2026-01-01T00:00:0${offset}.000000Z`,
      platform_run_id: run,
      scenario_run_id: 'a'.repeat(32),
      producer: 'svc:test',
      topic: 'bus.control.v1',
      partition: 0,
      offset,
      payload,
    });
    const session = [
      line('run.ready', 1, {}),
      line('stream.started', 2, { message_id: 'm' }),
      line('stream.completed', 3, { stop_reason: 'end_of_view' }),
      line('stream.completed', 4, { stop_reason: 'cancelled' }),
      line('ig.quarantine.spike', 5, {}),
    ];
    await projectGovernance(context, run, session);
    const first = await governanceFacts(context.store.pool, run);
    await projectGovernance(context, run, session);
    t.deepEqual(await governanceFacts(context.store.pool, run), first);
    t.deepEqual(first.map((fact) => fact.event_family).sort(), [
      'CORRIDOR_ANOMALY',
      'RUN_CANCELLED',
      'RUN_ENDED',
      'RUN_READY_SEEN',
      'RUN_STARTED',
    ]);
    t.is((await governanceFacts(context.store.pool, run, 'RUN_ENDED')).length, 1);
    const objects: string[] = [];
    for await (const { key } of fixture.platform.list(`${run}/obs/governance/events/`)) objects.push(key);
    t.deepEqual(
      objects.sort(),
      first.map((fact) => `${run}/obs/governance/events/${fact.event_id}.json`).sort(),
    );
    const projection = (await fixture.platform.get(`${run}/obs/governance/events.jsonl`)).toString('utf8');
    t.is(projection.trim().split('\n').length, 5);

    const act = {
      event_family: 'RUN_REPORT_GENERATED',
      actor: { actor_id: 'svc:test', source_type: 'SYSTEM', source_component: 'scenario_runner' },
      pins: { platform_run_id: run, scenario_run_id: null, manifest_fingerprint: null },
      provenance: { service_release_id: null, environment: 'local' },
      details: { reconciled: true },
    } as const;
    const again = await Promise.all(
      [1, 2, 3].map(() => tellGovernance(context.store.pool, context.objects, act)),
    );
    t.is(new Set(again.map((fact) => JSON.stringify(fact))).size, 1);
  },
);

test.serial(
  'CI-100 a run leaves its own log without secrets, and a bundle holds log and artifacts',
  async (t) => {
    const runner = await fixture.open({ publisher: new RecordingDoor() });
    const asked = await submission(runner);
    const outcome = await submitRun(runner.context, asked);
    const folder = join(fixture.settings.runsDir, asked.platform_run_id);
    const log = readFileSync(join(folder, 'scenario_runner', 'scenario_runner.log'), 'utf8');
    const lines = log
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    t.true(lines.some((line) => line['msg'] === 'published' && line['event_type'] === 'run.ready'));
    t.true(lines.every((line) => line['platform_run_id'] === asked.platform_run_id));
    t.true(lines.every((line) => line['scenario_run_id'] === outcome.run_id));
    t.false(log.includes(fixture.settings.objectStore.secretKey));

    const bundle = await bundleRun(fixture.platform, fixture.settings.runsDir, asked.platform_run_id);
    const names = execFileSync('tar', ['-tzf', bundle.path], { encoding: 'utf8' });
    t.regex(names, new RegExp(`/artifacts/sr/run_facts_view/${outcome.run_id}\\.json`));
    t.regex(names, /\/run\/scenario_runner\/scenario_runner\.log/);
    t.regex(names, /\/run\/platform\.log/);
    t.is(bundle.objects, 9);
  },
);
