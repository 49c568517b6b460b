/**
 * Foreign-key joins of tables (KIP-213). Each row of the left table subscribes, through an internal topic, at the row
 * its foreign key names; the right side answers through another one, now and whenever its row changes. An answer to
 * a value that the left row no longer has is dropped, by the value's hash.
 */
import { createHash } from 'node:crypto';
import { bufferSerde, SerdeError, type Serde } from '../serde/serde.ts';
import { keyValueStore, type KeyValueStore } from '../state/key-value-store.ts';
import type { Change } from './change.ts';
import { Decoder, Encoder, preparing } from './encoder.ts';
import type { AnyRecord, OperatorSpec, Receiver } from './graph.ts';
import { emptyRecord } from './operators.ts';
import { needed, type StoreOptions, type TablePlan } from './plan.ts';
import type { Named } from './stream-options.ts';
import { SourceTable } from './table-operators.ts';

/** The name names the subscription store and both internal topics. */
export interface ForeignKeyJoinOptions<K, V, K2, V2, R> extends Named {
  /** The other table's key for a row of this one; null when it has none. */
  readonly foreignKey: (value: V, key: K) => K2 | null;
  readonly joiner: (left: V, right: V2) => R | null;
  /** Serdes of this table's key and value, and of the other's value, where they are not known any more. */
  readonly key?: Serde<K>;
  readonly value?: Serde<V>;
  readonly otherKey?: Serde<K2>;
  readonly otherValue?: Serde<NonNullable<V2>>;
  /** Keeps the result. */
  readonly store?: StoreOptions<K, NonNullable<R>>;
}

/** What a subscription asks of the right side. */
const INSTRUCTIONS = [
  /** Forget it; nothing to answer, another subscription of the row does. */
  'delete',
  /** Forget it and answer with nothing. */
  'delete-and-answer',
  /** Keep it and answer, with nothing when there is no row. */
  'answer',
  /** Keep it and answer only when there is a row. */
  'answer-if-present',
] as const;
type Instruction = (typeof INSTRUCTIONS)[number];

interface Subscription {
  readonly instruction: Instruction;
  /** Of the left row's value; null when it has none. */
  readonly hash: Buffer | null;
  /** The left row's key as bytes, and the partition it lives on. */
  readonly primaryKey: Buffer;
  readonly partition: number;
}

interface Answer {
  readonly hash: Buffer | null;
  readonly partition: number;
  /** The right row's value; null when there is none. */
  readonly value: unknown;
}

type Options = ForeignKeyJoinOptions<unknown, unknown, unknown, unknown, unknown>;

