/** Stream-table joins: a record looks up the table's value of its key, at once or after a grace (KIP-923). */
import { bufferSerde, type Serde } from '../serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../state/key-value-store.ts';
import type { StoreSpec } from '../state/state-store.ts';
import { Decoder, Encoder, INT64_BYTES, readInt64, writeInt64 } from './encoder.ts';
import { TopologyError, type AnyRecord, type GlobalSpec, type Receiver } from './graph.ts';
import type { TaskEnvironment } from './graph.ts';
import { HeaderBlock } from './headers.ts';
import { emptyRecord } from './operators.ts';
import { needed, type StreamPlan, type TablePlan, type ValueGetter } from './plan.ts';
import { repartitioned } from './repartition.ts';
import type { Named } from './stream-options.ts';

type Joiner = (left: unknown, right: unknown, key: unknown) => unknown;
type Kind = 'inner' | 'left';

export interface TableLookupOptions<K, V> extends Named {
  /** Needed where the key was changed, or with a grace. Default: those the stream still knows. */
  readonly key?: Serde<K>;
  readonly value?: Serde<V>;
  /**
   * Holds each record back until stream time has passed it by this many milliseconds, so that table updates which
   * come late are seen. Only with a table that keeps its history at least as long (historyMs).
   */
  readonly graceMs?: number;
}

export function streamTableJoin(
  kind: Kind,
  stream: StreamPlan,
  table: TablePlan,
  joiner: Joiner,
  options: TableLookupOptions<unknown, unknown>,
): StreamPlan {
  const { writer } = stream;
  const { graceMs } = options;
  const type = kind === 'inner' ? 'join' : 'leftJoin';
  const prefix = kind === 'inner' ? 'KSTREAM-JOIN' : 'KSTREAM-LEFTJOIN';
  const durable = stream.keyChanged || graceMs !== undefined;
  const name = durable
    ? writer.durableName(options.name, prefix, 'the topic or buffer of a stream-table join')
    : (options.name ?? writer.nextName(prefix));
  const where = `${type} "${name}"`;
  const serdes = { key: options.key ?? stream.key ?? table.key, value: options.value ?? stream.value };
  const source = stream.keyChanged
    ? repartitioned(
        { ...stream, ...serdes },
        { name: `${name}-repartition`, dropNullKeys: kind === 'inner', where },
      )
    : { ...stream, ...serdes };
  const view = table.view();
  if (graceMs !== undefined && !view.versioned) {
    throw new TopologyError(
      `${where} has a grace, but its table keeps no history: give it a store with historyMs`,
    );
  }
  const buffer =
    graceMs === undefined
      ? null
      : bufferStore(`${name}-buffer`, needed(serdes.key, 'key', where), needed(serdes.value, 'value', where));
  const node = writer.operator({
    type,
    prefix,
    name,
    parents: [source.node],
    stores: () => [...view.stores(), ...(buffer === null ? [] : [buffer.spec])],
    instantiate(next, environment) {
      const getter = view.open(environment);
      const lookUp = lookup(kind, joiner, getter, view.versioned, (record) => record.key, next, environment);
      return buffer === null ? lookUp : new GraceBuffer(buffer, graceMs!, kind, lookUp, environment);
    },
  });
  return { writer, node, key: source.key, value: null, keyChanged: false };
}

export function streamGlobalJoin(
  kind: Kind,
  stream: StreamPlan,
  global: GlobalSpec,
  joiner: Joiner,
  options: Named & { readonly by: (value: unknown, key: unknown) => unknown },
): StreamPlan {
  const node = stream.writer.operator({
    type: kind === 'inner' ? 'globalJoin' : 'globalLeftJoin',
    prefix: kind === 'inner' ? 'KSTREAM-JOIN' : 'KSTREAM-LEFTJOIN',
    name: options.name,
    parents: [stream.node],
    instantiate(next, environment) {
      const store = environment.global(global.store.name) as KeyValueStore<unknown, unknown>;
      const getter: ValueGetter = {
        get(key) {
          const value = store.get(key);
          return value === undefined ? null : { value, timestamp: -1 };
        },
        getAsOf(key) {
          return this.get(key);
        },
      };
      const keyOf = (record: AnyRecord): unknown =>
        record.value === null ? null : options.by(record.value, record.key);
      return lookup(kind, joiner, getter, false, keyOf, next, environment);
    },
  });
  return { ...stream, node, value: null };
}

/** Joins a record with what the table says now, or said at its time. */
function lookup(
  kind: Kind,
  joiner: Joiner,
  getter: ValueGetter,
  versioned: boolean,
  keyOf: (record: AnyRecord) => unknown,
  next: Receiver,
  environment: TaskEnvironment,
): Receiver {
  const out = emptyRecord();
  return {
    receive(record) {
      const key = keyOf(record);
      if (record.value === null || (key === null && kind === 'inner')) {
        environment.drop(record.value === null ? 'null-value' : 'null-key');
        return;
      }
      const found = key === null ? null : versioned ? getter.getAsOf(key, record.timestamp) : getter.get(key);
      if (found === null && kind === 'inner') return;
      out.key = record.key;
      out.value = joiner(record.value, found === null ? null : found.value, record.key);
      out.timestamp = record.timestamp;
      out.headers = record.headers;
      next.receive(out);
    },
  };
}

