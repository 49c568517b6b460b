/** Aggregates by key and window of event time: tumbling, hopping, sliding (KIP-450) and session windows. */
import type { SessionStore } from '../state/session-store.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { WindowEntry, WindowStore } from '../state/window-store.ts';
import type { Aggregation } from './aggregate-operators.ts';
import { ChangeSender } from './change.ts';
import type { AnyRecord, Cell, OperatorSpec, Receiver, TaskEnvironment } from './graph.ts';
import { FanOut } from './operators.ts';
import type { Timestamped } from './timestamped.ts';
import { windowStartsOf, type SessionWindows, type SlidingWindows, type TimeWindows } from './windows.ts';

type Instantiate = OperatorSpec['instantiate'];
type Stored = Timestamped<unknown>;

/** The way that late records take out of a windowed aggregate. */
export class LatePort implements Receiver {
  readonly #next: Receiver;

  constructor(next: Receiver) {
    this.#next = next;
  }

  receive(record: AnyRecord): void {
    this.#next.receive(record);
  }
}

/** What a windowed aggregate has at run time, whatever its windows are. */
class WindowedAggregate {
  readonly sender: ChangeSender;
  readonly sendOld: boolean;
  readonly #late: Receiver | null;
  readonly #environment: TaskEnvironment;
  readonly #observed: Cell;

  constructor(next: Receiver, environment: TaskEnvironment, store: string, sendOld: boolean) {
    const receivers = next instanceof FanOut ? next.receivers : [next];
    const others = receivers.filter((one) => !(one instanceof LatePort));
    this.#late = receivers.find((one) => one instanceof LatePort) ?? null;
    this.sender = new ChangeSender(others.length === 1 ? others[0]! : new FanOut(others));
    this.sendOld = sendOld;
    this.#environment = environment;
    this.#observed = environment.cell(`${store}/observed`);
  }

  /** Stream time as this operator has seen it, moved on to include `timestamp`. */
  observe(timestamp: number): number {
    const cell = this.#observed;
    if (!(cell.value >= timestamp)) cell.value = timestamp;
    return cell.value;
  }

  drop(reason: 'null-key' | 'null-value'): void {
    this.#environment.drop(reason);
  }

  /** Counts a window that had closed already. */
  late(): void {
    this.#environment.drop('late');
  }

  /** Hands a record, of which at least one window had closed, to the late output. */
  passLate(record: AnyRecord): void {
    this.#late?.receive(record);
  }
}

/** Tumbling and hopping windows. Every record is added to each of its windows that is still open. */
export function timeWindowAggregate(
  spec: StoreSpec<StateStore>,
  windows: TimeWindows,
  aggregation: Aggregation,
  sendsOld: () => boolean,
): Instantiate {
  const { sizeMs, graceMs } = windows;
  const { initial, add } = aggregation;
  return (next, environment) => {
    const store = environment.store(spec.name) as WindowStore<unknown, Stored>;
    const own = new WindowedAggregate(next, environment, spec.name, sendsOld());
    const starts: number[] = [];
    return {
      receive(record) {
        const { key, value } = record;
        if (key === null) {
          own.drop('null-key');
          return;
        }
        const closeTime = own.observe(record.timestamp) - graceMs;
        const count = windowStartsOf(windows, record.timestamp, starts);
        let late = false;
        for (let i = 0; i < count; i++) {
          const start = starts[i]!;
          const end = start + sizeMs;
          if (end <= closeTime) {
            own.late();
            late = true;
            continue;
          }
          const old = store.get(key, start);
          let aggregate: unknown = null;
          let timestamp = record.timestamp;
          if (old !== undefined) {
            aggregate = old.value;
            if (old.timestamp > timestamp) timestamp = old.timestamp;
          } else if (initial !== null) {
            aggregate = initial();
          }
          const result = add(aggregate, value, key);
          store.put(key, result === null ? null : { value: result, timestamp }, start);
          const windowed = { key, window: { start, end } };
          own.sender.send(record, windowed, result, own.sendOld ? aggregate : null, timestamp);
        }
        if (late) own.passLate(record);
      },
    };
  };
}

