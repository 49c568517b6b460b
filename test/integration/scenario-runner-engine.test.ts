/** The runner with an engine: the sample generator as a program, and engines that do everything wrong. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { sampleIdentity, type SampleRequest } from '../../apps/oracle-store/index.ts';
import { attemptId, scenarioRunId } from '../../apps/rails/index.ts';
import {
  ENGINE_STEPS,
  ScenarioRunnerError,
  submitRun,
  type ReasonCode,
  type RunSubmission,
} from '../../apps/scenario-runner/index.ts';
import { SubprocessEngine } from '../../apps/scenario-runner/engine-invoker.ts';
import type { ScenarioRunnerOptions } from '../../apps/scenario-runner/index.ts';
import { RecordingDoor, runnerFixture, type RunnerFixture } from './scenario-runner/runner-fixture.ts';
import { writeSealedPack } from './scenario-runner/sealed-pack.ts';

const FP = fileURLToPath(new URL('../../apps/cli/fp.mjs', import.meta.url));

let fixture: RunnerFixture;
/** State of the commands under test, and programs that play the engine. */
let folder: string;
let worlds = 0;

test.before(async () => {
  fixture = await runnerFixture();
  folder = await mkdtemp(join(tmpdir(), 'scenario-runner-engine-'));
});
test.after.always(async () => {
  await fixture.remove();
  await rm(folder, { recursive: true, force: true });
});

/** A world nobody has made yet. */
function sample(): SampleRequest {
  worlds += 1;
  return { events: 100, seed: String(9000 + worlds), days: 1, start: '2025-01-06' };
}

function submissionOf(request: SampleRequest, change: Partial<RunSubmission> = {}): RunSubmission {
  const { world } = sampleIdentity(request);
  return {
    platform_run_id: `platform_20260201T${String(worlds).padStart(6, '0')}Z`,
    request: {
      run_equivalence_key: `engine/${request.seed}`,
      manifest_fingerprint: world.manifest_fingerprint,
      parameter_hash: world.parameter_hash,
      seed: world.seed,
      scenario: { scenario_id: world.scenario_id },
      window: {
        window_start_utc: '2025-01-06T00:00:00Z',
        window_end_utc: '2025-01-07T00:00:00Z',
        window_tz: 'UTC',
      },
      requested_strategy: 'FORCE_INVOKE',
      invoker: 'SYSTEM::test',
    },
    wait_seconds: 0,
    ...change,
  };
}

function sampleEngine(): SubprocessEngine {
  return new SubprocessEngine({
    command: [
      process.execPath,
      FP,
      'oracle',
      'sample',
      '--events',
      '100',
      '--seed',
      '{seed}',
      '--start',
      '{window_start_day}',
      '--out',
      '{engine_folder}',
    ],
    environment: Object.keys(process.env).filter((name) => /^(FP_|S3_|KAFKA_|SCHEMA_|POSTGRES_)/.test(name)),
    timeoutMs: 120_000,
    env: { ...process.env, FP_STATE_DIR: folder },
  });
}

/** An engine of a few lines; `program` sees its arguments as `args`: its folder and the runner's run id. */
async function engine(
  program: string,
  options: { args?: string[]; timeoutMs?: number; env?: NodeJS.ProcessEnv } = {},
): Promise<SubprocessEngine> {
  const file = join(folder, `engine-${Math.random().toString(16).slice(2)}.mjs`);
  await writeFile(
    file,
    `import { mkdirSync, writeFileSync, existsSync } from 'node:fs';\nconst args = process.argv.slice(2);\n${program}`,
  );
  return new SubprocessEngine({
    command: [process.execPath, file, '{engine_folder}', ...(options.args ?? [])],
    environment: Object.keys(options.env ?? {}),
    timeoutMs: options.timeoutMs ?? 60_000,
    env: { ...process.env, ...options.env },
  });
}

/** A receipt of the world of `request`, changed. */
function receiptOf(request: SampleRequest, change: object = {}): string {
  const { runId, world } = sampleIdentity(request);
  return JSON.stringify({ run_id: runId, engine_release: 'test-1', ...world, ...change });
}

const WRITES = (receipt: string): string =>
  `mkdirSync(args[0], { recursive: true }); writeFileSync(args[0] + '/run_receipt.json', ${JSON.stringify(receipt)});`;

