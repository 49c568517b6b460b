/**
 * Decoding and encoding a 17-field envelope: this library's in-place path against plain avsc with a view and a buffer per
 * record. Run: node --import tsx bench/serde.ts
 */
import avsc from 'avsc';
import { OutgoingBatch } from '../lib/kafka/outgoing-batch.ts';
import { avroAnyReader } from '../lib/serde/avro.ts';
import { OfflineSchemas } from '../lib/serde/offline-schemas.ts';
import { Bytes, type Placement } from '../lib/serde/serde.ts';

const optional = (name: string): object => ({ name, type: ['null', 'string'], default: null });
const SCHEMA = {
  type: 'record',
  name: 'flow_event',
  fields: [
    ...['event_id', 'event_type', 'ts_utc', 'manifest_fingerprint'].map((name) => ({ name, type: 'string' })),
    ...['parameter_hash', 'seed', 'scenario_id', 'run_id', 'platform_run_id', 'scenario_run_id'].map(
      optional,
    ),
    ...['schema_version', 'emitted_at_utc', 'producer', 'trace_id', 'span_id', 'parent_event_id'].map(
      optional,
    ),
    {
      name: 'payload',
      type: {
        type: 'record',
        name: 'flow_event_payload',
        fields: [
          { name: 'flow_id', type: 'string' },
          { name: 'merchant_id', type: 'string' },
          { name: 'event_seq', type: 'long' },
          { name: 'amount', type: 'string' },
        ],
      },
    },
  ],
};
const hex = (i: number, length: number): string => i.toString(16).padStart(length, 'a');
const envelope = (i: number): Record<string, unknown> => ({
  event_id: hex(i, 64),
  event_type: 'flow_event',
  ts_utc: '2026-01-01T00:00:00.123456Z',
  manifest_fingerprint: hex(1, 64),
  parameter_hash: hex(2, 64),
  seed: '42',
  scenario_id: 'baseline_v1',
  run_id: hex(3, 32),
  platform_run_id: 'platform_20260101T000000Z',
  scenario_run_id: hex(4, 32),
  schema_version: 'v1',
  emitted_at_utc: null,
  producer: 'producer',
  trace_id: null,
  span_id: null,
  parent_event_id: null,
  payload: { flow_id: String(10 ** 15 + i), merchant_id: String(i % 9999), event_seq: i, amount: '12.50' },
});

const RECORDS = 4096;
const ROUNDS = 60;
const schemas = new OfflineSchemas();
const schema = schemas.typeById(schemas.register('bench', SCHEMA));
const plain = avsc.Type.forSchema(SCHEMA as never);
const values = Array.from({ length: RECORDS }, (_, i) => envelope(i));
const encoded = values.map((value) => schema.encode(value));
const slab = Buffer.concat(encoded);
const starts = encoded.map((_, i) => encoded.slice(0, i).reduce((sum, { length }) => sum + length, 0));
const reader = avroAnyReader(schemas);
const bytes = new Bytes(slab, 0, 0);
const batch = new OutgoingBatch();
const placement: Placement = { source: 0, start: 0, length: 0 };

const cases: Record<string, () => void> = {
  'decode, avsc fromBuffer on a view': () => {
    for (let i = 0; i < RECORDS; i += 1) {
      plain.fromBuffer(slab.subarray(starts[i]! + 5, starts[i]! + encoded[i]!.length));
    }
  },
  'decode, avsc decode at an offset (end unchecked)': () => {
    for (let i = 0; i < RECORDS; i += 1) plain.decode(slab, starts[i]! + 5);
  },
  'decode, AvroReader in place (end checked, exact longs)': () => {
    for (let i = 0; i < RECORDS; i += 1) {
      bytes.start = starts[i]!;
      bytes.length = encoded[i]!.length;
      reader.schemaOf(bytes).decode(bytes);
    }
  },
  'encode, avsc toBuffer': () => {
    for (let i = 0; i < RECORDS; i += 1) plain.toBuffer(values[i]);
  },
  'encode, encodeInto the arena': () => {
    batch.reset();
    for (let i = 0; i < RECORDS; i += 1) schema.encodeInto(values[i], batch, placement);
  },
};

const best = new Map<string, number>();
for (let round = 0; round < ROUNDS; round += 1) {
  for (const [name, run] of Object.entries(cases)) {
    const begin = process.hrtime.bigint();
    run();
    const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
    best.set(name, Math.max(best.get(name) ?? 0, RECORDS / seconds));
  }
}
process.stdout.write(
  `${SCHEMA.fields.length} fields, ${Math.round(slab.length / RECORDS)} bytes a record; best of ${ROUNDS} rounds\n`,
);
for (const [name, perSecond] of best) {
  process.stdout.write(`${Math.round(perSecond).toLocaleString('en').padStart(12)} /s  ${name}\n`);
}
