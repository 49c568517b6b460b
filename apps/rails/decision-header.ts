/**
 * The `decision` header of a bus record: what the gate decided, as compact JSON text that kcat can show. With the
 * record's key, position and other headers it is all a receipt needs.
 */
import { canonicalString } from './canonical-json.ts';
import { isHex32, isHex64, isText } from './scalars.ts';

export const DECISION_HEADER = 'decision';
export const EVENT_TYPE_HEADER = 'event_type';
export const EVENT_CLASS_HEADER = 'event_class';
export const PLATFORM_RUN_ID_HEADER = 'platform_run_id';

export interface DecisionHeader {
  readonly ingressTopic: string;
  readonly ingressPartition: number;
  readonly ingressOffset: number;
  readonly eventId: string;
  readonly scenarioRunId: string;
  readonly payloadHash: string;
  readonly partitioningProfileId: string;
  readonly policyId: string;
  readonly policyRevision: string;
}

/** Writes the header of one admission: all that varies from record to record. */
export type DecisionHeaderEncoder = (
  ingressPartition: number,
  ingressOffset: number,
  eventId: string,
  scenarioRunId: string,
  payloadHash: string,
  partitioningProfileId: string,
) => string;

/** Compiles the encoder for one ingress topic under one policy revision. */
export function compileDecisionHeader(
  ingressTopic: string,
  policy: { readonly policy_id: string; readonly revision: string },
): DecisionHeaderEncoder {
  const head = `{"ingress":"${ingressTopic}/`;
  const tail = `","policy":${canonicalString(`${policy.policy_id}@${policy.revision}`)}}`;
  return (partition, offset, eventId, scenarioRunId, payloadHash, profileId) =>
    head +
    partition.toString() +
    '/' +
    offset.toString() +
    '","event_id":' +
    canonicalString(eventId) +
    ',"scenario_run_id":"' +
    scenarioRunId +
    '","payload_hash":"' +
    payloadHash +
    '","profile":"' +
    profileId +
    tail;
}

/** The header is not what the gate writes: the record did not come through the gate. */
export class DecisionHeaderError extends Error {
  override readonly name = 'DecisionHeaderError';
}

const INGRESS = /^([A-Za-z0-9._-]{1,249})\/([0-9]{1,10})\/([0-9]{1,16})$/;
const POLICY = /^([^@]{1,256})@(.{1,128})$/;

/** Reads and checks a header. Throws DecisionHeaderError naming the field that is wrong. */
export function decodeDecisionHeader(text: string): DecisionHeader {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new DecisionHeaderError(`the ${DECISION_HEADER} header is not JSON: ${text.slice(0, 128)}`);
  }
  if (typeof parsed !== 'object' || parsed === null) {
    throw new DecisionHeaderError(
      `the ${DECISION_HEADER} header is not a JSON object: ${text.slice(0, 128)}`,
    );
  }
  const fields = parsed as Readonly<Record<string, unknown>>;
  const field = (name: string, valid: (value: string) => boolean): string => {
    const value = fields[name];
    if (typeof value !== 'string' || !valid(value)) {
      throw new DecisionHeaderError(`the ${DECISION_HEADER} header's ${name} is ${JSON.stringify(value)}`);
    }
    return value;
  };
  const ingress = INGRESS.exec(field('ingress', (value) => INGRESS.test(value)))!;
  const policy = POLICY.exec(field('policy', (value) => POLICY.test(value)))!;
  return {
    ingressTopic: ingress[1]!,
    ingressPartition: Number(ingress[2]),
    ingressOffset: Number(ingress[3]),
    eventId: field('event_id', (value) => isText(value, 256)),
    scenarioRunId: field('scenario_run_id', isHex32),
    payloadHash: field('payload_hash', isHex64),
    partitioningProfileId: field('profile', (value) => isText(value, 256)),
    policyId: policy[1]!,
    policyRevision: policy[2]!,
  };
}
