/**
 * What happens to every record that wants onto the bus.
 *
 * A record is read from ingress as bytes. It is judged against the policies and the store of what has been seen.
 * What is admitted goes on to its bus topic with the very same bytes, under the partition key that the gate
 * stamps, with the decision in headers. What is not admitted goes to the outcomes topic with the reason and the
 * bytes. All of it, the offset included, commits in one transaction: exactly one outcome per record.
 */
import {
  dedupeStore,
  nullable,
  rawSerde,
  StreamBuilder,
  stringSerde,
  type Serde,
  type Topology,
} from '../../lib/index.ts';
import type { Outcome, Settings } from '../rails/index.ts';
import { admittedBytes, stampHeaders } from './admission/admitted-record.ts';
import { isAdmission, isRefusal, type Decision } from './admission/decision.ts';
import { judge, type GateRules } from './admission/judge.ts';

export function admissionTopology(
  topics: Settings['topics'],
  rules: GateRules,
  outcomeSerde: Serde<Outcome>,
): Topology {
  const seen = dedupeStore('dedupe', { ttlMs: rules.dedupeTtlMs });
  const builder = new StreamBuilder();

  const { admitted, refused } = builder
    .stream(topics.ingress, { value: nullable(rawSerde), name: 'ingress' })
    .process<string | null, Decision>(judge(rules, seen), { name: 'judge', stores: [seen] })
    .split({ admitted: isAdmission, refused: isRefusal }, { name: 'decision' });

  admitted.to(
    { topics: [topics.traffic, topics.control, topics.audit], choose: ({ value }) => topics[value.bus] },
    {
      name: 'bus',
      key: nullable(stringSerde),
      value: admittedBytes,
      headers: stampHeaders(topics.ingress, rules),
      partition: (_record, source) => source.partition,
      timestamp: 'wall-clock',
    },
  );

  refused.to(topics.outcomes, {
    name: 'outcomes',
    value: outcomeSerde,
    headers: 'none',
    partition: (_record, source) => source.partition,
    timestamp: 'wall-clock',
  });

  return builder.build();
}
