/**
 * What travels between table operators: the new value of a key with the one it replaces. null is an absent value (a
 * tombstone). Change objects are reused; whoever keeps one copies it.
 */
import type { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { SerdeError, type Bytes, type Placement, type Serde } from '../serde/serde.ts';
import { Decoder, Encoder, preparing } from './encoder.ts';
import type { AnyRecord, Receiver } from './graph.ts';
import { emptyRecord } from './operators.ts';

export interface Change {
  newValue: unknown;
  /** The value replaced; null also when the table does not send old values. */
  oldValue: unknown;
  /** False when a later record of the key has been seen already (versioned tables, KIP-914). */
  latest: boolean;
}

/** Sends changes on, reusing one record and one change. */
export class ChangeSender {
  readonly change: Change = { newValue: null, oldValue: null, latest: true };
  readonly #record: AnyRecord = emptyRecord();
  readonly #next: Receiver;

  constructor(next: Receiver) {
    this.#next = next;
  }

  send(
    from: AnyRecord,
    key: unknown,
    newValue: unknown,
    oldValue: unknown,
    timestamp: number,
    latest = true,
  ): void {
    const { change } = this;
    change.newValue = newValue;
    change.oldValue = oldValue;
    change.latest = latest;
    const record = this.#record;
    record.key = key;
    record.value = change;
    record.timestamp = timestamp;
    record.headers = from.headers;
    this.#next.receive(record);
  }
}

const HAS_NEW = 1;
const HAS_OLD = 2;
const LATEST = 4;
const PREFIX_BYTES = 5;

/** A change as bytes: flags, the length of the new value, the new value, the old value. */
export function changeSerde(value: Serde<unknown>): Serde<Change> {
  const encodeNew = new Encoder(value);
  const encodeOld = new Encoder(value);
  const decoder = new Decoder(value);
  return {
    deserialize(bytes: Bytes) {
      const { buffer, start, length } = bytes;
      if (length < PREFIX_BYTES) throw new SerdeError('a change has 5 bytes before its values', 'TRUNCATED');
      const flags = buffer.readUInt8(start);
      const newLength = buffer.readUInt32BE(start + 1);
      if (PREFIX_BYTES + newLength > length) {
        throw new SerdeError('the new value of a change is longer than the change', 'TRUNCATED');
      }
      const at = start + PREFIX_BYTES;
      return {
        newValue: (flags & HAS_NEW) === 0 ? null : decoder.decode(buffer, at, newLength),
        oldValue:
          (flags & HAS_OLD) === 0
            ? null
            : decoder.decode(buffer, at + newLength, length - PREFIX_BYTES - newLength),
        latest: (flags & LATEST) !== 0,
      };
    },
    serialize(change, batch: OutgoingBatch, placement: Placement) {
      const newBytes = change.newValue === null ? null : encodeNew.encode(change.newValue);
      const oldBytes = change.oldValue === null ? null : encodeOld.encode(change.oldValue);
      const newLength = newBytes?.length ?? 0;
      const length = PREFIX_BYTES + newLength + (oldBytes?.length ?? 0);
      batch.reserve(length);
      const at = batch.arenaPosition;
      const flags =
        (newBytes === null ? 0 : HAS_NEW) | (oldBytes === null ? 0 : HAS_OLD) | (change.latest ? LATEST : 0);
      batch.arena.writeUInt8(flags, at);
      batch.arena.writeUInt32BE(newLength, at + 1);
      newBytes?.copy(batch.arena, at + PREFIX_BYTES);
      oldBytes?.copy(batch.arena, at + PREFIX_BYTES + newLength);
      placement.source = batch.arenaSource;
      placement.start = at;
      placement.length = length;
      batch.advance(length);
    },
    ...preparing(value),
  };
}