/** Sliding windows: as records come, the windows that end or begin with them are made and updated (KIP-450). */
export function slidingWindowAggregate(
  spec: StoreSpec<StateStore>,
  windows: SlidingWindows,
  aggregation: Aggregation,
  sendsOld: () => boolean,
): Instantiate {
  return (next, environment) => {
    const store = environment.store(spec.name) as WindowStore<unknown, Stored>;
    const own = new WindowedAggregate(next, environment, spec.name, sendsOld());
    const task = new SlidingWindowTask(store, own, windows, aggregation);
    return { receive: (record) => task.receive(record) };
  };
}

class SlidingWindowTask {
  readonly #store: WindowStore<unknown, Stored>;
  readonly #own: WindowedAggregate;
  readonly #windows: SlidingWindows;
  readonly #aggregation: Aggregation;
  #late = false;

  constructor(
    store: WindowStore<unknown, Stored>,
    own: WindowedAggregate,
    windows: SlidingWindows,
    aggregation: Aggregation,
  ) {
    this.#store = store;
    this.#own = own;
    this.#windows = windows;
    this.#aggregation = aggregation;
  }

  receive(record: AnyRecord): void {
    if (record.key === null || record.value === null) {
      this.#own.drop(record.key === null ? 'null-key' : 'null-value');
      return;
    }
    const { differenceMs, graceMs } = this.#windows;
    const closeTime = this.#own.observe(record.timestamp) - graceMs;
    this.#late = false;
    if (record.timestamp + differenceMs < closeTime) {
      this.#own.late();
      this.#late = true;
    } else if (record.timestamp < differenceMs) {
      this.#early(record, closeTime);
    } else {
      this.#regular(record, closeTime);
    }
    if (this.#late) this.#own.passLate(record);
  }

  #regular(record: AnyRecord, closeTime: number): void {
    const { key, timestamp } = record;
    const { differenceMs } = this.#windows;
    const starts = new Set<number>();
    let left: Stored | null = null;
    let right: Stored | null = null;
    let hasLeft = false;
    let hasRight = false;
    let previous: number | null = null;
    // One further than the record, to see its right window too. Newest first.
    for (const { windowStart, value } of this.#backwards(key, timestamp - 2 * differenceMs, timestamp + 1)) {
      starts.add(windowStart);
      const end = windowStart + differenceMs;
      if (windowStart === timestamp + 1) {
        hasRight = true;
      } else if (end > timestamp) {
        right ??= value;
        this.#update(windowStart, value, record, closeTime);
      } else if (end === timestamp) {
        hasLeft = true;
        this.#update(windowStart, value, record, closeTime);
        // A window with a record at this very time: everything around it exists already.
        if (value.timestamp >= timestamp) return;
        previous = value.timestamp;
      } else {
        left = value;
        previous = value.timestamp;
        break;
      }
    }
    if (previous !== null && !starts.has(previous + 1) && previous + 1 + differenceMs >= timestamp) {
      this.#updateNew(previous + 1, record, closeTime);
    }
    if (!hasLeft) {
      const start = timestamp - differenceMs;
      if (previous !== null && start <= previous && left !== null) {
        this.#update(start, { value: left.value, timestamp }, record, closeTime);
      } else {
        this.#updateNew(start, record, closeTime);
      }
    }
    if (!hasRight && right !== null && right.timestamp > timestamp) this.#createRight(right, record);
  }

