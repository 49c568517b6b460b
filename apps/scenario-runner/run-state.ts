/**
 * The states of a run and the moves between them.
 *
 * The same table is enforced by a trigger in Postgres (migrations/), so that no program, whatever its bugs, can
 * move a run out of READY, FAILED or QUARANTINED.
 */

export const RUN_STATES = [
  'OPEN',
  'PLANNED',
  'EXECUTING',
  'WAITING_EVIDENCE',
  'READY',
  'FAILED',
  'QUARANTINED',
] as const;

export type RunState = (typeof RUN_STATES)[number];

/** States from which a run never moves again. */
export type FinalState = 'READY' | 'FAILED' | 'QUARANTINED';

const NEXT: Readonly<Record<RunState, readonly RunState[]>> = {
  OPEN: ['PLANNED', 'FAILED', 'QUARANTINED'],
  PLANNED: ['EXECUTING', 'WAITING_EVIDENCE', 'READY', 'FAILED', 'QUARANTINED'],
  EXECUTING: ['WAITING_EVIDENCE', 'READY', 'FAILED', 'QUARANTINED'],
  WAITING_EVIDENCE: ['READY', 'FAILED', 'QUARANTINED'],
  READY: [],
  FAILED: [],
  QUARANTINED: [],
};

/** Whether a run in `from` may be set to `to`. Staying where it is is always allowed. */
export function mayMove(from: RunState, to: RunState): boolean {
  return from === to || NEXT[from].includes(to);
}

export function isFinal(state: RunState): state is FinalState {
  return NEXT[state].length === 0;
}
