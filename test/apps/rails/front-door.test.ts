import test, { type ExecutionContext } from 'ava';
import {
  Bytes,
  KafkaError,
  OfflineSchemas,
  partitionOf,
  type OutgoingBatch,
  type Producer,
} from '../../../lib/index.ts';
import { FrontDoor, FrontDoorError } from '../../../apps/rails/index.ts';
import {
  compilePartitioning,
  controlEventId,
  eventSchema,
  partitionKey,
  type Envelope,
} from '../../../apps/rails/index.ts';

const TOPIC = 'fp.ingress.v1';
const PARTITIONS = 4;

interface Sent {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly value: Buffer;
}

/** A producer whose broker acknowledges what `refuse` does not reject; it keeps what it was given. */
class AcknowledgingProducer implements Pick<
  Producer,
  'produce' | 'flush' | 'acknowledged' | 'partitionCount' | 'close'
> {
  readonly sent: Sent[] = [];
  refuse: Error | undefined;
  topicMissing = false;
  inFlight = 0;
  mostInFlight = 0;

  produce(batch: OutgoingBatch): Promise<void> {
    this.inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.inFlight);
    const slice = (source: number, start: number, length: number): Buffer =>
      Buffer.from(batch.sources[source]!.subarray(start, start + length));
    this.sent.push({
      topic: batch.topics[batch.topic[0]!]!,
      partition: batch.partition[0]!,
      key: slice(batch.keySource[0]!, batch.keyStart[0]!, batch.keyLength[0]!).toString(),
      value: slice(batch.valueSource[0]!, batch.valueStart[0]!, batch.valueLength[0]!),
    });
    return Promise.resolve();
  }

  async flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.inFlight -= 1;
    if (this.refuse !== undefined) throw this.refuse;
  }

  acknowledged(topic: string, partition: number): number {
    return this.sent.filter((each) => each.topic === topic && each.partition === partition).length - 1;
  }

  partitionCount(): Promise<number> {
    return this.topicMissing
      ? Promise.reject(new KafkaError('partitionCount', 3, 'UNKNOWN_TOPIC_OR_PART', 'no such topic'))
      : Promise.resolve(PARTITIONS);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

const partitioning = compilePartitioning(
  {
    policy_id: 'test',
    revision: 1,
    profiles: { control: { bus: 'control', key_precedence: ['run_id', 'manifest_fingerprint', 'event_id'] } },
    event_types: { 'run.terminal': 'control' },
  },
  'control',
);

function open(): { door: FrontDoor; producer: AcknowledgingProducer; schemas: OfflineSchemas } {
  const producer = new AcknowledgingProducer();
  const schemas = new OfflineSchemas();
  schemas.register(`${TOPIC}-run.terminal`, eventSchema('run.terminal'), 7);
  const door = new FrontDoor({
    producer: producer as unknown as Producer,
    schemas,
    topic: TOPIC,
    partitioning,
  });
  return { door, producer, schemas };
}

const RUN = 'a'.repeat(32);

function event(change: Partial<Envelope> = {}): Envelope {
  return {
    event_id: controlEventId('run.terminal', 'platform_20260101T000000Z', RUN, 1),
    event_type: 'run.terminal',
    ts_utc: '2026-01-01T00:00:00.000000Z',
    manifest_fingerprint: 'b'.repeat(64),
    parameter_hash: null,
    seed: null,
    scenario_id: null,
    run_id: RUN,
    platform_run_id: 'platform_20260101T000000Z',
    scenario_run_id: RUN,
    schema_version: 'v1',
    emitted_at_utc: null,
    producer: 'test',
    trace_id: null,
    span_id: null,
    parent_event_id: null,
    payload: {
      run_id: RUN,
      status_state: 'FAILED',
      status_ref: 's3://bucket/status',
      record_ref: 's3://bucket/record',
      reemit_key: 'c'.repeat(64),
      attempt: 1,
      reason_code: null,
      emitted_at_utc: null,
    },
    ...change,
  };
}

test('an event goes out in wire format, on the partition of its key', async (t) => {
  const { door, producer, schemas } = open();
  const receipt = await door.publish(event());
  const key = partitionKey(RUN);
  const partition = partitionOf(Buffer.from(key), 0, key.length, PARTITIONS);
  t.deepEqual(receipt, { topic: TOPIC, partition, offset: 0 });
  const [sent] = producer.sent;
  t.is(sent!.key, key);
  t.is(sent!.partition, partition);
  const decoded = schemas.typeById(7).decode(new Bytes(sent!.value)) as Envelope;
  t.deepEqual(JSON.parse(JSON.stringify(decoded)), event());
});

test('without a run the key is the world, as the profile says', async (t) => {
  const { door, producer } = open();
  await door.publish(event({ run_id: null }));
  t.is(producer.sent[0]!.key, partitionKey('b'.repeat(64)));
});

test('events are published one after the other, in the order of the calls', async (t) => {
  const { door, producer } = open();
  const receipts = await Promise.all([1, 2, 3].map((n) => door.publish(event({ trace_id: String(n) }))));
  t.deepEqual(
    receipts.map((receipt) => receipt.offset),
    [0, 1, 2],
  );
  t.is(producer.mostInFlight, 1);
});

async function refusal(t: ExecutionContext, publishing: Promise<unknown>): Promise<FrontDoorError> {
  return t.throwsAsync(publishing, { instanceOf: FrontDoorError });
}

test('a type without a schema is refused with the way out', async (t) => {
  const { door, producer } = open();
  const error = await refusal(t, door.publish(event({ event_type: 'run.ready' })));
  t.is(error.code, 'SCHEMA_NOT_REGISTERED');
  t.regex(error.message, /fp\.ingress\.v1-run\.ready.*npm run topology:apply/);
  t.is(producer.sent.length, 0);
});

test('a missing ingress topic is named', async (t) => {
  const { door, producer } = open();
  producer.topicMissing = true;
  const error = await refusal(t, door.publish(event()));
  t.is(error.code, 'INGRESS_TOPIC_MISSING');
  t.false(error.retriable);
});

test('an event that breaks its contract never leaves', async (t) => {
  const { door, producer } = open();
  t.is((await refusal(t, door.publish(event({ ts_utc: 'yesterday' })))).code, 'EVENT_INVALID');
  t.is((await refusal(t, door.publish(event({ payload: { run_id: RUN } })))).code, 'EVENT_INVALID');
  t.is(producer.sent.length, 0);
});

test('a lost acknowledgement is retriable, and the next publish is not affected', async (t) => {
  const { door, producer } = open();
  producer.refuse = new Error('timed out');
  const error = await refusal(t, door.publish(event()));
  t.is(error.code, 'NOT_ACKNOWLEDGED');
  t.true(error.retriable);
  producer.refuse = undefined;
  await t.notThrowsAsync(door.publish(event()));
});
