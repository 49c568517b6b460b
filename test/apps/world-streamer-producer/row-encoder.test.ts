import test from 'ava';
import fc from 'fast-check';

import {
  compileEngineEventId,
  compilePartitioning,
  OUTPUT_CATALOGUE,
  outputDefinition,
  partitionKey,
  streamedOutputs,
  type Envelope,
} from '../../../apps/rails/index.ts';
import { partitionKeyColumn } from '../../../apps/world-streamer-producer/partition-key-column.ts';
import { PartitionKeyCache } from '../../../apps/world-streamer-producer/partition-key-cache.ts';
import { RowEncoder } from '../../../apps/world-streamer-producer/row-encoder.ts';
import { CompiledSchema, OutgoingBatch, partitionOf, readYamlFile } from '../../../lib/index.ts';
import { arrowPart, readBatches } from '../../lib/replay/arrow-fixture.ts';
import { arbitraryRows, payloadOf, recordSchema, viewColumns } from './row-fixture.ts';

const PARTITIONS = 4;

const envelope = {
  manifest_fingerprint: 'c8fd43cd60ce0ede0c63d2ceb4610f167c9b107e1d59b9b8c7d7b8d0028b05c8',
  parameter_hash: '56d45126eaabedd083a1d8428a763e0278c89efec5023cfd6cf3cab7fc8dd2d7',
  seed: '18446744073709551615',
  scenario_id: 'baseline_v1',
  run_id: 'c25a2675fbfbacd952b13bb594880e92',
  platform_run_id: 'platform_20260101T000000Z',
  scenario_run_id: '0123456789abcdef0123456789abcdef',
  schema_version: 'v1',
  emitted_at_utc: null,
  producer: 'svc:world_stream_producer',
  trace_id: 'a'.repeat(64),
  span_id: 'engine-1.0',
  parent_event_id: null,
};

const policy = readYamlFile('config/policies/partitioning_profiles.yaml') as Parameters<
  typeof compilePartitioning
>[0];
const partitioning = compilePartitioning(policy, 'ig.partitioning.v0.traffic');

const streamed = [...OUTPUT_CATALOGUE.values()].filter((output) => output.streamed !== null);

for (const output of streamed) {
  const { output_id } = output;
  const schema = new CompiledSchema(
    77,
    recordSchema(output) as ConstructorParameters<typeof CompiledSchema>[1],
  );

  test(`CI-45 ${output_id}: event id, key and every byte equal the recipes and the schema's own encoding`, async (t) => {
    const eventId = compileEngineEventId(output);
    const keys = new PartitionKeyCache(PARTITIONS);
    const profile = partitioning.profileOf(output_id);
    const encoder = new RowEncoder({
      output,
      schema,
      envelope: { ...envelope, event_type: output_id },
      keys,
      keyColumn: partitionKeyColumn(output, profile),
    });
    const batch = new OutgoingBatch(8);
    await fc.assert(
      fc.asyncProperty(arbitraryRows(output), async (rows) => {
        batch.reset();
        const part = arrowPart([viewColumns(output, rows)]);
        const [columns] = await readBatches(part, { name: 'part', timeColumn: 'ts_utc' });
        encoder.bind(columns!);
        const topic = batch.topicIndex('ingress');
        for (const [index, row] of rows.entries()) {
          encoder.encode(index, batch, topic);
          const expected: Envelope = {
            ...envelope,
            event_type: output_id,
            event_id: eventId(envelope, row),
            ts_utc: row['ts_utc'] as string,
            payload: payloadOf(output, row),
          };
          const slice = (source: number, start: number, length: number): Buffer =>
            batch.sources[source]!.subarray(start, start + length);
          const value = slice(batch.valueSource[index]!, batch.valueStart[index]!, batch.valueLength[index]!);
          const key = slice(batch.keySource[index]!, batch.keyStart[index]!, batch.keyLength[index]!);
          t.deepEqual(value, schema.encode(expected));
          t.is(key.toString(), profile.key(expected) ?? 'none');
          t.is(partitionAt(batch, index), partitionOf(key, 0, key.length, PARTITIONS));
          t.is(encoder.partition(index), partitionAt(batch, index));
        }
        t.is(batch.count, rows.length);
      }),
      { numRuns: 40 },
    );
  });
}