async function openWith(options: ScenarioRunnerOptions) {
  return fixture.open({ publisher: new RecordingDoor(), ...options });
}

async function attempts(platformRunId: string): Promise<Record<string, unknown>[]> {
  const rows = await fixture.query<{ details: Record<string, unknown> }>(
    `select details from sr_run_records
     where platform_run_id = $1 and event_kind = 'ENGINE_ATTEMPT_FINISHED' order by position`,
    [platformRunId],
  );
  return rows.map((row) => row.details);
}

async function text(ref: unknown): Promise<string> {
  const key = String(ref).replace(/^s3:\/\/[^/]+\//, '');
  return (await fixture.platform.get(key)).toString('utf8');
}

test('CI-22 FORCE_INVOKE has the sample generator make the world, packs it, and reaches READY', async (t) => {
  const request = sample();
  const asked = submissionOf(request);
  const { context } = await openWith({ engine: sampleEngine() });
  const outcome = await submitRun(context, asked);
  t.like(outcome, { state: 'READY', published: true }, outcome.reason ?? '');
  t.true(outcome.outputs.reduce((sum, output) => sum + output.row_count, 0) === 100);
  const [attempt, ...more] = await attempts(asked.platform_run_id);
  t.deepEqual(more, []);
  t.like(attempt, {
    outcome: 'SUCCEEDED',
    attempt_no: 1,
    attempt_id: attemptId(outcome.run_id, 1),
    engine_run_id: sampleIdentity(request).runId,
    invoker: 'SYSTEM::test',
  });
  t.regex(await text((attempt!['logs_ref'] as { stdout_ref: string }).stdout_ref), /"created": true/);
});

test('CI-22 AUTO reuses a pack that serves, without asking the engine', async (t) => {
  const pack = await writeSealedPack(fixture.oracle, '8001');
  const { context } = await openWith({ engine: await engine('process.exit(9);') });
  const asked = submissionOf(sample());
  const { scenario_id: scenarioId, ...world } = pack.world;
  const reused = await submitRun(context, {
    ...asked,
    pack_root: pack.root,
    request: {
      ...asked.request,
      ...world,
      scenario: { scenario_id: scenarioId },
      requested_strategy: 'AUTO',
    },
  });
  t.is(reused.state, 'READY');
  t.deepEqual(await attempts(asked.platform_run_id), []);
});

test('CI-22 AUTO falls through to the engine when the pack does not exist or is of another world', async (t) => {
  const foreign = await writeSealedPack(fixture.oracle, '8002');
  const missing = `s3://${fixture.oracle.name}/packs/${'0'.repeat(64)}/`;
  for (const root of [missing, foreign.root]) {
    const asked = submissionOf(sample(), { pack_root: root });
    const { context } = await openWith({ engine: sampleEngine() });
    const outcome = await submitRun(context, {
      ...asked,
      request: { ...asked.request, requested_strategy: 'AUTO' },
    });
    t.is(outcome.state, 'READY', outcome.reason ?? '');
    t.is((await attempts(asked.platform_run_id)).length, 1);
    t.not(outcome.oracle_pack_id, foreign.packId);
  }
});

test('CI-22 FORCE_REUSE never asks the engine', async (t) => {
  const missing = `s3://${fixture.oracle.name}/packs/${'0'.repeat(64)}/`;
  const asked = submissionOf(sample(), { pack_root: missing });
  const { context } = await openWith({ engine: sampleEngine() });
  const outcome = await submitRun(context, {
    ...asked,
    request: { ...asked.request, requested_strategy: 'FORCE_REUSE' },
  });
  t.like(outcome, { state: 'FAILED', reason_code: 'ORACLE_PACK_MISSING' });
  t.deepEqual(await attempts(asked.platform_run_id), []);
});

test('a runner that may not write worlds waits for the pack and says how it is made', async (t) => {
  const asked = submissionOf(sample());
  const { context } = await openWith({ engine: sampleEngine(), packer: null });
  const outcome = await submitRun(context, asked);
  t.like(outcome, { state: 'WAITING_EVIDENCE', reason_code: 'EVIDENCE_WAITING' });
  t.regex(outcome.reason!, /ORACLE_PACK_MISSING.*fp oracle prepare --engine-run/);
  const [attempt] = await attempts(asked.platform_run_id);
  const withKeys = await openWith({});
  await withKeys.context.packer!.pack(String(attempt!['engine_run_root']), 'fraud');
  t.like(await submitRun(context, asked), { state: 'READY', published: true });
  t.is((await attempts(asked.platform_run_id)).length, 1);
});

interface Wrong {
  readonly what: string;
  readonly code: ReasonCode;
  readonly mention: RegExp;
  readonly program: (request: SampleRequest) => string;
  readonly args?: string[];
  readonly timeoutMs?: number;
}

const WRONG: readonly Wrong[] = [
  {
    what: 'that ends with an error',
    code: 'ATTEMPT_LIMIT_EXCEEDED',
    mention: /ENGINE_EXIT_NONZERO: it ended with status 7/,
    program: () => 'process.exit(7);',
  },
  {
    what: 'that does not end',
    code: 'ATTEMPT_LIMIT_EXCEEDED',
    mention: /ENGINE_TIMEOUT/,
    program: () => 'setInterval(() => undefined, 1000);',
    timeoutMs: 500,
  },
  {
    what: 'that leaves no receipt',
    code: 'ATTEMPT_LIMIT_EXCEEDED',
    mention: /ENGINE_RECEIPT_MISSING/,
    program: () => 'mkdirSync(args[0], { recursive: true });',
  },
  {
    what: 'with a receipt that is none',
    code: 'ENGINE_RECEIPT_INVALID',
    mention: /run_receipt\.json/,
    program: () => WRITES('{"run_id":"short"}'),
  },
  {
    what: 'whose receipt names another seed',
    code: 'ENGINE_RECEIPT_MISMATCH',
    mention: /seed 1, not/,
    program: (request) => WRITES(receiptOf(request, { seed: '1' })),
  },
  {
    what: 'whose receipt names another fingerprint',
    code: 'ENGINE_RECEIPT_MISMATCH',
    mention: /manifest_fingerprint f+, not/,
    program: (request) => WRITES(receiptOf(request, { manifest_fingerprint: 'f'.repeat(64) })),
  },
  {
    what: 'whose receipt names another parameter hash',
    code: 'ENGINE_RECEIPT_MISMATCH',
    mention: /parameter_hash f+, not/,
    program: (request) => WRITES(receiptOf(request, { parameter_hash: 'f'.repeat(64) })),
  },
  {
    what: 'that was given a run id and names another',
    code: 'ENGINE_RECEIPT_MISMATCH',
    mention: /run_id [0-9a-f]{32}, not/,
    program: (request) => WRITES(receiptOf(request)),
    args: ['{run_id}'],
  },
  {
    what: 'whose command names what this run has not',
    code: 'ENGINE_COMMAND_TEMPLATE_UNRESOLVED',
    mention: /\{scenario_set\}, \{colour\}/,
    program: () => '',
    args: ['{scenario_set}', '{colour}'],
  },
];

for (const { what, code, mention, program, args, timeoutMs } of WRONG) {
  test(`CI-23 an engine ${what} fails the run with ${code}`, async (t) => {
    const request = sample();
    const asked = submissionOf(request);
    const door = new RecordingDoor();
    const { context } = await openWith({
      publisher: door,
      engine: await engine(program(request), {
        ...(args ? { args } : {}),
        ...(timeoutMs ? { timeoutMs } : {}),
      }),
    });
    const outcome = await submitRun(context, asked);
    t.like(outcome, { state: 'FAILED', reason_code: code });
    t.regex(outcome.reason!, mention);
    t.deepEqual(
      door.events.map((event) => event.event_type),
      ['run.terminal'],
    );
  });
}

test('CI-22 a failed attempt is repeated under the next number, up to the limit', async (t) => {
  const request = sample();
  const asked = submissionOf(request);
  const marker = join(folder, `tried-${request.seed}`);
  const twice = await engine(
    `if (!existsSync('${marker}')) { writeFileSync('${marker}', ''); console.error('first'); process.exit(3); }` +
      WRITES(receiptOf(request)),
  );
  const { context } = await openWith({ engine: twice, packer: null, policy: { attempt_limit: 2 } });
  const outcome = await submitRun(context, asked);
  t.is(outcome.state, 'WAITING_EVIDENCE');
  const made = await attempts(asked.platform_run_id);
  t.deepEqual(
    made.map((attempt) => [attempt['attempt_no'], attempt['outcome'], attempt['reason_code']]),
    [
      [1, 'FAILED', 'ENGINE_EXIT_NONZERO'],
      [2, 'SUCCEEDED', undefined],
    ],
  );
  t.is(await text((made[0]!['logs_ref'] as { stderr_ref: string }).stderr_ref), 'first\n');

  const hopeless = submissionOf(sample());
  const failing = await openWith({ engine: await engine('process.exit(4);'), policy: { attempt_limit: 3 } });
  t.like(await submitRun(failing.context, hopeless), {
    state: 'FAILED',
    reason_code: 'ATTEMPT_LIMIT_EXCEEDED',
  });
  t.is((await attempts(hopeless.platform_run_id)).length, 3);
});

test('CI-38 the engine sees the variables it is given and no others, and a secret among them is not in its log', async (t) => {
  const asked = submissionOf(sample());
  const { context } = await openWith({
    engine: await engine(
      'console.log(Object.keys(process.env).sort().join()); console.log(process.env.ENGINE_API_KEY); process.exit(1);',
      { env: { ENGINE_API_KEY: 'a-very-secret-value' } },
    ),
  });
  await submitRun(context, asked);
  const [attempt] = await attempts(asked.platform_run_id);
  const log = await text((attempt!['logs_ref'] as { stdout_ref: string }).stdout_ref);
  t.false(log.includes('a-very-secret-value'));
  t.regex(log, /\[REDACTED\]/);
  t.false(log.includes('S3_SECRET_KEY'));
  t.regex(log, /ENGINE_API_KEY/);
});

test('without an engine, a submission without a pack is refused before a run exists', async (t) => {
  const { context } = await openWith({});
  const error = await t.throwsAsync(submitRun(context, submissionOf(sample())), {
    instanceOf: ScenarioRunnerError,
  });
  t.is(error.code, 'ENGINE_COMMAND_MISSING');
});

test('FORCE_INVOKE with a pack, and FORCE_REUSE without one, are refused', async (t) => {
  const { context } = await openWith({ engine: sampleEngine() });
  const asked = submissionOf(sample());
  const refused = [
    { ...asked, pack_root: `s3://${fixture.oracle.name}/packs/x/` },
    { ...asked, request: { ...asked.request, requested_strategy: 'FORCE_REUSE' as const } },
  ];
  for (const submission of refused) {
    const error = await t.throwsAsync(submitRun(context, submission), { instanceOf: ScenarioRunnerError });
    t.is(error.code, 'RUN_REQUEST_INVALID');
  }
});

test('a leader that loses its lease while the engine runs stops the engine and writes nothing more', async (t) => {
  const asked = submissionOf(sample());
  const { context } = await openWith({
    engine: await engine('setInterval(() => undefined, 1000);'),
    policy: { lease_ttl_seconds: 1 },
    onStep: async (name) => {
      if (name !== 'engine_launch_recorded') return;
      await fixture.query('update sr_run_leases set lease_token = $1 where platform_run_id = $2', [
        'usurped',
        asked.platform_run_id,
      ]);
    },
  });
  const error = await t.throwsAsync(submitRun(context, asked), { instanceOf: ScenarioRunnerError });
  t.is(error.code, 'LEASE_LOST');
  t.deepEqual(await attempts(asked.platform_run_id), []);
});

for (const crashAt of ENGINE_STEPS) {
  test(`CI-27 a crash at '${crashAt}' is repaired by submitting again: one attempt that counts, one READY`, async (t) => {
    const asked = submissionOf(sample());
    const door = new RecordingDoor();
    const crashing = await openWith({
      publisher: door,
      engine: sampleEngine(),
      onStep: (name) => {
        if (name === crashAt) throw new Error('crash');
      },
    });
    await t.throwsAsync(submitRun(crashing.context, asked), { message: 'crash' });
    const healthy = await openWith({ publisher: door, engine: sampleEngine() });
    const outcome = await submitRun(healthy.context, asked);
    t.is(outcome.state, 'READY', outcome.reason ?? '');
    t.is(outcome.run_id, scenarioRunId(asked.request.run_equivalence_key));
    t.is((await attempts(asked.platform_run_id)).length, 1);
    t.is(door.events.length, 1);
  });
}
