/** Table-table joins by equal keys: a change of either side is joined with the other side's current value. */
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { ChangeSender, type Change } from './change.ts';
import type { OperatorSpec } from './graph.ts';
import {
  needed,
  openTableStore,
  storeView,
  tableStore,
  type StoreOptions,
  type TablePlan,
  type TableView,
  type ValueGetter,
} from './plan.ts';
import type { Timestamped } from './timestamped.ts';

export type TableJoinKind = 'inner' | 'left' | 'outer';
type Joiner = (left: unknown, right: unknown) => unknown;

export interface TableJoinDraft {
  readonly kind: TableJoinKind;
  readonly left: TablePlan;
  readonly right: TablePlan;
  readonly joiner: Joiner;
  readonly name: string | undefined;
  readonly store: StoreOptions<never, never> | undefined;
}

export function tableJoin(draft: TableJoinDraft): TablePlan {
  return new JoinedTable(draft);
}

class JoinedTable implements TablePlan {
  readonly writer: TablePlan['writer'];
  readonly node: string;
  readonly key: TablePlan['key'];
  readonly value: TablePlan['value'];
  readonly versioned: boolean;
  readonly closeDelayMs: number | null;
  readonly store: StoreSpec<StateStore> | null;
  readonly #draft: TableJoinDraft;
  readonly #leftView: TableView;
  readonly #rightView: TableView;
  #old = false;

  constructor(draft: TableJoinDraft) {
    const { left, right, store, kind } = draft;
    this.#draft = draft;
    this.writer = left.writer;
    this.closeDelayMs =
      left.closeDelayMs === null || right.closeDelayMs === null
        ? (left.closeDelayMs ?? right.closeDelayMs)
        : Math.max(left.closeDelayMs, right.closeDelayMs);
    this.key = store?.key ?? left.key ?? right.key;
    this.value = store?.value ?? null;
    this.versioned = store?.historyMs !== undefined;
    // An outer side must know whether a tombstone takes a result away.
    if (kind !== 'inner') left.sendOldValues(true);
    if (kind === 'outer') right.sendOldValues(true);
    this.#leftView = left.view();
    this.#rightView = right.view();
    this.store = store === undefined ? null : this.#declare(store);
    const name = draft.name ?? this.writer.nextName(JOIN_PREFIX[kind]);
    const thisSide = this.writer.operator({
      type: TYPE[kind],
      prefix: 'KTABLE-JOINTHIS',
      name: `${name}-join-this`,
      parents: [left.node],
      stores: () => this.#rightView.stores(),
      instantiate: this.#side('left'),
    });
    const otherSide = this.writer.operator({
      type: TYPE[kind],
      prefix: 'KTABLE-JOINOTHER',
      name: `${name}-join-other`,
      parents: [right.node],
      stores: () => this.#leftView.stores(),
      instantiate: this.#side('right'),
    });
    this.node = this.writer.operator({
      type: 'merge',
      prefix: 'KTABLE-MERGE',
      name,
      parents: [thisSide, otherSide],
      stores: () => (this.store === null ? [] : [this.store]),
      instantiate: this.#merge(),
    });
  }

  sendOldValues(): boolean {
    // Both sides are looked into, so they are materialised anyway.
    this.#draft.left.sendOldValues(true);
    this.#draft.right.sendOldValues(true);
    this.#old = true;
    return true;
  }

  view(): TableView {
    if (this.store !== null) return storeView(this.store, this.versioned);
    const leftView = this.#leftView;
    const rightView = this.#rightView;
    const { kind, joiner } = this.#draft;
    return {
      versioned: false,
      stores: () => [...leftView.stores(), ...rightView.stores()],
      open: (environment) =>
        new JoinGetter(kind, joiner, leftView.open(environment), rightView.open(environment)),
    };
  }

