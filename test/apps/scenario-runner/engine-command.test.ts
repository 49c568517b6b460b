import test from 'ava';
import { engineCommand, namesRunId } from '../../../apps/scenario-runner/engine-command.ts';
import { ScenarioRunnerError } from '../../../apps/scenario-runner/reason-codes.ts';
import { canonicalRunRequest } from '../../../apps/scenario-runner/run-request.ts';

const CALL = {
  request: canonicalRunRequest({
    run_equivalence_key: 'key',
    manifest_fingerprint: 'a'.repeat(64),
    parameter_hash: 'b'.repeat(64),
    seed: '18446744073709551615',
    scenario: { scenario_id: 'two words; rm -rf' },
    window: {
      window_start_utc: '2026-01-01T00:00:00Z',
      window_end_utc: '2026-01-02T00:00:00Z',
      window_tz: 'UTC',
    },
  }),
  runId: 'c'.repeat(32),
  attemptNumber: 2,
  engineFolder: '/tmp/a folder',
};

test('CI-22 placeholders are filled in, and a value with spaces stays one argument', (t) => {
  t.deepEqual(
    engineCommand(['engine', '--seed={seed}', '{scenario_id}', '{engine_folder}/{attempt_no}'], CALL),
    ['engine', '--seed=18446744073709551615', 'two words; rm -rf', '/tmp/a folder/2'],
  );
});

test('CI-22 what cannot be filled in is named, with what could have been', (t) => {
  const error = t.throws(() => engineCommand(['engine', '{toString}', '{scenario_set}', '{}'], CALL), {
    instanceOf: ScenarioRunnerError,
  });
  t.is(error.code, 'ENGINE_COMMAND_TEMPLATE_UNRESOLVED');
  t.regex(error.message, /\{toString\}, \{scenario_set\}, \{\};.*engine_folder/);
});

test('CI-22 no command at all is ENGINE_COMMAND_MISSING', (t) => {
  t.is(
    t.throws(() => engineCommand([], CALL), { instanceOf: ScenarioRunnerError }).code,
    'ENGINE_COMMAND_MISSING',
  );
});

test('CI-23 an engine that is told the run id is known by its template', (t) => {
  t.true(namesRunId(['engine', '--run={run_id}']));
  t.false(namesRunId(['engine', '--seed={seed}']));
});
