/** What the gate decides about one record. Decisions are reused objects: a sink reads them before the next record. */
import type { Bytes } from '../../../lib/index.ts';
import type { BusTopic, Outcome } from '../../rails/index.ts';

/** Goes onto the bus, bytes unchanged. */
export interface Admission {
  readonly decision: 'ADMIT';
  bus: BusTopic;
  /** The ingress value, forwarded by position. */
  bytes: Bytes;
  eventId: string;
  eventType: string;
  eventClass: string;
  platformRunId: string;
  scenarioRunId: string;
  payloadHash: string;
  profileId: string;
}

export type Decision = Admission | Outcome;

export function isAdmission(decision: Decision): decision is Admission {
  return decision.decision === 'ADMIT';
}

export function isRefusal(decision: Decision): decision is Outcome {
  return decision.decision !== 'ADMIT';
}
