import test from 'ava';
import fc from 'fast-check';
import {
  DecisionHeaderError,
  compileDecisionHeader,
  decodeDecisionHeader,
  objectRef,
  packObjects,
  parseObjectRef,
  runObjects,
  segmentOf,
} from '../../../apps/rails/index.ts';

const POLICY = { policy_id: 'ig.policy', revision: '1.1.1.1' };
const encode = compileDecisionHeader('fp.ingress.v1', POLICY);
const HASH = 'a'.repeat(64);
const RUN = 'b'.repeat(32);

test('the decision header is compact JSON in a fixed order', (t) => {
  t.is(
    encode(3, 9_007_199_254_740_991, 'e"1', RUN, HASH, 'ig.partitioning.v0.traffic'),
    `{"ingress":"fp.ingress.v1/3/9007199254740991","event_id":"e\\"1","scenario_run_id":"${RUN}",` +
      `"payload_hash":"${HASH}","profile":"ig.partitioning.v0.traffic","policy":"ig.policy@1.1.1.1"}`,
  );
});

test('a decision header is read as it was written, whatever the event id', (t) => {
  const eventId = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
    .filter((id) => !id.includes('\u0000'));
  fc.assert(
    fc.property(eventId, fc.nat(), fc.maxSafeInteger().map(Math.abs), (id, partition, offset) => {
      fc.pre(id.length <= 256);
      t.deepEqual(decodeDecisionHeader(encode(partition, offset, id, RUN, HASH, 'p')), {
        ingressTopic: 'fp.ingress.v1',
        ingressPartition: partition,
        ingressOffset: offset,
        eventId: id,
        scenarioRunId: RUN,
        payloadHash: HASH,
        partitioningProfileId: 'p',
        policyId: 'ig.policy',
        policyRevision: '1.1.1.1',
      });
    }),
  );
});

test('a header the gate would not write is refused, and the field is named', (t) => {
  const good = encode(0, 0, 'e', RUN, HASH, 'p');
  const refuse = (text: string, message: RegExp): void => {
    t.throws(() => decodeDecisionHeader(text), { instanceOf: DecisionHeaderError, message });
  };
  refuse('', /not JSON/);
  refuse('null', /not a JSON object/);
  refuse(good.replace('/0/0', '/0'), /ingress/);
  refuse(good.replace(HASH, 'xyz'), /payload_hash/);
  refuse(good.replace(RUN, ''), /scenario_run_id/);
  refuse(good.replace('ig.policy@', ''), /policy/);
  refuse(good.replace('"event_id":"e"', '"event_id":5'), /event_id/);
});

const PLATFORM_RUN = 'platform_20260101T000000Z';

test('the objects of a run lie under its id, once', (t) => {
  const objects = runObjects(PLATFORM_RUN);
  t.is(objects.sr.runFactsView('r1'), `${PLATFORM_RUN}/sr/run_facts_view/r1.json`);
  t.is(objects.sr.runRecord('r1'), `${PLATFORM_RUN}/sr/run_record/r1.jsonl`);
  t.is(
    objects.sr.instanceReceipt('o', [['seed', '42']]),
    `${PLATFORM_RUN}/sr/instance_receipts/output_id=o/seed=42/instance_receipt.json`,
  );
  t.is(
    objects.ig.receipts('fp.bus.traffic.v1', 3, 12),
    `${PLATFORM_RUN}/ig/receipts/topic=fp.bus.traffic.v1/partition=3/segment-000000000012.parquet`,
  );
  t.is(segmentOf(65_535), 0);
  t.is(segmentOf(65_536), 1);
  t.throws(() => runObjects(`fraud-platform/${PLATFORM_RUN}`), { instanceOf: RangeError });
});

test('what comes from outside cannot leave its place in a key', (t) => {
  const objects = runObjects(PLATFORM_RUN);
  for (const wrong of ['', '..', '.', 'a/b', 'é', 'x'.repeat(129)]) {
    t.throws(() => objects.sr.runPlan(wrong), { instanceOf: RangeError });
    t.throws(() => packObjects(`set/${wrong}x/../y`), { instanceOf: RangeError });
  }
  t.throws(() => objects.ig.receipts('t', -1, 0), { instanceOf: RangeError });
});

test('a stream view lies flat under its output', (t) => {
  const pack = packObjects('local/c25a2675fbfbacd952b13bb594880e92/');
  t.is(pack.seal, 'local/c25a2675fbfbacd952b13bb594880e92/_SEALED.json');
  t.is(
    pack.streamViewPart('arrival_events_5B', 7),
    'local/c25a2675fbfbacd952b13bb594880e92/stream_view/ts_utc/output_id=arrival_events_5B/part-000007.arrow',
  );
});

test('references never double their bucket and are read as they were written', (t) => {
  t.deepEqual(parseObjectRef(objectRef('oracle-store', 'a/b.json')), {
    bucket: 'oracle-store',
    key: 'a/b.json',
  });
  t.throws(() => objectRef('fraud-platform', 'fraud-platform/x'), { message: /already has a root/ });
  t.throws(() => parseObjectRef('http://x/y'), { message: /not an s3:/ });
});
