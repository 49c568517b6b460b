/** The bus record of an admission: the producer's bytes, and the decision in headers that any tool can read. */
import { rawSerde, type HeaderPolicy, type Serde } from '../../../lib/index.ts';
import {
  compileDecisionHeader,
  DECISION_HEADER,
  EVENT_CLASS_HEADER,
  EVENT_TYPE_HEADER,
  PLATFORM_RUN_ID_HEADER,
} from '../../rails/index.ts';
import type { Admission } from './decision.ts';
import type { GateRules } from './judge.ts';

/** Writes the ingress value by reference: it is never copied in JavaScript. */
export const admittedBytes: Serde<Admission> = {
  deserialize() {
    throw new Error('admissions are written, never read back: read the bus with the registry');
  },
  serialize: (admission, batch, placement) => rawSerde.serialize(admission.bytes, batch, placement),
};

export function stampHeaders(ingressTopic: string, rules: GateRules): HeaderPolicy<string | null, Admission> {
  const encodeDecision = compileDecisionHeader(ingressTopic, rules.policies.gateRev);
  return ({ value: admission }, headers, source) => {
    headers
      .add(EVENT_TYPE_HEADER, admission.eventType)
      .add(EVENT_CLASS_HEADER, admission.eventClass)
      .add(PLATFORM_RUN_ID_HEADER, admission.platformRunId)
      .add(
        DECISION_HEADER,
        encodeDecision(
          source.partition,
          source.offset,
          admission.eventId,
          admission.scenarioRunId,
          admission.payloadHash,
          admission.profileId,
        ),
      );
  };
}
