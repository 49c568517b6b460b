/** Aggregates of streams by key, and of tables with subtraction: what runs in a task. */
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import { ChangeSender, type Change } from './change.ts';
import { TopologyError, type OperatorSpec } from './graph.ts';
import { openTableStore } from './plan.ts';

type Instantiate = OperatorSpec['instantiate'];

/** Adds a value to an aggregate (null before the first one where there is no initial value). */
export type Add = (aggregate: unknown, value: unknown, key: unknown) => unknown;

/** How an aggregate starts and grows. */
export interface Aggregation {
  /** null where the first value is the first aggregate (reduce). */
  readonly initial: (() => unknown) | null;
  readonly add: Add;
}

/** A reducer as an aggregation: the first value starts it. */
export function reduction(reduce: (aggregate: unknown, value: unknown) => unknown): Aggregation {
  return {
    initial: null,
    add: (aggregate, value) => (aggregate === null ? value : reduce(aggregate, value)),
  };
}

/** An aggregate by key. Records without a key or a value are left out. */
export function streamAggregate(
  spec: StoreSpec<StateStore>,
  versioned: boolean,
  aggregation: Aggregation,
  sendsOld: () => boolean,
): Instantiate {
  return (next, environment) => {
    const store = openTableStore(spec, versioned, environment);
    const sender = new ChangeSender(next);
    const sendOld = sendsOld();
    const { initial, add } = aggregation;
    return {
      receive(record) {
        const { key, value } = record;
        if (key === null || value === null) {
          environment.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        const old = store.get(key);
        let aggregate: unknown = null;
        let timestamp = record.timestamp;
        if (old !== null) {
          aggregate = old.value;
          if (old.timestamp > timestamp) timestamp = old.timestamp;
        } else if (initial !== null) {
          aggregate = initial();
        }
        const result = add(aggregate, value, key);
        const put = store.put(key, result, timestamp);
        if (put === 'expired') return;
        sender.send(record, key, result, sendOld ? aggregate : null, timestamp, put === 'latest');
      },
    };
  };
}

/** An aggregate of a regrouped table: the value that a change replaces is subtracted, its new value added. */
export function tableAggregate(
  spec: StoreSpec<StateStore>,
  versioned: boolean,
  aggregation: Aggregation & { readonly subtract: Add },
  sendsOld: () => boolean,
): Instantiate {
  return (next, environment) => {
    const store = openTableStore(spec, versioned, environment);
    const sender = new ChangeSender(next);
    const sendOld = sendsOld();
    const { initial, add, subtract } = aggregation;
    return {
      receive(record) {
        const { key } = record;
        if (key === null) {
          throw new TopologyError(`the aggregate of store "${spec.name}" was given a record without a key`);
        }
        const change = record.value as Change;
        const old = store.get(key);
        const oldAggregate = old === null ? null : old.value;
        let aggregate = oldAggregate;
        let timestamp = record.timestamp;
        if (change.oldValue !== null && old !== null) {
          aggregate = subtract(oldAggregate, change.oldValue, key);
          timestamp = Math.max(timestamp, old.timestamp);
        }
        if (change.newValue !== null) {
          if (aggregate === null && initial !== null) aggregate = initial();
          // A reduce that starts anew takes the record's own time, as Kafka Streams does.
          if (old !== null && (initial !== null || aggregate !== null)) {
            timestamp = Math.max(timestamp, old.timestamp);
          }
          aggregate = add(aggregate, change.newValue, key);
        }
        const put = store.put(key, aggregate, timestamp);
        if (put === 'expired') return;
        sender.send(record, key, aggregate, sendOld ? oldAggregate : null, timestamp, put === 'latest');
      },
    };
  };
}

interface Pair {
  readonly key: unknown;
  readonly value: unknown;
}

/**
 * Gives a table's changes another key: the old pair goes first, with nothing new; when the key stays the same, old
 * and new travel together. Pairs without a key or a value are left out.
 */
export function regroupOperator(
  mapper: (value: unknown, key: unknown) => Pair,
  sameKey: (a: unknown, b: unknown) => boolean,
  versioned: boolean,
): Instantiate {
  const pairOf = (value: unknown, key: unknown): Pair | null => {
    if (value === null) return null;
    const pair = mapper(value, key);
    return pair.key === null || pair.value === null ? null : pair;
  };
  return (next) => {
    const sender = new ChangeSender(next);
    return {
      receive(record) {
        const { newValue, oldValue, latest } = record.value as Change;
        if (versioned && !latest) return;
        const { key, timestamp } = record;
        if (key === null) throw new TopologyError('a table that is grouped has a change without a key');
        const after = pairOf(newValue, key);
        const before = pairOf(oldValue, key);
        if (before !== null && after !== null && sameKey(before.key, after.key)) {
          sender.send(record, before.key, after.value, before.value, timestamp, latest);
          return;
        }
        if (before !== null) sender.send(record, before.key, null, before.value, timestamp, latest);
        if (after !== null) sender.send(record, after.key, after.value, null, timestamp, latest);
      },
    };
  };
}
