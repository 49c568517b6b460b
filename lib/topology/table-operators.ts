/** Tables made from a topic or a stream, and those derived value by value: source, filter, mapValues. */
import type { Serde } from '../serde/serde.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { ChangeSender, type Change } from './change.ts';
import type { Receiver, TaskEnvironment } from './graph.ts';
import type { GraphWriter } from './graph-writer.ts';
import {
  needed,
  openTableStore,
  storeView,
  tableStore,
  type StoreOptions,
  type TablePlan,
  type TableView,
} from './plan.ts';
import type { Timestamped } from './timestamped.ts';

export interface TableSourceDraft {
  readonly writer: GraphWriter;
  readonly parent: string;
  readonly type: string;
  readonly prefix: string;
  readonly name?: string | undefined;
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown> | null;
  /** Present when the table is to be kept from the start. */
  readonly store?: StoreOptions<never, never> | undefined;
  /** Names the store when it comes to be needed: given, or generated from the prefix. */
  readonly storeName: string | undefined;
  readonly storePrefix: string;
}

/** A table of the last value of each key of a stream: null values delete, null keys are left out. */
export class SourceTable implements TablePlan {
  readonly writer: GraphWriter;
  readonly node: string;
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown> | null;
  readonly versioned: boolean;
  readonly closeDelayMs = null;
  store: StoreSpec<StateStore> | null = null;
  readonly #draft: TableSourceDraft;
  #old = false;

  constructor(draft: TableSourceDraft) {
    this.#draft = draft;
    this.writer = draft.writer;
    this.key = draft.key;
    this.value = draft.value;
    this.versioned = draft.store?.historyMs !== undefined;
    this.node = draft.writer.operator({
      type: draft.type,
      prefix: draft.prefix,
      name: draft.name,
      parents: [draft.parent],
      stores: () => (this.store === null ? [] : [this.store]),
      instantiate: (next, environment) => this.#instantiate(next, environment),
    });
    if (draft.store !== undefined) this.#materialise();
  }

  sendOldValues(force: boolean): boolean {
    if (!this.#old) {
      if (!force && this.store === null) return false;
      this.#materialise();
      this.#old = true;
    }
    return true;
  }

  view(): TableView {
    return storeView(this.#materialise(), this.versioned);
  }

  #materialise(): StoreSpec<StateStore> {
    if (this.store !== null) return this.store;
    const { writer, store = {}, storeName, storePrefix } = this.#draft;
    const name = writer.durableName(storeName, storePrefix, `the store of table ${this.node}`);
    const key = needed(this.key, 'key', `table ${this.node}`);
    const value = needed(this.value, 'value', `table ${this.node}`);
    return (this.store = tableStore(name, key, value, store));
  }

  #instantiate(next: Receiver, environment: TaskEnvironment): Receiver {
    const store = this.store === null ? null : openTableStore(this.store, this.versioned, environment);
    const sendOld = this.#old;
    const sender = new ChangeSender(next);
    return {
      receive(record) {
        const { key, value, timestamp } = record;
        if (key === null) {
          environment.drop('null-key');
          return;
        }
        if (store === null) {
          sender.send(record, key, value, null, timestamp);
          return;
        }
        const old = sendOld ? store.get(key) : null;
        const put = store.put(key, value, timestamp);
        if (put === 'expired') environment.drop('out-of-order');
        else sender.send(record, key, value, old === null ? null : old.value, timestamp, put === 'latest');
      },
    };
  }
}

export interface DerivedTableDraft {
  readonly parent: TablePlan;
  readonly type: 'filter' | 'mapValues';
  readonly prefix: string;
  readonly name?: string | undefined;
  readonly value: Serde<unknown> | null;
  readonly store?: StoreOptions<never, never> | undefined;
  /** The derived value of a present value; null is absent. */
  compute(key: unknown, value: unknown): unknown;
}

