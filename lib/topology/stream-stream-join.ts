/**
 * Stream-stream joins: records of equal keys whose event times lie within a window of each other. Unmatched records
 * of an outer side wait in a shared store and are emitted alone once their window has closed (KIP-633), in the order
 * of time, side (right first) and key bytes.
 */
import { bufferSerde, SerdeError, type Serde } from '../serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../state/key-value-store.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { windowStore, type WindowStore } from '../state/window-store.ts';
import { Decoder, Encoder, INT64_BYTES, preparing, readInt64, writeInt64 } from './encoder.ts';
import type { AnyRecord, Cell, OperatorSpec, Receiver, TaskEnvironment } from './graph.ts';
import { emptyRecord } from './operators.ts';
import { needed, type StreamPlan } from './plan.ts';
import { repartitioned } from './repartition.ts';
import type { Named } from './stream-options.ts';
import type { JoinWindows } from './windows.ts';

export type StreamJoinKind = 'inner' | 'left' | 'outer';
type Joiner = (left: unknown, right: unknown, key: unknown) => unknown;

/** The name names the join's stores and repartition topics. Serdes default to those the streams still know. */
export interface StreamJoinOptions<K, V, V2> extends Named {
  /** Measured from this stream's record: the other's may be `beforeMs` earlier to `afterMs` later. */
  readonly window: JoinWindows;
  readonly key?: Serde<K>;
  readonly value?: Serde<V>;
  readonly otherValue?: Serde<V2>;
  /** Where the join's stores live. Default `memory`. */
  readonly storage?: 'memory' | 'disk';
}

type Side = 'left' | 'right';

/** A record that waits for its window to close without having met a partner. */
interface Waiting {
  readonly time: number;
  readonly side: Side;
  readonly key: unknown;
}

interface JoinParts {
  readonly kind: StreamJoinKind;
  readonly name: string;
  readonly window: JoinWindows;
  readonly joiner: Joiner;
  readonly stores: Readonly<Record<Side, StoreSpec<WindowStore<unknown, unknown>>>>;
  readonly waiting: StoreSpec<KeyValueStore<Waiting, Buffer[]>> | null;
  readonly values: Readonly<Record<Side, Serde<unknown>>>;
}

export function streamStreamJoin(
  kind: StreamJoinKind,
  leftStream: StreamPlan,
  rightStream: StreamPlan,
  joiner: Joiner,
  options: StreamJoinOptions<unknown, unknown, unknown>,
): StreamPlan {
  const { writer } = leftStream;
  const { window } = options;
  const name = writer.durableName(options.name, `KSTREAM-${PREFIX[kind]}`, 'a stream-stream join');
  const where = `join "${name}"`;
  const key = needed(options.key ?? leftStream.key ?? rightStream.key, 'key', where);
  const values = {
    left: needed(options.value ?? leftStream.value, 'value', where),
    right: needed(options.otherValue ?? rightStream.value, 'other value', where),
  };
  const sources = {
    left: inPlace({ ...leftStream, key, value: values.left }, `${name}-left`, kind === 'inner', where),
    right: inPlace({ ...rightStream, key, value: values.right }, `${name}-right`, kind !== 'outer', where),
  };
  const sizeMs = Math.max(1, window.beforeMs + window.afterMs);
  const storage = options.storage === undefined ? {} : { storage: options.storage };
  const storeOf = (side: Side): StoreSpec<WindowStore<unknown, unknown>> =>
    windowStore(`${name}-${side === 'left' ? 'this' : 'other'}-join-store`, {
      key,
      value: values[side],
      windowSizeMs: sizeMs,
      retentionMs: sizeMs + window.graceMs,
      retainDuplicates: true,
      ...storage,
    });
  const stores = { left: storeOf('left'), right: storeOf('right') };
  const waiting =
    kind === 'inner'
      ? null
      : keyValueStore<Waiting, Buffer[]>(`${name}-${kind}-shared-join-store`, {
          key: waitingSerde(key),
          value: listSerde,
          ...storage,
        });
  const parts: JoinParts = { kind, name, window, joiner, stores, waiting, values };
  const shared: StoreSpec<StateStore>[] = waiting === null ? [] : [waiting];
  const sides = (['left', 'right'] as const).map((side) => {
    const words = side === 'left' ? THIS : OTHER;
    const windowed = writer.operator({
      type: 'windowed',
      prefix: 'KSTREAM-WINDOWED',
      name: `${name}-${words}-windowed`,
      parents: [sources[side].node],
      stores: () => [stores[side]],
      instantiate: joinWindowOperator(stores[side]),
    });
    return writer.operator({
      type: TYPE[kind],
      prefix: 'KSTREAM-JOIN',
      name: `${name}-${words}-join`,
      parents: [windowed],
      stores: () => [stores[side === 'left' ? 'right' : 'left'], ...shared],
      instantiate: (next, environment) => new JoinSide(side, parts, next, environment),
    });
  });
  const node = writer.operator({
    type: 'merge',
    prefix: 'KSTREAM-MERGE',
    name: `${name}-merge`,
    parents: sides,
    instantiate: (next) => next,
  });
  return { writer, node, key, value: null, keyChanged: false };
}

