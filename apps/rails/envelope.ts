/**
 * The canonical envelope: what every event on the platform carries around its payload, and the closed-world
 * check of its fields. The Avro record of each event type is this envelope plus a typed payload.
 */
import type { Pins } from './pins.ts';
import { isHex32, isHex64, isPlatformRunId, isText, isUint64 } from './scalars.ts';
import { isMicros } from './timestamps.ts';

/** One event. Absent optional fields are null; 64-bit ids and amounts in the payload are decimal strings. */
export interface Envelope<P = Readonly<Record<string, unknown>>> extends Pins {
  readonly event_id: string;
  /** Equals the full name of the record's Avro schema; for engine rows, the output id. */
  readonly event_type: string;
  /** Domain time, `micros`. Never overwritten by a later stage. */
  readonly ts_utc: string;
  readonly manifest_fingerprint: string;
  readonly schema_version: string | null;
  /** When the producer framed the event, `micros`. */
  readonly emitted_at_utc: string | null;
  readonly producer: string | null;
  readonly trace_id: string | null;
  readonly span_id: string | null;
  readonly parent_event_id: string | null;
  readonly payload: P;
}

/** The envelope's fields in the order of the Avro record, payload last. */
export const ENVELOPE_FIELDS = [
  'event_id',
  'event_type',
  'ts_utc',
  'manifest_fingerprint',
  'parameter_hash',
  'seed',
  'scenario_id',
  'run_id',
  'platform_run_id',
  'scenario_run_id',
  'schema_version',
  'emitted_at_utc',
  'producer',
  'trace_id',
  'span_id',
  'parent_event_id',
  'payload',
] as const satisfies readonly (keyof Envelope)[];

export type EnvelopeField = (typeof ENVELOPE_FIELDS)[number];

const NONE: readonly string[] = [];

/**
 * What is wrong with the envelope's own fields, one sentence each, in field order; an empty list when nothing is.
 * It checks form only: which pins must be there is the class map's business (`missingPins`). The payload was
 * checked by its Avro schema.
 */
export function envelopeProblems(envelope: Envelope): readonly string[] {
  let problems = NONE;
  const refuse = (field: EnvelopeField, value: string, expected: string): void => {
    problems = [...problems, `${field}: ${excerpt(value)} is not ${expected}`];
  };
  const e = envelope;
  if (!isText(e.event_id, 256)) refuse('event_id', e.event_id, TEXT_256);
  if (!isText(e.event_type, 256)) refuse('event_type', e.event_type, TEXT_256);
  if (!isMicros(e.ts_utc)) refuse('ts_utc', e.ts_utc, MICROS);
  if (!isHex64(e.manifest_fingerprint)) refuse('manifest_fingerprint', e.manifest_fingerprint, HEX_64);
  if (e.parameter_hash !== null && !isHex64(e.parameter_hash))
    refuse('parameter_hash', e.parameter_hash, HEX_64);
  if (e.seed !== null && !isUint64(e.seed)) refuse('seed', e.seed, 'a decimal uint64');
  if (e.scenario_id !== null && !isText(e.scenario_id, 256)) refuse('scenario_id', e.scenario_id, TEXT_256);
  if (e.run_id !== null && !isHex32(e.run_id)) refuse('run_id', e.run_id, HEX_32);
  if (e.platform_run_id !== null && !isPlatformRunId(e.platform_run_id)) {
    refuse('platform_run_id', e.platform_run_id, 'platform_YYYYMMDDTHHMMSSZ');
  }
  if (e.scenario_run_id !== null && !isHex32(e.scenario_run_id)) {
    refuse('scenario_run_id', e.scenario_run_id, HEX_32);
  }
  if (e.schema_version !== null && !isText(e.schema_version, 64)) {
    refuse('schema_version', e.schema_version, 'text of 1-64 characters');
  }
  if (e.emitted_at_utc !== null && !isMicros(e.emitted_at_utc))
    refuse('emitted_at_utc', e.emitted_at_utc, MICROS);
  if (e.producer !== null && !isText(e.producer, 128)) refuse('producer', e.producer, TEXT_128);
  if (e.trace_id !== null && !isText(e.trace_id, 128)) refuse('trace_id', e.trace_id, TEXT_128);
  if (e.span_id !== null && !isText(e.span_id, 128)) refuse('span_id', e.span_id, TEXT_128);
  if (e.parent_event_id !== null && !isText(e.parent_event_id, 256)) {
    refuse('parent_event_id', e.parent_event_id, TEXT_256);
  }
  return problems;
}

const HEX_64 = '64 lower-case hex digits';
const HEX_32 = '32 lower-case hex digits';
const MICROS = 'an instant like 2026-01-01T00:00:00.000000Z';
const TEXT_256 = 'text of 1-256 characters without U+0000';
const TEXT_128 = 'text of 1-128 characters without U+0000';

/** A value for an error text: quoted, control characters escaped, cut to a length that fits a log line. */
function excerpt(value: string): string {
  const quoted = JSON.stringify(value.length > 64 ? value.slice(0, 64) : value);
  return value.length > 64 ? `${quoted}… (${value.length} characters)` : quoted;
}
