/** A READY as the streamer needs it: what the run streams, what was proven about it, and what was asked for. */
import { streamedOutputs, type Envelope, type TrafficMode, type WorldKey } from '../rails/index.ts';
import { StreamError } from './stream-error.ts';

export interface ReadyOutput {
  readonly output_id: string;
  readonly row_count: number;
  /** Identity of the stream view. */
  readonly view_id: string;
}

export interface Ready {
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly attempt: number;
  readonly message_id: string;
  readonly facts_view_ref: string;
  readonly bundle_hash: string;
  readonly world: WorldKey;
  readonly traffic_mode: TrafficMode;
  readonly outputs: readonly ReadyOutput[];
  readonly gates: readonly { readonly gate_id: string; readonly status: string }[];
  readonly pack: {
    readonly oracle_pack_id: string;
    readonly manifest_ref: string;
    readonly engine_run_root: string;
    readonly engine_run_id: string;
    readonly engine_release: string;
  };
  /** Asked for with the run; null leaves it to the policy. */
  readonly speedup: number | null;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

/** The payload of run.ready as its schema has it. */
interface ReadyPayload extends Omit<Ready, 'world' | 'traffic_mode' | 'pack'>, WorldKey {
  readonly traffic_mode: string;
  readonly oracle_pack_ref: Ready['pack'];
}

/** Reads a decoded run.ready. Throws StreamError (READY_INVALID and kin). The schema has checked the types. */
export function readyOf(envelope: Envelope): Ready {
  const payload = envelope.payload as unknown as ReadyPayload;
  const { traffic_mode: mode, attempt } = payload;
  const same = (
    code: 'PLATFORM_RUN_ID_MISMATCH' | 'SCENARIO_RUN_ID_MISMATCH',
    a: string | null,
    b: string,
  ): void => {
    if (a !== b) throw new StreamError(code, `the envelope of READY says ${String(a)}, its payload ${b}`);
  };
  same('PLATFORM_RUN_ID_MISMATCH', envelope.platform_run_id, payload.platform_run_id);
  same('SCENARIO_RUN_ID_MISMATCH', envelope.scenario_run_id, payload.scenario_run_id);
  if (mode !== 'baseline' && mode !== 'fraud') {
    throw new StreamError('READY_INVALID', `traffic_mode is ${JSON.stringify(mode)}, not baseline or fraud`);
  }
  if (!Number.isSafeInteger(attempt) || attempt < 1) {
    throw new StreamError('READY_INVALID', `attempt is ${attempt}, it counts from 1`);
  }
  return {
    platform_run_id: payload.platform_run_id,
    scenario_run_id: payload.scenario_run_id,
    attempt,
    message_id: payload.message_id,
    facts_view_ref: payload.facts_view_ref,
    bundle_hash: payload.bundle_hash,
    world: {
      manifest_fingerprint: payload.manifest_fingerprint,
      parameter_hash: payload.parameter_hash,
      scenario_id: payload.scenario_id,
      seed: payload.seed,
    },
    traffic_mode: mode,
    outputs: payload.outputs.map(({ output_id, row_count, view_id }) => ({ output_id, row_count, view_id })),
    gates: payload.gates.map(({ gate_id, status }) => ({ gate_id, status })),
    pack: {
      oracle_pack_id: payload.oracle_pack_ref.oracle_pack_id,
      manifest_ref: payload.oracle_pack_ref.manifest_ref,
      engine_run_root: payload.oracle_pack_ref.engine_run_root,
      engine_run_id: payload.oracle_pack_ref.engine_run_id,
      engine_release: payload.oracle_pack_ref.engine_release,
    },
    speedup: payload.speedup,
    max_events: payload.max_events,
    max_events_per_output: payload.max_events_per_output,
  };
}

/**
 * The outputs to stream, in merge order: on equal times context goes before traffic and an anchor before its events.
 * Throws StreamError for an output that may not be streamed in this mode (truth never may) or one that is missing.
 */
export function outputsToStream(ready: Ready): readonly ReadyOutput[] {
  const allowed = streamedOutputs(ready.traffic_mode);
  for (const { output_id } of ready.outputs) {
    if (!allowed.some((output) => output.output_id === output_id)) {
      throw new StreamError(
        'OUTPUT_NOT_STREAMABLE',
        `${output_id} is not streamed in ${ready.traffic_mode} mode`,
      );
    }
  }
  return allowed.map((output) => {
    const declared = ready.outputs.filter(({ output_id }) => output_id === output.output_id);
    if (declared.length !== 1) {
      throw new StreamError(
        'NO_TRAFFIC_OUTPUTS',
        `READY declares ${output.output_id} ${declared.length} times; ${ready.traffic_mode} mode streams it once`,
      );
    }
    return declared[0]!;
  });
}