interface Buffered {
  readonly spec: StoreSpec<KeyValueStore<Buffer, Buffer>>;
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
}

function bufferStore(name: string, key: Serde<unknown>, value: Serde<unknown>): Buffered {
  return { key, value, spec: keyValueStore(name, { key: bufferSerde, value: bufferSerde }) };
}

const SEQUENCE_BYTES = 4;
const ENTRY_PREFIX = 8;

/**
 * Holds a stream's records until stream time has passed them by the grace, then lets them go by time, key bytes and
 * arrival. An entry's key is time, key, sequence; its value the headers (length, count, bytes) and the value.
 */
class GraceBuffer implements Receiver {
  readonly #store: KeyValueStore<Buffer, Buffer>;
  readonly #graceMs: number;
  readonly #kind: Kind;
  readonly #lookUp: Receiver;
  readonly #environment: TaskEnvironment;
  readonly #observed;
  readonly #sequence;
  readonly #minTime;
  readonly #keys: Encoder<unknown>;
  readonly #values: Encoder<unknown>;
  readonly #key: Decoder<unknown>;
  readonly #value: Decoder<unknown>;
  readonly #out: AnyRecord = emptyRecord();
  readonly #headers = new HeaderBlock();

  constructor(buffer: Buffered, graceMs: number, kind: Kind, lookUp: Receiver, environment: TaskEnvironment) {
    const { spec, key, value } = buffer;
    this.#store = environment.store(spec.name) as KeyValueStore<Buffer, Buffer>;
    this.#graceMs = graceMs;
    this.#kind = kind;
    this.#lookUp = lookUp;
    this.#environment = environment;
    this.#observed = environment.cell(`${spec.name}/observed`);
    this.#sequence = environment.cell(`${spec.name}/sequence`);
    this.#minTime = environment.cell(`${spec.name}/min-time`);
    this.#keys = new Encoder(key);
    this.#values = new Encoder(value);
    this.#key = new Decoder(key);
    this.#value = new Decoder(value);
  }

  receive(record: AnyRecord): void {
    const { key, value, timestamp } = record;
    if (value === null || (key === null && this.#kind === 'inner')) {
      this.#environment.drop(value === null ? 'null-value' : 'null-key');
      return;
    }
    if (key === null || this.#observed.value - this.#graceMs > timestamp) {
      this.#lookUp.receive(record);
      return;
    }
    if (!(this.#observed.value >= timestamp)) this.#observed.value = timestamp;
    this.#put(record);
    this.#release(this.#observed.value - this.#graceMs);
  }

  #put(record: AnyRecord): void {
    const key = this.#keys.encode(record.key);
    const sequence = Number.isNaN(this.#sequence.value) ? this.#lastSequence() + 1 : this.#sequence.value + 1;
    this.#sequence.value = sequence % 0x1_0000_0000;
    const entryKey = Buffer.allocUnsafe(INT64_BYTES + key.length + SEQUENCE_BYTES);
    writeInt64(entryKey, record.timestamp, 0);
    key.copy(entryKey, INT64_BYTES);
    entryKey.writeUInt32BE(this.#sequence.value, INT64_BYTES + key.length);
    const value = this.#values.encode(record.value);
    const { headers } = record;
    const entry = Buffer.allocUnsafe(ENTRY_PREFIX + headers.length + value.length);
    entry.writeUInt32BE(headers.length, 0);
    entry.writeUInt32BE(headers.count, 4);
    headers.buffer.copy(entry, ENTRY_PREFIX, headers.start, headers.start + headers.length);
    value.copy(entry, ENTRY_PREFIX + headers.length);
    this.#store.put(entryKey, entry);
    if (this.#minTime.value > record.timestamp) this.#minTime.value = record.timestamp;
  }

  /** The highest sequence that is still held: numbers go on behind it after a restart. */
  #lastSequence(): number {
    let last = -1;
    for (const { key } of this.#store.all())
      last = Math.max(last, key.readUInt32BE(key.length - SEQUENCE_BYTES));
    return last;
  }

  #release(upTo: number): void {
    if (this.#minTime.value > upTo) return;
    this.#minTime.value = Infinity;
    for (const { key, value } of this.#store.all()) {
      const timestamp = readInt64(key, 0);
      if (timestamp > upTo) {
        this.#minTime.value = timestamp;
        return;
      }
      const headers = this.#headers;
      headers.buffer = value;
      headers.start = ENTRY_PREFIX;
      headers.length = value.readUInt32BE(0);
      headers.count = value.readUInt32BE(4);
      const at = ENTRY_PREFIX + headers.length;
      const out = this.#out;
      out.key = this.#key.decode(key, INT64_BYTES, key.length - INT64_BYTES - SEQUENCE_BYTES);
      out.value = this.#value.decode(value, at, value.length - at);
      out.timestamp = timestamp;
      out.headers = headers;
      this.#store.delete(key);
      this.#lookUp.receive(out);
    }
  }
}
