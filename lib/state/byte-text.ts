/**
 * Bytes as text: one character (0 … 255) per byte. That is how stores hold keys and values: a Map finds it, `<`
 * orders it as its bytes are ordered, nothing outside can change it, and it takes a fraction of a Buffer's memory.
 */
import { OutgoingBatch } from '../kafka/outgoing-batch.ts';
import { Bytes, type Placement, type Serde } from '../serde/serde.ts';

export type ByteText = string;

export const TIME_BYTES = 8;
/** Highest time that a store takes, epoch milliseconds. */
export const MOST_TIME = Number.MAX_SAFE_INTEGER;

/** A time as 8 bytes, big endian, so that times order as numbers do. Throws RangeError outside 0 … 2^53 - 1. */
export function timeText(time: number): ByteText {
  if (!Number.isSafeInteger(time) || time < 0)
    throw new RangeError(`a time in a store is epoch milliseconds, a whole number from 0 on, not ${time}`);
  const high = Math.floor(time / 0x1_0000_0000);
  const low = time >>> 0;
  return String.fromCharCode(
    high >>> 24,
    (high >>> 16) & 0xff,
    (high >>> 8) & 0xff,
    high & 0xff,
    low >>> 24,
    (low >>> 16) & 0xff,
    (low >>> 8) & 0xff,
    low & 0xff,
  );
}

/** The time whose 8 bytes lie at a position of the text. */
export function timeAt(text: ByteText, at: number): number {
  let high = 0;
  let low = 0;
  for (let i = at; i < at + 4; i++) high = high * 256 + text.charCodeAt(i);
  for (let i = at + 4; i < at + 8; i++) low = low * 256 + text.charCodeAt(i);
  return high * 0x1_0000_0000 + low;
}

/** A bound of a time range, whatever number it is, as a time that a store can hold. */
export function clampTime(time: number): number {
  return Math.min(Math.max(Math.ceil(time), 0), MOST_TIME);
}

const KEY_END = '\u0000\u0001';
const NUL = /\u0000/g;
const ESCAPED_NUL = /\u0000\u00ff/g;

/**
 * A key in a form that can be followed by more bytes: byte order stays as it was, and no key's form is the
 * beginning of another's. A zero byte becomes 00 FF; the end is 00 01.
 */
export function delimited(key: ByteText): ByteText {
  return (key.includes('\u0000') ? key.replace(NUL, '\u0000\u00ff') : key) + KEY_END;
}

/** The key of a delimited form that ends `tail` bytes before the end of the text. */
export function undelimited(text: ByteText, tail: number): ByteText {
  const key = text.slice(0, text.length - tail - KEY_END.length);
  return key.includes('\u0000') ? key.replace(ESCAPED_NUL, '\u0000') : key;
}

/** The least text above every text that begins with `prefix`; null when there is none. */
export function prefixEnd(prefix: ByteText): ByteText | null {
  let length = prefix.length;
  while (length > 0 && prefix.charCodeAt(length - 1) === 0xff) length -= 1;
  if (length === 0) return null;
  return prefix.slice(0, length - 1) + String.fromCharCode(prefix.charCodeAt(length - 1) + 1);
}

/** Encoding never runs within itself, so all stores share one place to encode into. */
const scratch = new OutgoingBatch(1);
const placement: Placement = { source: 0, start: 0, length: 0 };

/** A serde's values as byte text. */
export class TextCodec<T> {
  readonly #serde: Serde<T>;
  readonly #what: string;

  /** `what` names the thing in errors, such as `store "counts", value`. */
  constructor(serde: Serde<T>, what: string) {
    this.#serde = serde;
    this.#what = what;
  }

  encode(value: T): ByteText {
    scratch.reset();
    this.#serde.serialize(value, scratch, placement);
    const { source, start, length } = placement;
    if (length < 0)
      throw new TypeError(`${this.#what}: its serde wrote null; a store deletes with delete or put null`);
    return scratch.sources[source]!.toString('latin1', start, start + length);
  }

  /** A new value: nothing that the caller does to it reaches the store. */
  decode(text: ByteText): T {
    return this.#serde.deserialize(new Bytes(Buffer.from(text, 'latin1')));
  }
}
