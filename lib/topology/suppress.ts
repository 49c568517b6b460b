/**
 * Holding a table's changes back, until windows close or for a time (KIP-328). What waits is kept in one store, in
 * the order of time and key bytes; a key that changes while it waits keeps its place and takes its new value.
 */
import { bufferSerde } from '../serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../state/key-value-store.ts';
import type { StoreSpec } from '../state/state-store.ts';
import { changeSerde, ChangeSender, type Change } from './change.ts';
import { Decoder, Encoder, INT64_BYTES, readInt64, writeInt64 } from './encoder.ts';
import { TopologyError, type AnyRecord, type Cell, type Receiver, type TaskEnvironment } from './graph.ts';
import { HeaderBlock } from './headers.ts';
import { emptyRecord } from './operators.ts';
import { needed, type TablePlan, type TableView } from './plan.ts';
import type { Named } from './stream-options.ts';
import type { Timestamped } from './timestamped.ts';
import type { Windowed } from './windows.ts';

/** How much may wait. `emit` lets the oldest go early; `fail` stops the instance rather than break the promise. */
export interface SuppressBound<Full extends 'emit' | 'fail'> {
  readonly maxRecords?: number;
  /** Bytes of keys and entries, as they are stored. */
  readonly maxBytes?: number;
  readonly whenFull: Full;
}

/** One result per window, when it is final: stream time has passed its end by the grace. */
export interface UntilWindowCloses extends Named {
  readonly until: 'window-closes';
  /** A final result must not go early, so a bound can only fail. */
  readonly buffer: 'unbounded' | SuppressBound<'fail'>;
}

/** The last value of a key, when stream time has moved on by `timeLimitMs` since its first change. */
export interface UntilTimeLimit extends Named {
  readonly until: 'time-limit';
  readonly timeLimitMs: number;
  readonly buffer: 'unbounded' | SuppressBound<'emit' | 'fail'>;
}

/** `window-closes` needs a windowed table. The name names the buffer's store. */
export type SuppressOptions<K, _V> =
  UntilTimeLimit | (K extends Windowed<unknown> ? UntilWindowCloses : never);

/** A buffer that may only fail has more waiting than it may hold. */
export class SuppressBufferFullError extends Error {
  override readonly name = 'SuppressBufferFullError';
}

interface Limits {
  readonly waitMs: number;
  /** Final results: a window that ends without a value gives nothing. */
  readonly final: boolean;
  readonly maxRecords: number;
  readonly maxBytes: number;
  readonly whenFull: 'emit' | 'fail';
}

export function suppressed(parent: TablePlan, options: UntilTimeLimit | UntilWindowCloses): TablePlan {
  const { writer } = parent;
  const name = writer.durableName(options.name, 'KTABLE-SUPPRESS', 'a suppress()');
  const where = `suppress "${name}"`;
  const limits = limitsOf(options, parent, where);
  const key = needed(parent.key, 'key', where);
  const value = needed(parent.value, 'value', where);
  parent.sendOldValues(true);
  const parentView = parent.view();
  const spec = keyValueStore(`${name}-store`, { key: bufferSerde, value: bufferSerde });
  const open = (environment: TaskEnvironment): SuppressBuffer =>
    new SuppressBuffer(spec, new Encoder(key), new Decoder(key), value, environment);
  const node = writer.operator({
    type: 'suppress',
    prefix: 'KTABLE-SUPPRESS',
    name,
    parents: [parent.node],
    stores: () => [spec],
    instantiate: (next, environment) => new Suppressor(name, limits, open(environment), next, environment),
  });
  const view: TableView = {
    versioned: false,
    stores: () => [spec, ...parentView.stores()],
    open(environment) {
      const buffer = open(environment);
      const getter = parentView.open(environment);
      return {
        get: (wanted) => buffer.prior(wanted) ?? getter.get(wanted),
        getAsOf: () => {
          throw new TopologyError(`${where} keeps no history: it cannot be read as of a time`);
        },
      };
    },
  };
  return {
    writer,
    node,
    key: parent.key,
    value: parent.value,
    versioned: false,
    store: null,
    closeDelayMs: parent.closeDelayMs,
    sendOldValues: (force) => parent.sendOldValues(force),
    view: () => view,
  };
}

function limitsOf(options: UntilTimeLimit | UntilWindowCloses, parent: TablePlan, where: string): Limits {
  const bound = options.buffer === 'unbounded' ? null : options.buffer;
  const shared = {
    maxRecords: bound?.maxRecords ?? Infinity,
    maxBytes: bound?.maxBytes ?? Infinity,
    whenFull: bound?.whenFull ?? 'fail',
  };
  if (options.until === 'time-limit') return { ...shared, waitMs: options.timeLimitMs, final: false };
  if (parent.closeDelayMs === null) {
    throw new TopologyError(
      `${where} waits for windows to close, but its table does not come from a windowedBy()`,
    );
  }
  return { ...shared, waitMs: parent.closeDelayMs, final: true };
}

