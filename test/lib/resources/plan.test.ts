import test from 'ava';
import fc from 'fast-check';
import {
  InvalidDesiredState,
  type DesiredResources,
  type DesiredTopic,
} from '../../../lib/resources/desired.ts';
import type { LiveResources, LiveSubject, LiveTopic } from '../../../lib/resources/live.ts';
import { plan, type Change, type RefusalCode } from '../../../lib/resources/plan.ts';
import { planExitCode, planJson, planText } from '../../../lib/resources/render.ts';

const SCHEMA = { type: 'record', name: 'a', fields: [] };
const topic = (extra: Partial<DesiredTopic> = {}): DesiredTopic => ({
  name: 't',
  partitions: 4,
  configs: {},
  ...extra,
});
const liveTopic = (extra: Partial<LiveTopic> = {}): LiveTopic => ({
  name: 't',
  partitions: 4,
  replicationFactor: 1,
  configs: { 'retention.ms': '1000', 'cleanup.policy': 'delete' },
  ...extra,
});
const subject = {
  subject: 's',
  schemaType: 'AVRO',
  schema: SCHEMA,
  compatibility: 'BACKWARD_TRANSITIVE',
} as const;
const liveSubject = (extra: Partial<LiveSubject> = {}): LiveSubject => ({
  subject: 's',
  compatibility: 'BACKWARD_TRANSITIVE',
  id: 7,
  incompatible: [],
  ...extra,
});

const desired = (extra: Partial<DesiredResources> = {}): DesiredResources => ({
  topics: [],
  subjects: [],
  ...extra,
});
const live = (
  topics: LiveTopic[] = [],
  subjects: LiveSubject[] = [],
  extra: Partial<LiveResources> = {},
): LiveResources => ({
  clusterId: 'cluster-1',
  topics: new Map(topics.map((one) => [one.name, one])),
  subjects: new Map(subjects.map((one) => [one.subject, one])),
  otherTopics: [],
  otherSubjects: [],
  ...extra,
});

interface Row {
  readonly title: string;
  readonly want: DesiredResources;
  readonly have: LiveResources;
  readonly changes?: Change[];
  readonly refused?: RefusalCode;
  readonly allowDelete?: string[];
}