export function foreignKeyJoin(
  left: TablePlan,
  right: TablePlan,
  options: Options,
  leftJoin: boolean,
): TablePlan {
  const { writer } = left;
  const name = writer.durableName(options.name, 'KTABLE-FK-JOIN', 'a foreign-key join');
  const where = `foreign-key join "${name}"`;
  const leftKey = needed(options.key ?? left.key, 'key', where);
  const leftValue = needed(options.value ?? left.value, 'value', where);
  const rightKey = needed(options.otherKey ?? right.key, 'other key', where);
  const rightValue = needed(options.otherValue ?? right.value, 'other value', where);
  left.sendOldValues(true);
  const leftView = left.view();
  const rightView = right.view();
  const subscriptions = keyValueStore(`${name}-subscription-store`, {
    key: bufferSerde,
    value: subscriptionSerde,
  });

  const subscribe = writer.operator({
    type: leftJoin ? 'foreignKeyLeftJoin' : 'foreignKeyJoin',
    prefix: 'KTABLE-FK-JOIN-SUBSCRIPTION',
    name: `${name}-subscription-registration`,
    parents: [left.node],
    instantiate: subscribeOperator(options, leftJoin, leftKey, leftValue, rightKey, left.versioned),
  });
  const registered = writer.repartition(subscribe, {
    name: `${name}-subscription-registration-topic`,
    key: rightKey,
    value: subscriptionSerde,
  });
  const openSubscriptions = (environment: Parameters<OperatorSpec['instantiate']>[1]) =>
    environment.store(subscriptions.name) as KeyValueStore<Buffer, Subscription>;

  const answerNow = writer.operator({
    type: 'subscription',
    prefix: 'KTABLE-FK-JOIN-SUBSCRIPTION-PROCESSOR',
    name: `${name}-subscription-join`,
    parents: [registered],
    stores: () => [subscriptions, ...rightView.stores()],
    instantiate(next, environment) {
      const store = openSubscriptions(environment);
      const getter = rightView.open(environment);
      const keys = new Encoder(rightKey);
      const answer = new AnswerSender(next, leftKey);
      return {
        receive(record) {
          const subscription = record.value as Subscription;
          const { instruction, primaryKey } = subscription;
          if (record.key === null && instruction !== 'answer') {
            environment.drop('null-key');
            return;
          }
          if (record.key !== null) {
            const at = Buffer.concat([prefixOf(keys.encode(record.key)), primaryKey]);
            if (instruction === 'delete' || instruction === 'delete-and-answer') store.delete(at);
            else store.put(at, subscription);
          }
          if (instruction === 'delete') return;
          const found = record.key === null ? null : getter.get(record.key);
          if (instruction === 'answer-if-present' && found === null) return;
          const timestamp = found === null ? record.timestamp : Math.max(record.timestamp, found.timestamp);
          const value = found === null || instruction === 'delete-and-answer' ? null : found.value;
          answer.send(record, subscription, value, timestamp);
        },
      };
    },
  });
  const answerLater = writer.operator({
    type: 'foreignTable',
    prefix: 'KTABLE-FK-JOIN-FOREIGN',
    name: `${name}-foreign-join`,
    parents: [right.node],
    stores: () => [subscriptions],
    instantiate(next, environment) {
      const store = openSubscriptions(environment);
      const keys = new Encoder(rightKey);
      const answer = new AnswerSender(next, leftKey);
      return {
        receive(record) {
          const { newValue, latest } = record.value as Change;
          if (record.key === null || (right.versioned && !latest)) {
            environment.drop(record.key === null ? 'null-key' : 'out-of-order');
            return;
          }
          const { timestamp } = record;
          for (const { value: subscription } of store.prefixScan(prefixOf(keys.encode(record.key)))) {
            answer.send(record, subscription, newValue, timestamp);
          }
        },
      };
    },
  });
  const answers = writer.operator({
    type: 'merge',
    prefix: 'KTABLE-FK-JOIN-MERGE',
    name: `${name}-responses`,
    parents: [answerNow, answerLater],
    instantiate: (next) => next,
  });
  const answered = writer.repartition(answers, {
    name: `${name}-subscription-response-topic`,
    key: leftKey,
    value: answerSerde(rightValue),
    partition: (record) => (record.value as Answer).partition,
  });
  const joined = writer.operator({
    type: 'subscriptionResponse',
    prefix: 'KTABLE-FK-JOIN-RESPONSE',
    name: `${name}-subscription-response`,
    parents: [answered],
    stores: () => leftView.stores(),
    instantiate(next, environment) {
      const getter = leftView.open(environment);
      const hash = new ValueHash(leftValue);
      const out = emptyRecord();
      return {
        receive(record) {
          const answer = record.value as Answer;
          const current = getter.get(record.key);
          if (!sameHash(answer.hash, current === null ? null : hash.of(current.value))) {
            environment.drop('stale-response');
            return;
          }
          out.key = record.key;
          out.value =
            current === null || (answer.value === null && !leftJoin)
              ? null
              : options.joiner(current.value, answer.value);
          out.timestamp = record.timestamp;
          out.headers = record.headers;
          next.receive(out);
        },
      };
    },
  });
  return new SourceTable({
    writer,
    parent: joined,
    type: 'table',
    prefix: 'KTABLE-FK-JOIN-OUTPUT',
    name,
    key: leftKey,
    value: (options.store?.value as Serde<unknown> | undefined) ?? null,
    store: options.store as StoreOptions<never, never> | undefined,
    storeName: options.store?.name ?? options.name,
    storePrefix: 'KTABLE-FK-JOIN-STATE-STORE',
  });
}

/** What a change of a left row asks, by its old and its new foreign key. */
function subscribeOperator(
  options: Options,
  leftJoin: boolean,
  leftKey: Serde<unknown>,
  leftValue: Serde<unknown>,
  rightKey: Serde<unknown>,
  versioned: boolean,
): OperatorSpec['instantiate'] {
  return (next, environment) => {
    const keys = new Encoder(leftKey);
    const before = new Encoder(rightKey);
    const after = new Encoder(rightKey);
    const hash = new ValueHash(leftValue);
    const out = emptyRecord();
    const foreignKeyOf = (value: unknown, key: unknown): unknown =>
      value === null ? null : options.foreignKey(value, key);
    const send = (
      record: AnyRecord,
      foreignKey: unknown,
      instruction: Instruction,
      valueHash: Buffer | null,
    ): void => {
      const subscription: Subscription = {
        instruction,
        hash: valueHash,
        primaryKey: Buffer.from(keys.encode(record.key)),
        partition: environment.task.partition,
      };
      out.key = foreignKey;
      out.value = subscription;
      out.timestamp = record.timestamp;
      out.headers = record.headers;
      next.receive(out);
    };
    return {
      receive(record) {
        const { newValue, oldValue, latest } = record.value as Change;
        if (versioned && !latest) {
          environment.drop('out-of-order');
          return;
        }
        if (newValue === null && oldValue === null) return;
        const oldKey = foreignKeyOf(oldValue, record.key);
        const newKey = foreignKeyOf(newValue, record.key);
        const valueHash = newValue === null ? null : hash.of(newValue);
        const moved =
          oldKey !== null && (newKey === null || !before.encode(oldKey).equals(after.encode(newKey)));
        if (leftJoin) {
          if (moved) send(record, oldKey, 'delete', valueHash);
          send(record, newKey, 'answer', valueHash);
        } else if (oldKey === null && newKey === null) {
          environment.drop('null-key');
        } else if (newKey === null) {
          send(record, oldKey, 'delete-and-answer', valueHash);
        } else if (moved) {
          send(record, oldKey, 'delete', valueHash);
          // Also nothing is an answer here: it unsets what the old key's row gave.
          send(record, newKey, 'answer', valueHash);
        } else {
          send(record, newKey, 'answer-if-present', valueHash);
        }
      },
    };
  };
}