/** Records that cannot match are dropped before a repartition topic, unless they give a result by themselves. */
function inPlace(stream: StreamPlan, name: string, dropNullKeys: boolean, where: string): StreamPlan {
  return stream.keyChanged
    ? repartitioned(stream, { name: `${name}-repartition`, dropNullKeys, where })
    : stream;
}

/** Keeps a side's records for the other side to find, after the record itself has been joined. */
function joinWindowOperator(spec: StoreSpec<WindowStore<unknown, unknown>>): OperatorSpec['instantiate'] {
  return (next, environment) => {
    const store = environment.store(spec.name) as WindowStore<unknown, unknown>;
    return {
      receive(record) {
        const { key, value, timestamp } = record;
        next.receive(record);
        if (key !== null && value !== null) store.put(key, value, timestamp);
      },
    };
  };
}

class JoinSide implements Receiver {
  readonly #side: Side;
  readonly #next: Receiver;
  readonly #environment: TaskEnvironment;
  readonly #parts: JoinParts;
  readonly #otherStore: WindowStore<unknown, unknown>;
  readonly #waiting: KeyValueStore<Waiting, Buffer[]> | null;
  /** Whether a record of this side gives a result by itself. */
  readonly #outer: boolean;
  readonly #beforeMs: number;
  readonly #afterMs: number;
  /** Shared by both sides: stream time, and a lower bound of what waits (Infinity: nothing; NaN: not known). */
  readonly #streamTime: Cell;
  readonly #minTime: Cell;
  readonly #encode: Encoder<unknown>;
  readonly #decoders: Readonly<Record<Side, Decoder<unknown>>>;
  readonly #out: AnyRecord = emptyRecord();

  constructor(side: Side, parts: JoinParts, next: Receiver, environment: TaskEnvironment) {
    const { kind, window, stores, waiting, name, values } = parts;
    this.#side = side;
    this.#parts = parts;
    this.#next = next;
    this.#environment = environment;
    const other = side === 'left' ? stores.right : stores.left;
    this.#otherStore = environment.store(other.name) as WindowStore<unknown, unknown>;
    this.#waiting =
      waiting === null ? null : (environment.store(waiting.name) as KeyValueStore<Waiting, Buffer[]>);
    this.#outer = kind === 'outer' || (kind === 'left' && side === 'left');
    this.#beforeMs = side === 'left' ? window.beforeMs : window.afterMs;
    this.#afterMs = side === 'left' ? window.afterMs : window.beforeMs;
    this.#streamTime = environment.cell(`${name}/stream-time`);
    this.#minTime = environment.cell(`${name}/min-time`);
    this.#encode = new Encoder(values[side]);
    this.#decoders = { left: new Decoder(values.left), right: new Decoder(values.right) };
  }