const rows: Row[] = [
  {
    title: 'CI-82 an absent topic is created with its partitions and configs',
    want: desired({ topics: [topic({ configs: { 'cleanup.policy': 'compact' } })] }),
    have: live(),
    changes: [{ kind: 'create-topic', topic: 't', partitions: 4, configs: { 'cleanup.policy': 'compact' } }],
  },
  {
    title: 'CI-82 an equal topic needs nothing',
    want: desired({ topics: [topic()] }),
    have: live([liveTopic()]),
  },
  {
    title: 'a config that differs is altered, and only that',
    want: desired({ topics: [topic({ configs: { 'retention.ms': '2000', 'cleanup.policy': 'delete' } })] }),
    have: live([liveTopic()]),
    changes: [{ kind: 'alter-config', topic: 't', key: 'retention.ms', from: '1000', to: '2000' }],
  },
  {
    title: 'a config that is not listed is never reset',
    want: desired({ topics: [topic({ configs: { 'retention.ms': '1000' } })] }),
    have: live([liveTopic({ configs: { 'retention.ms': '1000', 'segment.ms': '5' } })]),
  },
  {
    title: 'a config that the broker does not report is set',
    want: desired({ topics: [topic({ configs: { 'new.key': '1' } })] }),
    have: live([liveTopic()]),
    changes: [{ kind: 'alter-config', topic: 't', key: 'new.key', to: '1' }],
  },
  {
    title: 'partitions are raised where the count may change',
    want: desired({ topics: [topic({ partitions: 6 })] }),
    have: live([liveTopic()]),
    changes: [{ kind: 'add-partitions', topic: 't', from: 4, to: 6 }],
  },
  {
    title: 'partitions of a keyed topic are never raised in place',
    want: desired({ topics: [topic({ partitions: 6, fixedPartitions: true })] }),
    have: live([liveTopic()]),
    refused: 'PARTITIONS_FIXED',
  },
  {
    title: 'partitions are never taken away, keyed or not',
    want: desired({ topics: [topic({ partitions: 2 })] }),
    have: live([liveTopic()]),
    refused: 'PARTITIONS_DECREASE',
  },
  {
    title: 'another replication factor is refused where one is desired',
    want: desired({ topics: [topic({ replicationFactor: 3 })] }),
    have: live([liveTopic()]),
    refused: 'REPLICATION_FACTOR_DIFFERS',
  },
  {
    title: 'CI-84 an absent subject gets its compatibility first, then its schema',
    want: desired({ subjects: [subject] }),
    have: live(),
    changes: [
      { kind: 'set-compatibility', subject: 's', to: 'BACKWARD_TRANSITIVE' },
      { kind: 'register-schema', subject: 's', evolves: false, schema: SCHEMA },
    ],
  },
  {
    title: 'a registered subject needs nothing',
    want: desired({ subjects: [subject] }),
    have: live([], [liveSubject()]),
  },
  {
    title: 'CI-84 a compatibility level that drifted is set back',
    want: desired({ subjects: [subject] }),
    have: live([], [liveSubject({ compatibility: 'NONE' })]),
    changes: [{ kind: 'set-compatibility', subject: 's', from: 'NONE', to: 'BACKWARD_TRANSITIVE' }],
  },
  {
    title: 'a schema that the subject lacks becomes its next version',
    want: desired({ subjects: [subject] }),
    have: live([], [{ subject: 's', compatibility: 'BACKWARD_TRANSITIVE', incompatible: [] }]),
    changes: [{ kind: 'register-schema', subject: 's', evolves: true, schema: SCHEMA }],
  },
  {
    title: 'CI-84 an incompatible schema is refused',
    want: desired({ subjects: [subject] }),
    have: live(
      [],
      [{ subject: 's', compatibility: 'BACKWARD_TRANSITIVE', incompatible: ['reader field x'] }],
    ),
    refused: 'INCOMPATIBLE_SCHEMA',
  },
  {
    title: 'CI-84 one schema under two ids in a group is refused',
    want: desired({
      subjects: [
        { ...subject, group: 'g' },
        { ...subject, subject: 's2', group: 'g' },
      ],
    }),
    have: live([], [liveSubject(), liveSubject({ subject: 's2', id: 8 })]),
    refused: 'SCHEMA_IDS_DIFFER',
  },
  {
    title: 'what exists without being desired is left alone',
    want: desired(),
    have: live([], [], { otherTopics: ['x', 'y'], otherSubjects: ['z'] }),
  },
  {
    title: 'an undesired topic and subject are deleted only when they are named',
    want: desired(),
    have: live([], [], { otherTopics: ['x', 'y'], otherSubjects: ['z'] }),
    allowDelete: ['x', 'z', 'no-such-thing'],
    changes: [
      { kind: 'delete-topic', topic: 'x' },
      { kind: 'delete-subject', subject: 'z' },
    ],
  },
  {
    title: 'deleting what is desired is refused',
    want: desired({ topics: [topic()] }),
    have: live([liveTopic()]),
    allowDelete: ['t'],
    refused: 'DELETE_OF_DESIRED',
  },
  {
    title: 'another cluster than the expected one is refused',
    want: desired({ clusterId: 'production' }),
    have: live(),
    refused: 'WRONG_CLUSTER',
  },
];

for (const { title, want, have, changes = [], refused, allowDelete } of rows) {
  test(title, (t) => {
    const result = plan(want, have, allowDelete === undefined ? {} : { allowDelete });
    t.deepEqual(
      result.refusals.map(({ code }) => code),
      refused === undefined ? [] : [refused],
    );
    t.deepEqual(result.changes, changes);
    t.is(planExitCode(result), refused !== undefined ? 1 : changes.length > 0 ? 3 : 0);
  });
}