test('CI-105 fraud labels and lineage columns of a view never reach the bytes of a record', async (t) => {
  const output = outputDefinition('s3_event_stream_with_fraud_6B');
  const schema = new CompiledSchema(
    1,
    recordSchema(output) as ConstructorParameters<typeof CompiledSchema>[1],
  );
  const encoder = new RowEncoder({
    output,
    schema,
    envelope: { ...envelope, event_type: output.output_id },
    keys: new PartitionKeyCache(PARTITIONS),
    keyColumn: 'flow_id',
  });
  const row = {
    flow_id: 1n,
    event_seq: 0n,
    event_type: 'AUTH_REQUEST',
    ts_utc: '2026-01-01T00:00:00.000001Z',
    amount: 1,
    fraud_flag: true,
    campaign_id: 'campaign-of-the-row',
  };
  const [columns] = await readBatches(arrowPart([viewColumns(output, [row])]), {
    name: 'part',
    timeColumn: 'ts_utc',
  });
  const batch = new OutgoingBatch(1);
  encoder.bind(columns!);
  encoder.encode(0, batch, batch.topicIndex('ingress'));
  const value = batch.sources[0]!.subarray(batch.valueStart[0], batch.valueStart[0]! + batch.valueLength[0]!);
  t.false(value.includes('campaign-of-the-row'));
  t.false(value.includes('of the row'));
  t.true(value.includes('AUTH_REQUEST'));
});

test('an anchor and its events have the same key, and cached keys equal computed ones', (t) => {
  const cache = new PartitionKeyCache(PARTITIONS);
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), (id) => {
      const words = new Int32Array(new BigUint64Array([id]).buffer);
      for (let again = 0; again < 2; again += 1) {
        const slot = cache.slotOf(words[0]!, words[1]!, false);
        const key = cache.keys.toString('latin1', slot * 64, slot * 64 + 64);
        if (key !== partitionKey(id.toString())) return false;
        if (cache.partitions[slot] !== partitionOf(Buffer.from(key), 0, 64, PARTITIONS)) return false;
      }
      return true;
    }),
  );
  for (const mode of ['baseline', 'fraud'] as const) {
    const columns = streamedOutputs(mode).map((output) =>
      partitionKeyColumn(output, partitioning.profileOf(output.output_id)),
    );
    t.deepEqual(columns, ['merchant_id', 'merchant_id', 'flow_id', 'flow_id']);
  }
});

test('a schema that is not the envelope, or a view without a required column, is refused with its code', async (t) => {
  const output = outputDefinition('s2_event_stream_baseline_6B');
  const other = new CompiledSchema(1, {
    type: 'record',
    name: 'other',
    fields: [{ name: 'event_id', type: 'string' }],
  });
  const options = {
    output,
    envelope: { ...envelope, event_type: output.output_id },
    keys: new PartitionKeyCache(PARTITIONS),
    keyColumn: 'flow_id',
  };
  t.throws(() => new RowEncoder({ ...options, schema: other }), { message: /SCHEMA_UNSUITABLE.*envelope/ });
  const schema = new CompiledSchema(
    1,
    recordSchema(output) as ConstructorParameters<typeof CompiledSchema>[1],
  );
  const row = {
    flow_id: 1n,
    event_seq: 0n,
    event_type: 'CLEARING',
    ts_utc: '2026-01-01T00:00:00.000000Z',
    amount: 1,
  };
  const bindWithout = async (name: string): Promise<void> => {
    const columns = Object.fromEntries(
      Object.entries(viewColumns(output, [row])).filter(([column]) => column !== name),
    );
    const [batch] = await readBatches(arrowPart([columns]), { name: 'part', timeColumn: 'ts_utc' });
    new RowEncoder({ ...options, schema }).bind(batch!);
  };
  await t.throwsAsync(bindWithout('amount'), { message: /STREAM_VIEW_PAYLOAD_MISSING.*amount/ });
  await t.throwsAsync(bindWithout('flow_id'), { message: /PAYLOAD_MISSING|PRIMARY_KEY_MISSING/ });
});

function partitionAt(batch: OutgoingBatch, index: number): number {
  return batch.partition[index] ?? -1;
}