  /** Records before the first whole window share the window [0, differenceMs]: none starts below zero. */
  #early(record: AnyRecord, closeTime: number): void {
    const { key, timestamp } = record;
    const starts = new Set<number>();
    let combined: Stored | null = null;
    let right: Stored | null = null;
    let hasRight = false;
    let previous: number | null = null;
    for (const { windowStart, value } of [...this.#store.fetch(key, 0, timestamp + 1)]) {
      starts.add(windowStart);
      if (windowStart === 0) {
        combined = value;
        if (value.timestamp < timestamp) previous = value.timestamp;
      } else if (windowStart <= timestamp) {
        right = value;
        this.#update(windowStart, value, record, closeTime);
      } else {
        hasRight = true;
      }
    }
    if (right === null && combined !== null && combined.timestamp > timestamp) right = combined;
    if (!hasRight && right !== null && right.timestamp > timestamp) this.#createRight(right, record);
    if (previous !== null && !starts.has(previous + 1)) this.#updateNew(previous + 1, record, closeTime);
    if (combined === null) this.#updateNew(0, record, closeTime);
    else this.#update(0, combined, record, closeTime);
  }

  #backwards(key: unknown, from: number, to: number): WindowEntry<Stored>[] {
    return [...this.#store.fetch(key, Math.max(0, from), to)].reverse();
  }

  /** The records of `right` are what follows the record so far: they are its right window. */
  #createRight(right: Stored, record: AnyRecord): void {
    const start = record.timestamp + 1;
    this.#store.put(record.key, right, start);
    this.#send(record, start, null, right.value, right.timestamp);
  }

  #updateNew(start: number, record: AnyRecord, closeTime: number): void {
    const { initial } = this.#aggregation;
    const value = initial === null ? null : initial();
    this.#update(start, { value, timestamp: record.timestamp }, record, closeTime);
  }

  #update(start: number, stored: Stored, record: AnyRecord, closeTime: number): void {
    if (start + this.#windows.differenceMs < closeTime) {
      this.#own.late();
      this.#late = true;
      return;
    }
    const result = this.#aggregation.add(stored.value, record.value, record.key);
    const timestamp = Math.max(record.timestamp, stored.timestamp);
    this.#store.put(record.key, result === null ? null : { value: result, timestamp }, start);
    this.#send(record, start, stored.value, result, timestamp);
  }

  #send(record: AnyRecord, start: number, old: unknown, result: unknown, timestamp: number): void {
    const windowed = { key: record.key, window: { start, end: start + this.#windows.differenceMs } };
    this.#own.sender.send(record, windowed, result, this.#own.sendOld ? old : null, timestamp);
  }
}

/** Session windows: a record extends the sessions within reach, and merges them when there are several. */
export function sessionAggregate(
  spec: StoreSpec<StateStore>,
  windows: SessionWindows,
  aggregation: Aggregation,
  merge: (a: unknown, b: unknown, key: unknown) => unknown,
  sendsOld: () => boolean,
): Instantiate {
  const { gapMs, graceMs } = windows;
  const { initial, add } = aggregation;
  return (next, environment) => {
    const store = environment.store(spec.name) as SessionStore<unknown, unknown>;
    const own = new WindowedAggregate(next, environment, spec.name, sendsOld());
    return {
      receive(record) {
        const { key, value, timestamp } = record;
        if (key === null) {
          own.drop('null-key');
          return;
        }
        const closeTime = own.observe(timestamp) - graceMs - gapMs;
        const sessions = [...store.find(key, timestamp - gapMs, timestamp + gapMs)];
        let aggregate = initial === null ? null : initial();
        let start = timestamp;
        let end = timestamp;
        for (const session of sessions) {
          // Without an initial value (reduce) the first session is the aggregate so far.
          aggregate = aggregate === null ? session.value : merge(aggregate, session.value, key);
          start = Math.min(start, session.start);
          end = Math.max(end, session.end);
        }
        if (end < closeTime) {
          own.late();
          own.passLate(record);
          return;
        }
        if (start !== timestamp || end !== timestamp) {
          for (const session of sessions) {
            store.remove(key, session.start, session.end);
            const gone = { key, window: { start: session.start, end: session.end } };
            own.sender.send(record, gone, null, own.sendOld ? session.value : null, session.end);
          }
        }
        const result = add(aggregate, value, key);
        store.put(key, start, end, result);
        own.sender.send(record, { key, window: { start, end } }, result, null, end);
      },
    };
  };
}