test('a desired state that contradicts itself says everything that is wrong', (t) => {
  const error = t.throws(
    () =>
      plan(
        desired({
          topics: [topic(), topic(), topic({ name: 'no spaces', partitions: 0, replicationFactor: 0 })],
          subjects: [
            { ...subject, group: 'g' },
            { ...subject, subject: 's2', schema: 'string', group: 'g' },
          ],
        }),
        live(),
      ),
    { instanceOf: InvalidDesiredState },
  );
  for (const part of [
    /topic t is listed twice/,
    /no spaces is no legal/,
    /wants 0 partitions/,
    /factor of 0/,
    /s and s2 of group g/,
  ]) {
    t.regex(error.message, part);
  }
});

test('a plan reads as a difference, with what is left alone', (t) => {
  const result = plan(
    desired({
      topics: [
        topic({ name: 'new', configs: { 'retention.ms': '5' } }),
        topic({ configs: { 'retention.ms': '5' } }),
        topic({ name: 'keyed', partitions: 8, fixedPartitions: true }),
      ],
      subjects: [subject],
    }),
    live([liveTopic(), liveTopic({ name: 'keyed' })], [], { otherTopics: ['x', 'y'] }),
    { allowDelete: ['x'] },
  );
  t.is(
    planText(result),
    [
      'cluster cluster-1',
      '+ topic new: 4 partitions retention.ms=5',
      '~ topic t: retention.ms 1000 -> 5',
      '~ subject s: compatibility (default) -> BACKWARD_TRANSITIVE',
      '+ subject s: its first version',
      '- topic x, with its records',
      '! PARTITIONS_FIXED: keyed has 4 partitions, 8 are desired: its records are placed by key, so the count never changes in place; make a new topic and move to it',
      '  not managed, left alone: 1 topics (y)',
      'refused: 1 of the differences cannot be made so; nothing is changed',
      '',
    ].join('\n'),
  );
  const json = JSON.parse(planJson(result)) as { upToDate: boolean; changes: unknown[] };
  t.false(json.upToDate);
  t.is(json.changes.length, 5);
});

test('no plan ever alters a key that is not listed, takes partitions away, or deletes what was not named', (t) => {
  const keys = fc.constantFrom('a', 'b', 'c');
  const configs = fc.dictionary(keys, fc.constantFrom('1', '2')).map((map) => ({ ...map }));
  const names = fc.constantFrom('t1', 't2', 't3');
  const topics = fc.uniqueArray(
    fc.record({
      name: names,
      partitions: fc.integer({ min: 1, max: 4 }),
      configs,
      fixedPartitions: fc.boolean(),
    }),
    { selector: ({ name }) => name },
  );
  t.notThrows(() => {
    fc.assert(
      fc.property(
        topics,
        topics,
        fc.uniqueArray(fc.constantFrom('t1', 'x', 'y')),
        (want, have, allowDelete) => {
          const existing = live(
            have.filter(({ name }) => want.some((one) => one.name === name)).map((one) => liveTopic(one)),
            [],
            { otherTopics: ['x', 'y'] },
          );
          for (const change of plan(desired({ topics: want }), existing, { allowDelete }).changes) {
            const wanted = want.find(({ name }) => 'topic' in change && name === change.topic);
            if (change.kind === 'alter-config' && wanted?.configs[change.key] !== change.to)
              throw new Error('unlisted key');
            if (
              change.kind === 'add-partitions' &&
              (change.to <= change.from || wanted?.fixedPartitions === true)
            ) {
              throw new Error('partitions');
            }
            if (
              change.kind === 'delete-topic' &&
              (wanted !== undefined || !allowDelete.includes(change.topic as 'x'))
            ) {
              throw new Error('deleted');
            }
          }
        },
      ),
    );
  });
});
