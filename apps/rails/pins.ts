/**
 * Pins: the fields of an envelope that say which run and which sealed world a record belongs to. Each event
 * class requires some of them (class map policy).
 */

/** Every pin, in envelope order. */
export const PIN_NAMES = [
  'manifest_fingerprint',
  'parameter_hash',
  'seed',
  'scenario_id',
  'run_id',
  'platform_run_id',
  'scenario_run_id',
] as const;

export type PinName = (typeof PIN_NAMES)[number];

/** Pins of one record; null is absent. All are text: seed is a decimal string. */
export type Pins = { readonly [name in PinName]: string | null };

/**
 * The sealed world: the engine's run id is deliberately not part of it, so replays and re-runs of one world
 * give the same event ids.
 */
export interface WorldKey {
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly scenario_id: string;
  /** uint64 as a decimal string. */
  readonly seed: string;
}

const NONE: readonly PinName[] = [];

/** The required pins that the record lacks (null or empty), in the order required. Allocates only if some are. */
export function missingPins(pins: Pins, required: readonly PinName[]): readonly PinName[] {
  for (const name of required) {
    const value = pins[name];
    if (value === null || value === '')
      return required.filter((pin) => pins[pin] === null || pins[pin] === '');
  }
  return NONE;
}