class Suppressor implements Receiver {
  readonly #name: string;
  readonly #limits: Limits;
  readonly #buffer: SuppressBuffer;
  readonly #sender: ChangeSender;
  readonly #observed: Cell;

  constructor(
    name: string,
    limits: Limits,
    buffer: SuppressBuffer,
    next: Receiver,
    environment: TaskEnvironment,
  ) {
    this.#name = name;
    this.#limits = limits;
    this.#buffer = buffer;
    this.#sender = new ChangeSender(next);
    this.#observed = environment.cell(`${name}/observed`);
  }

  receive(record: AnyRecord): void {
    if (!(this.#observed.value >= record.timestamp)) this.#observed.value = record.timestamp;
    const { waitMs, final, maxRecords, maxBytes, whenFull } = this.#limits;
    const buffer = this.#buffer;
    buffer.put(final ? (record.key as Windowed<unknown>).window.end : record.timestamp, record);
    const upTo = this.#observed.value - waitMs;
    const emit = (waiting: AnyRecord): void => {
      const { newValue, oldValue } = waiting.value as Change;
      if (newValue !== null || !final) {
        this.#sender.send(waiting, waiting.key, newValue, oldValue, waiting.timestamp);
      }
    };
    if (buffer.minTime <= upTo) buffer.evictWhile((time) => time <= upTo, emit);
    const full = (): boolean => buffer.records > maxRecords || buffer.bytes > maxBytes;
    if (!full()) return;
    if (whenFull === 'fail') {
      throw new SuppressBufferFullError(
        `suppress "${this.#name}" holds ${buffer.records} records, ${buffer.bytes} bytes: more than its buffer may; ` +
          'raise its bounds, or let it emit early',
      );
    }
    buffer.evictWhile(full, emit);
  }
}

const PLACE = 0x70;
const WAITING = 0x77;
/** Of an entry: record time, headers length, headers count, prior length. */
const ENTRY_PREFIX = INT64_BYTES + 12;
const NO_PRIOR = 0xffff_ffff;

/**
 * The store's layout. `p` + key: the time under which the key waits. `w` + time + key: the entry. An entry holds the
 * record's time, its headers, the value before the first change that waits, and the change.
 */
class SuppressBuffer {
  readonly #store: KeyValueStore<Buffer, Buffer>;
  readonly #keys: Encoder<unknown>;
  readonly #key: Decoder<unknown>;
  readonly #value: Decoder<unknown>;
  readonly #prior: Encoder<unknown>;
  readonly #changes: Encoder<Change>;
  readonly #change: Decoder<Change>;
  readonly #minTime: Cell;
  readonly #records: Cell;
  readonly #bytes: Cell;
  readonly #out: AnyRecord = emptyRecord();
  readonly #headers = new HeaderBlock();

  constructor(
    spec: StoreSpec<KeyValueStore<Buffer, Buffer>>,
    keys: Encoder<unknown>,
    key: Decoder<unknown>,
    value: ConstructorParameters<typeof Decoder<unknown>>[0],
    environment: TaskEnvironment,
  ) {
    this.#store = environment.store(spec.name) as KeyValueStore<Buffer, Buffer>;
    this.#keys = keys;
    this.#key = key;
    this.#value = new Decoder(value);
    this.#prior = new Encoder(value);
    const change = changeSerde(value);
    this.#changes = new Encoder(change);
    this.#change = new Decoder(change);
    this.#minTime = environment.cell(`${spec.name}/min-time`);
    this.#records = environment.cell(`${spec.name}/records`);
    this.#bytes = environment.cell(`${spec.name}/bytes`);
  }

  /** The time of what waits first; Infinity when nothing does. */
  get minTime(): number {
    this.#count();
    return this.#minTime.value;
  }

  get records(): number {
    return this.#records.value;
  }

  get bytes(): number {
    return this.#bytes.value;
  }

  put(time: number, record: AnyRecord): void {
    this.#count();
    const key = this.#keys.encode(record.key);
    const placeKey = placeOf(key);
    const place = this.#store.get(placeKey);
    const at = place === undefined ? time : readInt64(place, 0);
    const waitingKey = waitingOf(at, key);
    const change = record.value as Change;
    let prior: Buffer | null;
    if (place === undefined) {
      prior = change.oldValue === null ? null : Buffer.from(this.#prior.encode(change.oldValue));
      const content = Buffer.allocUnsafe(INT64_BYTES);
      writeInt64(content, time, 0);
      this.#store.put(placeKey, content);
      this.#records.value += 1;
      this.#bytes.value += waitingKey.length;
    } else {
      const before = this.#store.get(waitingKey)!;
      prior = priorOf(before);
      this.#bytes.value -= before.length;
    }
    const entry = this.#entry(record, prior);
    this.#bytes.value += entry.length;
    this.#store.put(waitingKey, entry);
    if (at < this.#minTime.value) this.#minTime.value = at;
  }

  /** Takes out what waits, oldest first, as long as `goOn` holds. The record is reused. */
  evictWhile(goOn: (time: number) => boolean, take: (record: AnyRecord) => void): void {
    this.#minTime.value = Infinity;
    for (const { key, value } of this.#store.prefixScan(WAITING_PREFIX)) {
      const time = readInt64(key, 1);
      if (!goOn(time)) {
        this.#minTime.value = time;
        return;
      }
      const keyBytes = key.subarray(1 + INT64_BYTES);
      this.#store.delete(key);
      this.#store.delete(placeOf(keyBytes));
      this.#records.value -= 1;
      this.#bytes.value -= key.length + value.length;
      take(this.#record(keyBytes, value));
    }
  }

  /** What the suppressed table still says of a key that waits: its value before; undefined when it does not wait. */
  prior(key: unknown): Timestamped<unknown> | null | undefined {
    const bytes = this.#keys.encode(key);
    const place = this.#store.get(placeOf(bytes));
    if (place === undefined) return undefined;
    const prior = priorOf(this.#store.get(waitingOf(readInt64(place, 0), bytes))!);
    return prior === null ? null : { value: this.#value.decode(prior, 0, prior.length), timestamp: -1 };
  }

  #entry(record: AnyRecord, prior: Buffer | null): Buffer {
    const change = this.#changes.encode(record.value as Change);
    const { headers } = record;
    const priorLength = prior === null ? 0 : prior.length;
    const entry = Buffer.allocUnsafe(ENTRY_PREFIX + headers.length + priorLength + change.length);
    writeInt64(entry, record.timestamp, 0);
    entry.writeUInt32BE(headers.length, INT64_BYTES);
    entry.writeUInt32BE(headers.count, INT64_BYTES + 4);
    entry.writeUInt32BE(prior === null ? NO_PRIOR : priorLength, INT64_BYTES + 8);
    headers.buffer.copy(entry, ENTRY_PREFIX, headers.start, headers.start + headers.length);
    prior?.copy(entry, ENTRY_PREFIX + headers.length);
    change.copy(entry, ENTRY_PREFIX + headers.length + priorLength);
    return entry;
  }

  #record(keyBytes: Buffer, entry: Buffer): AnyRecord {
    const headers = this.#headers;
    headers.buffer = entry;
    headers.start = ENTRY_PREFIX;
    headers.length = entry.readUInt32BE(INT64_BYTES);
    headers.count = entry.readUInt32BE(INT64_BYTES + 4);
    const prior = priorOf(entry);
    const at = ENTRY_PREFIX + headers.length + (prior?.length ?? 0);
    const out = this.#out;
    out.key = this.#key.decode(keyBytes, 0, keyBytes.length);
    out.value = this.#change.decode(entry, at, entry.length - at);
    out.timestamp = readInt64(entry, 0);
    out.headers = headers;
    return out;
  }

  /** After a restart: what waits is counted once. */
  #count(): void {
    if (!Number.isNaN(this.#records.value)) return;
    this.#records.value = 0;
    this.#bytes.value = 0;
    this.#minTime.value = Infinity;
    for (const { key, value } of this.#store.prefixScan(WAITING_PREFIX)) {
      if (this.#records.value === 0) this.#minTime.value = readInt64(key, 1);
      this.#records.value += 1;
      this.#bytes.value += key.length + value.length;
    }
  }
}

const WAITING_PREFIX = Buffer.of(WAITING);

function placeOf(key: Buffer): Buffer {
  return Buffer.concat([Buffer.of(PLACE), key]);
}

function waitingOf(time: number, key: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(1 + INT64_BYTES + key.length);
  bytes.writeUInt8(WAITING, 0);
  writeInt64(bytes, time, 1);
  key.copy(bytes, 1 + INT64_BYTES);
  return bytes;
}

function priorOf(entry: Buffer): Buffer | null {
  const length = entry.readUInt32BE(INT64_BYTES + 8);
  if (length === NO_PRIOR) return null;
  const at = ENTRY_PREFIX + entry.readUInt32BE(INT64_BYTES);
  return entry.subarray(at, at + length);
}
