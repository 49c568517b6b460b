/**
 * Named steps at which a test may kill the process, to show that a crash there loses and doubles nothing.
 *
 * FP_CRASH_AT=<step> kills at the step's first passing, FP_CRASH_AT=<step>:<n> at its n-th. Unset, a step costs one
 * comparison.
 */
export const CRASH_STEPS = {
  'wsp.accept.received': 'a READY was read, nothing is written',
  'wsp.accept.produced': 'the ACCEPTED cursor and the offset are in an open transaction',
  'wsp.accept.committed': 'READY is accepted, the run has not begun',
  'wsp.run.fenced': 'an older owner of the lane is fenced, the cursor is not read yet',
  'wsp.run.verified': 'the world is verified, nothing is sent',
  'wsp.batch.produced': 'events and their cursor are in an open transaction',
  'wsp.batch.committed': 'events and their cursor are committed, the next batch is not handed over',
  'wsp.completed.produced': 'stream.completed and the last cursor are in an open transaction',
  'wsp.completed.committed': 'the run is completed, nobody was told',
} as const;

export type CrashStep = keyof typeof CRASH_STEPS;

const [armed, times = '1'] = (process.env['FP_CRASH_AT'] ?? '').split(':');
let left = Number(times);

if (armed !== '' && armed?.startsWith('wsp.') === true && !(armed in CRASH_STEPS)) {
  throw new RangeError(`FP_CRASH_AT=${armed}: the steps are ${Object.keys(CRASH_STEPS).join(', ')}`);
}

/** Dies here, as by `kill -9`, when the environment says so. */
export function crashPoint(step: CrashStep): void {
  if (step !== armed) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, 'SIGKILL');
}