  receive(record: AnyRecord): void {
    const { key, value, timestamp } = record;
    if (!(this.#streamTime.value >= timestamp)) this.#streamTime.value = timestamp;
    if (key === null || value === null) {
      if (this.#outer && value !== null) this.#send(record, key, value, null, timestamp);
      else this.#environment.drop(key === null ? 'null-key' : 'null-value');
      return;
    }
    if (timestamp === this.#streamTime.value) this.#emitClosed(record);
    const to = Math.max(0, timestamp + this.#afterMs);
    let matched = false;
    for (const other of this.#otherStore.fetch(key, Math.max(0, timestamp - this.#beforeMs), to)) {
      matched = true;
      this.#waiting?.delete({ time: other.windowStart, side: this.#otherSide, key });
      this.#send(record, key, value, other.value, Math.max(timestamp, other.windowStart));
    }
    if (matched || !this.#outer) return;
    if (to < this.#streamTime.value) {
      this.#send(record, key, value, null, timestamp);
    } else {
      if (this.#minTime.value > timestamp) this.#minTime.value = timestamp;
      this.#wait({ time: timestamp, side: this.#side, key }, value);
    }
  }

  get #otherSide(): Side {
    return this.#side === 'left' ? 'right' : 'left';
  }

  #wait(entry: Waiting, value: unknown): void {
    const list = this.#waiting!.get(entry) ?? [];
    this.#waiting!.put(entry, [...list, Buffer.from(this.#encode.encode(value))]);
  }

  /** Emits what has waited until its window closed; with several closed, the oldest first. */
  #emitClosed(record: AnyRecord): void {
    const waiting = this.#waiting;
    if (waiting === null) return;
    const { graceMs, beforeMs, afterMs } = this.#parts.window;
    const streamTime = this.#streamTime.value;
    if (this.#minTime.value + this.#afterMs + graceMs >= streamTime) return;
    this.#minTime.value = Infinity;
    let leftOpen = false;
    let rightOpen = false;
    for (const { key: entry, value: list } of waiting.all()) {
      this.#minTime.value = entry.time;
      if (leftOpen && rightOpen) break;
      if (entry.time + (entry.side === 'left' ? afterMs : beforeMs) + graceMs >= streamTime) {
        if (entry.side === 'left') leftOpen = true;
        else rightOpen = true;
        continue;
      }
      for (const bytes of list) {
        const value = this.#decoders[entry.side].decode(bytes, 0, bytes.length);
        if (entry.side === 'left') this.#sendJoined(record, entry.key, value, null, entry.time);
        else this.#sendJoined(record, entry.key, null, value, entry.time);
      }
      waiting.delete(entry);
    }
  }

  #send(record: AnyRecord, key: unknown, value: unknown, other: unknown, timestamp: number): void {
    if (this.#side === 'left') this.#sendJoined(record, key, value, other, timestamp);
    else this.#sendJoined(record, key, other, value, timestamp);
  }

  #sendJoined(record: AnyRecord, key: unknown, left: unknown, right: unknown, timestamp: number): void {
    const out = this.#out;
    out.key = key;
    out.value = this.#parts.joiner(left, right, key);
    out.timestamp = timestamp;
    out.headers = record.headers;
    this.#next.receive(out);
  }
}

/** Time, side (right before left), key: in the order of the bytes. */
function waitingSerde(key: Serde<unknown>): Serde<Waiting> {
  const encoder = new Encoder(key);
  const decoder = new Decoder(key);
  const prefix = INT64_BYTES + 1;
  return {
    deserialize({ buffer, start, length }) {
      if (length < prefix) throw new SerdeError('a waiting record has 9 bytes before its key', 'TRUNCATED');
      return {
        time: readInt64(buffer, start),
        side: buffer.readUInt8(start + INT64_BYTES) === 1 ? 'left' : 'right',
        key: decoder.decode(buffer, start + prefix, length - prefix),
      };
    },
    serialize(entry, batch, placement) {
      const bytes = encoder.encode(entry.key);
      const content = Buffer.allocUnsafe(prefix + bytes.length);
      writeInt64(content, entry.time, 0);
      content.writeUInt8(entry.side === 'left' ? 1 : 0, INT64_BYTES);
      bytes.copy(content, prefix);
      bufferSerde.serialize(content, batch, placement);
    },
    ...preparing(key),
  };
}

/** Values of one key, side and time, each with its length before it. */
const listSerde: Serde<Buffer[]> = {
  deserialize(bytes) {
    const content = bytes.copy();
    const list: Buffer[] = [];
    for (let at = 0; at < content.length;) {
      const length = content.readUInt32BE(at);
      at += 4;
      if (at + length > content.length) throw new SerdeError('a list entry is cut off', 'TRUNCATED');
      list.push(content.subarray(at, at + length));
      at += length;
    }
    return list;
  },
  serialize(list, batch, placement) {
    const parts = list.flatMap((bytes) => {
      const length = Buffer.allocUnsafe(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    });
    bufferSerde.serialize(Buffer.concat(parts), batch, placement);
  },
};

const THIS = 'this';
const OTHER = 'other';
const TYPE: Record<StreamJoinKind, string> = { inner: 'join', left: 'leftJoin', outer: 'outerJoin' };
const PREFIX: Record<StreamJoinKind, string> = { inner: 'JOIN', left: 'LEFTJOIN', outer: 'OUTERJOIN' };