/** A table whose value of a key is a function of the parent's value of that key. */
export class DerivedTable implements TablePlan {
  readonly writer: GraphWriter;
  readonly node: string;
  readonly key: Serde<unknown> | null;
  readonly value: Serde<unknown> | null;
  readonly versioned: boolean;
  readonly closeDelayMs: number | null;
  readonly store: StoreSpec<StateStore> | null;
  readonly #draft: DerivedTableDraft;
  #old = false;

  constructor(draft: DerivedTableDraft) {
    const { parent, store } = draft;
    this.#draft = draft;
    this.writer = parent.writer;
    this.closeDelayMs = parent.closeDelayMs;
    this.key = store?.key ?? parent.key;
    this.value = draft.value;
    // Old values, where the parent has them anyway, spare tombstones for what never passed the filter.
    if (draft.type === 'filter') this.#old = parent.sendOldValues(false);
    this.versioned = store === undefined ? parent.versioned : store.historyMs !== undefined;
    this.store = store === undefined ? null : this.#declare(store);
    this.node = this.writer.operator({
      type: draft.type,
      prefix: draft.prefix,
      name: draft.name,
      parents: [parent.node],
      stores: () => (this.store === null ? [] : [this.store]),
      instantiate: (next, environment) => this.#instantiate(next, environment),
    });
  }

  sendOldValues(force: boolean): boolean {
    if (this.store !== null || this.#draft.parent.sendOldValues(force)) this.#old = true;
    return this.#old;
  }

  view(): TableView {
    if (this.store !== null) return storeView(this.store, this.versioned);
    const parent = this.#draft.parent.view();
    const derive = (key: unknown, from: Timestamped<unknown> | null): Timestamped<unknown> | null => {
      const value = from === null ? null : this.#compute(key, from.value);
      return from === null || value === null ? null : { value, timestamp: from.timestamp };
    };
    return {
      versioned: parent.versioned,
      stores: () => parent.stores(),
      open(environment) {
        const getter = parent.open(environment);
        return {
          get: (key) => derive(key, getter.get(key)),
          getAsOf: (key, timestamp) => derive(key, getter.getAsOf(key, timestamp)),
        };
      },
    };
  }

  #compute(key: unknown, value: unknown): unknown {
    return value === null ? null : this.#draft.compute(key, value);
  }

  #declare(store: StoreOptions<never, never>): StoreSpec<StateStore> {
    const { type, prefix, name } = this.#draft;
    const storeName = this.writer.durableName(
      store.name ?? name,
      `${prefix}-STATE-STORE`,
      `the store of ${type}()`,
    );
    const where = `${type}() with store "${storeName}"`;
    return tableStore(storeName, needed(this.key, 'key', where), needed(this.value, 'value', where), store);
  }

  #instantiate(next: Receiver, environment: TaskEnvironment): Receiver {
    const compute = (key: unknown, value: unknown): unknown => this.#compute(key, value);
    const sendOld = this.#old;
    const dropsNothing = this.#draft.type === 'filter' && sendOld && !this.#draft.parent.versioned;
    const store = this.store === null ? null : openTableStore(this.store, this.versioned, environment);
    const sender = new ChangeSender(next);
    return {
      receive(record) {
        const { key, timestamp } = record;
        const change = record.value as Change;
        const newValue = compute(key, change.newValue);
        let oldValue: unknown = null;
        if (sendOld) {
          oldValue = store === null ? compute(key, change.oldValue) : (store.get(key)?.value ?? null);
        }
        if (dropsNothing && newValue === null && oldValue === null) return;
        if (store === null) {
          sender.send(record, key, newValue, oldValue, timestamp, change.latest);
          return;
        }
        const put = store.put(key, newValue, timestamp);
        if (put === 'expired') environment.drop('out-of-order');
        else sender.send(record, key, newValue, oldValue, timestamp, put === 'latest');
      },
    };
  }
}
