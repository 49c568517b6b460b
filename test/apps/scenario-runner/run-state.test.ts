import test from 'ava';
import fc from 'fast-check';
import { isFinal, mayMove, RUN_STATES, type RunState } from '../../../apps/scenario-runner/run-state.ts';

const state = fc.constantFrom(...RUN_STATES);

test('CI-34 no sequence of allowed moves leaves READY, FAILED or QUARANTINED', (t) => {
  fc.assert(
    fc.property(fc.array(state, { maxLength: 30 }), (path) => {
      let at: RunState = 'OPEN';
      let end: RunState | undefined;

      for (const to of path) {
        if (!mayMove(at, to)) continue;
        at = to;
        if (end !== undefined && at !== end) return false;
        if (isFinal(at)) end = at;
      }
      return true;
    }),
  );
  t.deepEqual(RUN_STATES.filter(isFinal), ['READY', 'FAILED', 'QUARANTINED']);
});

test('CI-34 READY is reached only from a plan', (t) => {
  t.false(mayMove('OPEN', 'READY'));
  t.deepEqual(
    RUN_STATES.filter((from) => from !== 'READY' && mayMove(from, 'READY')),
    ['PLANNED', 'EXECUTING', 'WAITING_EVIDENCE'],
  );
});

test('a waiting run never goes back', (t) => {
  for (const to of ['OPEN', 'PLANNED', 'EXECUTING'] as const) t.false(mayMove('WAITING_EVIDENCE', to));
});