class AnswerSender {
  readonly #next: Receiver;
  readonly #key: Decoder<unknown>;
  readonly #out: AnyRecord = emptyRecord();

  constructor(next: Receiver, leftKey: Serde<unknown>) {
    this.#next = next;
    this.#key = new Decoder(leftKey);
  }

  send(record: AnyRecord, subscription: Subscription, value: unknown, timestamp: number): void {
    const { hash, partition, primaryKey } = subscription;
    const answer: Answer = { hash, partition, value };
    const out = this.#out;
    out.key = this.#key.decode(primaryKey, 0, primaryKey.length);
    out.value = answer;
    out.timestamp = timestamp;
    out.headers = record.headers;
    this.#next.receive(out);
  }
}

const HASH_BYTES = 16;

/** 128 bits of a value's bytes. */
class ValueHash {
  readonly #encoder: Encoder<unknown>;

  constructor(serde: Serde<unknown>) {
    this.#encoder = new Encoder(serde);
  }

  of(value: unknown): Buffer {
    return createHash('sha256').update(this.#encoder.encode(value)).digest().subarray(0, HASH_BYTES);
  }
}

function sameHash(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

/** Length of a foreign key's bytes, then the bytes: what the subscriptions at one row begin with. */
function prefixOf(foreignKey: Buffer): Buffer {
  const prefix = Buffer.allocUnsafe(4 + foreignKey.length);
  prefix.writeUInt32BE(foreignKey.length, 0);
  foreignKey.copy(prefix, 4);
  return prefix;
}

const SUBSCRIPTION_PREFIX = 6;

/** Instruction, partition, whether there is a hash, the hash, the primary key. */
const subscriptionSerde: Serde<Subscription> = {
  deserialize(bytes) {
    const content = bytes.copy();
    const instruction = INSTRUCTIONS[content.length < SUBSCRIPTION_PREFIX ? -1 : content.readUInt8(0)];
    if (instruction === undefined) throw new SerdeError('not a subscription of a foreign-key join');
    const at = SUBSCRIPTION_PREFIX + (content.readUInt8(5) === 1 ? HASH_BYTES : 0);
    return {
      instruction,
      partition: content.readUInt32BE(1),
      hash: at === SUBSCRIPTION_PREFIX ? null : content.subarray(SUBSCRIPTION_PREFIX, at),
      primaryKey: content.subarray(at),
    };
  },
  serialize(subscription, batch, placement) {
    const { hash, instruction, partition, primaryKey } = subscription;
    const prefix = Buffer.allocUnsafe(SUBSCRIPTION_PREFIX);
    prefix.writeUInt8(INSTRUCTIONS.indexOf(instruction), 0);
    prefix.writeUInt32BE(partition, 1);
    prefix.writeUInt8(hash === null ? 0 : 1, 5);
    bufferSerde.serialize(Buffer.concat([prefix, hash ?? EMPTY, primaryKey]), batch, placement);
  },
};

const EMPTY = Buffer.alloc(0);
const ANSWER_PREFIX = 6;

/** Partition, whether there is a hash and a value, the hash, the value. */
function answerSerde(value: Serde<unknown>): Serde<Answer> {
  const encoder = new Encoder(value);
  const decoder = new Decoder(value);
  return {
    deserialize(bytes) {
      if (bytes.length < ANSWER_PREFIX) throw new SerdeError('not an answer of a foreign-key join');
      const content = bytes.copy();
      const at = ANSWER_PREFIX + (content.readUInt8(4) === 1 ? HASH_BYTES : 0);
      return {
        partition: content.readUInt32BE(0),
        hash: at === ANSWER_PREFIX ? null : content.subarray(ANSWER_PREFIX, at),
        value: content.readUInt8(5) === 1 ? decoder.decode(content, at, content.length - at) : null,
      };
    },
    serialize(answer, batch, placement) {
      const prefix = Buffer.allocUnsafe(ANSWER_PREFIX);
      prefix.writeUInt32BE(answer.partition, 0);
      prefix.writeUInt8(answer.hash === null ? 0 : 1, 4);
      prefix.writeUInt8(answer.value === null ? 0 : 1, 5);
      const content = answer.value === null ? EMPTY : encoder.encode(answer.value);
      bufferSerde.serialize(Buffer.concat([prefix, answer.hash ?? EMPTY, content]), batch, placement);
    },
    ...preparing(value),
  };
}
