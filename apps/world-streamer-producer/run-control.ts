/**
 * What operators have asked of a run: pause, resume, throttle, drain, cancel, folded into one record.
 *
 * The record lies on the cursor topic beside the run's cursors, written in the transaction that takes the command's
 * offset: a run that was paused is still paused after a restart, and with its next owner.
 */
import { sha256Hex, type StreamCommandPayload } from '../rails/index.ts';
import type { Ready } from './ready.ts';
import { StreamError } from './stream-error.ts';

export interface RunControl {
  readonly version: 1;
  readonly kind: 'control';
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly attempt: number;
  readonly paused: boolean;
  /** In place of the run's own; null leaves that. */
  readonly speedup: number | null;
  /** Most events per second; null is no cap. */
  readonly target_eps: number | null;
  /** The run is to end: as soon as the moment being sent is whole, or at once. */
  readonly end: 'drain' | 'cancel' | null;
  /** The command applied last. */
  readonly command_id: string | null;
}

type RunAttempt = Pick<Ready, 'platform_run_id' | 'scenario_run_id' | 'attempt'>;

/** A run that nobody has commanded. */
export function uncontrolled(run: RunAttempt): RunControl {
  return {
    version: 1,
    kind: 'control',
    platform_run_id: run.platform_run_id,
    scenario_run_id: run.scenario_run_id,
    attempt: run.attempt,
    paused: false,
    speedup: null,
    target_eps: null,
    end: null,
    command_id: null,
  };
}

/** The key of a run's control record: one per run and attempt. */
export function controlKey(run: RunAttempt): string {
  return sha256Hex(`control|${run.platform_run_id}|${run.scenario_run_id}|${run.attempt}`);
}

/**
 * The record after a command. Ending wins over everything after it, and cancel over drain. Throws StreamError
 * (COMMAND_INVALID) for a command that does not exist or lacks what it needs.
 */
export function applyCommand(control: RunControl, command: StreamCommandPayload): RunControl {
  const applied = { ...control, command_id: command.command_id };
  switch (command.command) {
    case 'pause':
      return { ...applied, paused: true };
    case 'resume':
      return { ...applied, paused: false };
    case 'throttle':
      return {
        ...applied,
        speedup: checkedRate('speedup', command.speedup, 0) ?? control.speedup,
        target_eps: checkedRate('target_eps', command.target_eps, Number.MIN_VALUE) ?? control.target_eps,
      };
    case 'drain':
      return { ...applied, end: control.end ?? 'drain' };
    case 'cancel':
      return { ...applied, end: 'cancel' };
    default:
      throw new StreamError(
        'COMMAND_INVALID',
        `${String(command.command)} is no command; there are pause, resume, throttle, drain and cancel`,
      );
  }
}

function checkedRate(name: string, value: number | null, least: number): number | null {
  if (value !== null && !(Number.isFinite(value) && value >= least)) {
    throw new StreamError('COMMAND_INVALID', `throttle: ${name} is ${value}`);
  }
  return value;
}