  #declare(store: StoreOptions<never, never>): StoreSpec<StateStore> {
    const name = this.writer.durableName(
      store.name ?? this.#draft.name,
      'KTABLE-JOIN-STATE-STORE',
      'the store of a table join',
    );
    const where = `the join with store "${name}"`;
    return tableStore(name, needed(this.key, 'key', where), needed(this.value, 'value', where), store);
  }

  #side(side: 'left' | 'right'): OperatorSpec['instantiate'] {
    const { kind, joiner, left, right } = this.#draft;
    const own = side === 'left' ? left : right;
    const otherView = side === 'left' ? this.#rightView : this.#leftView;
    // Where a value of this side alone gives a result, and where one of the other side alone does.
    const ownAlone = kind === 'outer' || (kind === 'left' && side === 'left');
    const otherAlone = kind === 'outer' || (kind === 'left' && side === 'right');
    const join: Joiner = side === 'left' ? joiner : (value, other) => joiner(other, value);
    return (next, environment) => {
      const getter = otherView.open(environment);
      const sender = new ChangeSender(next);
      const sendOld = this.#old;
      const valueOf = (value: unknown, other: unknown): unknown => {
        if (value === null) return other !== null && otherAlone ? join(null, other) : null;
        return other !== null || ownAlone ? join(value, other) : null;
      };
      return {
        receive(record) {
          const { key } = record;
          if (key === null) {
            environment.drop('null-key');
            return;
          }
          const { newValue, oldValue, latest } = record.value as Change;
          if (own.versioned && !latest) {
            environment.drop('out-of-order');
            return;
          }
          const found = getter.get(key);
          if (found === null && (!ownAlone || (newValue === null && oldValue === null))) return;
          const other = found === null ? null : found.value;
          const timestamp = found === null ? record.timestamp : Math.max(record.timestamp, found.timestamp);
          const old = sendOld ? valueOf(oldValue, other) : null;
          sender.send(record, key, valueOf(newValue, other), old, timestamp, latest);
        },
      };
    };
  }

  #merge(): OperatorSpec['instantiate'] {
    return (next, environment) => {
      if (this.store === null) return next;
      const store = openTableStore(this.store, this.versioned, environment);
      const sender = new ChangeSender(next);
      return {
        receive(record) {
          const { key, timestamp } = record;
          const { newValue, oldValue } = record.value as Change;
          const put = store.put(key, newValue, timestamp);
          if (put !== 'expired') sender.send(record, key, newValue, oldValue, timestamp, put === 'latest');
        },
      };
    };
  }
}

/** The joined value of a key, computed from both sides when it is asked for. */
class JoinGetter implements ValueGetter {
  readonly #kind: TableJoinKind;
  readonly #joiner: Joiner;
  readonly #left: ValueGetter;
  readonly #right: ValueGetter;

  constructor(kind: TableJoinKind, joiner: Joiner, left: ValueGetter, right: ValueGetter) {
    this.#kind = kind;
    this.#joiner = joiner;
    this.#left = left;
    this.#right = right;
  }

  get(key: unknown): Timestamped<unknown> | null {
    return this.#joined(this.#left.get(key), () => this.#right.get(key));
  }

  getAsOf(key: unknown, timestamp: number): Timestamped<unknown> | null {
    return this.#joined(this.#left.getAsOf(key, timestamp), () => this.#right.getAsOf(key, timestamp));
  }

  #joined(
    left: Timestamped<unknown> | null,
    readRight: () => Timestamped<unknown> | null,
  ): Timestamped<unknown> | null {
    if (left === null && this.#kind !== 'outer') return null;
    const right = readRight();
    if (right === null && (left === null || this.#kind === 'inner')) return null;
    const value = this.#joiner(left === null ? null : left.value, right === null ? null : right.value);
    const timestamp = Math.max(left?.timestamp ?? -1, right?.timestamp ?? -1);
    return value === null ? null : { value, timestamp };
  }
}

const TYPE: Record<TableJoinKind, string> = { inner: 'join', left: 'leftJoin', outer: 'outerJoin' };
const JOIN_PREFIX: Record<TableJoinKind, string> = {
  inner: 'KTABLE-JOIN',
  left: 'KTABLE-LEFTJOIN',
  outer: 'KTABLE-OUTERJOIN',
};
