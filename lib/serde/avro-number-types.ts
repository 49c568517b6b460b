/**
 * Avro's numbers without lost bits.
 *
 * avsc reads and writes `long` through doubles of the zigzag form, which is twice as large: below -2^52 it returns
 * another number, even with the wrong sign, and reports nothing. These types replace it. `EXACT_LONG` is a
 * JavaScript number and refuses what a double cannot hold; `BIG_LONG` is a bigint over the whole 64 bits. Float and
 * double are replaced only where a writer's long is promoted to them, which goes through the same code in avsc.
 */
import avsc from 'avsc';

/** avsc's cursor over a buffer. Reads past the end give `undefined`, writes past it vanish; the caller checks. */
export interface Tap {
  readonly buf: Buffer;
  pos: number;
}

/** What an avsc resolver is to a type that fills it in. */
export interface ResolverSlot {
  _read: (tap: Tap) => unknown;
}

const LOW_BITS = 28;
const TWO_27 = 2 ** 27;
const MIN_LONG = -(2n ** 63n);
const MAX_LONG = 2n ** 63n - 1n;

/** A varint of up to 64 bits in three pieces of 28, 28 and 8 bits. Reused: avsc and we are synchronous. */
let low = 0;
let middle = 0;
let high = 0;

function readVarint(tap: Tap): void {
  const { buf } = tap;
  let pos = tap.pos;
  let byte = buf[pos++]!;
  low = byte & 0x7f;
  middle = 0;
  high = 0;
  for (let shift = 7; byte & 0x80 && shift < LOW_BITS; shift += 7) {
    byte = buf[pos++]!;
    low |= (byte & 0x7f) << shift;
  }
  for (let shift = 0; byte & 0x80 && shift < LOW_BITS; shift += 7) {
    byte = buf[pos++]!;
    middle |= (byte & 0x7f) << shift;
  }
  if (byte & 0x80) {
    byte = buf[pos++]!;
    high = byte & 0x7f;
    if (byte & 0x80) {
      byte = buf[pos++]!;
      if (byte > 1) throw new Error('a varint of more than 64 bits');
      high |= byte << 7;
    }
  }
  tap.pos = pos;
}

function writeVarint(tap: Tap, lowBits: number, middleBits: number, highBits: number): void {
  const { buf } = tap;
  let pos = tap.pos;
  let rest = lowBits;
  let left = LOW_BITS;
  const more = middleBits > 0 || highBits > 0;
  while (more ? left > 7 : rest > 0x7f) {
    buf[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
    left -= 7;
  }
  if (!more) {
    buf[pos++] = rest;
  } else {
    buf[pos++] = rest | 0x80;
    rest = middleBits;
    left = LOW_BITS;
    while (highBits > 0 ? left > 7 : rest > 0x7f) {
      buf[pos++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
      left -= 7;
    }
    if (highBits === 0) {
      buf[pos++] = rest;
    } else {
      buf[pos++] = rest | 0x80;
      if (highBits > 0x7f) {
        buf[pos++] = (highBits & 0x7f) | 0x80;
        buf[pos++] = highBits >>> 7;
      } else {
        buf[pos++] = highBits;
      }
    }
  }
  tap.pos = pos;
}

/** The zigzag value in the pieces as a double, correctly rounded beyond 2^53. */
function roundedLong(): number {
  if (high === 0 && middle < 2 ** 26) {
    const magnitude = middle * TWO_27 + (low >>> 1);
    return low & 1 ? -magnitude - 1 : magnitude;
  }
  return Number(bigLong());
}

function bigLong(): bigint {
  const unsigned = (BigInt(high) << 56n) | (BigInt(middle) << 28n) | BigInt(low);
  return (unsigned >> 1n) ^ -(unsigned & 1n);
}

function readExact(tap: Tap): number {
  readVarint(tap);
  const value = roundedLong();
  if (!Number.isSafeInteger(value)) {
    throw new Error(`long ${bigLong()} does not fit a number: read this schema with longs as bigint`);
  }
  return value;
}

function readBig(tap: Tap): bigint {
  readVarint(tap);
  return high === 0 && middle < 2 ** 26 ? BigInt(roundedLong()) : bigLong();
}

/** `long` as a number: exact within ±(2^53 - 1), an error beyond. */
class ExactLongType extends avsc.types.LongType {
  _read(tap: Tap): number {
    return readExact(tap);
  }

  _write(tap: Tap, value: unknown): void {
    if (!Number.isSafeInteger(value)) throw new Error(`invalid "long": ${String(value)}`);
    const number = value as number;
    const negative = number < 0;
    const magnitude = negative ? -(number + 1) : number;
    writeVarint(tap, (magnitude % TWO_27) * 2 + (negative ? 1 : 0), Math.floor(magnitude / TWO_27), 0);
  }

  _check(value: unknown, _flags: unknown, hook?: (value: unknown, type: avsc.Type) => void): boolean {
    const valid = Number.isSafeInteger(value);
    if (!valid) hook?.(value, this);
    return valid;
  }
}

export const EXACT_LONG: avsc.Type = new ExactLongType();

const isBigLong = (value: unknown): boolean =>
  typeof value === 'bigint' && value >= MIN_LONG && value <= MAX_LONG;

const unpackedAccessIsReplaced = (): never => {
  throw new Error('BIG_LONG reads and writes in place');
};

/** `long` as a bigint. avsc's own hook for it slices a buffer per value; the two overrides read and write in place. */
export const BIG_LONG = Object.create(
  avsc.types.LongType.__with(
    {
      fromBuffer: unpackedAccessIsReplaced,
      toBuffer: unpackedAccessIsReplaced,
      fromJSON: (json: number | string | bigint) => BigInt(json),
      toJSON: (value: bigint) => {
        const number = Number(value);
        return Number.isSafeInteger(number) ? number : value.toString();
      },
      isValid: isBigLong,
      compare: (a: bigint, b: bigint) => (a < b ? -1 : a > b ? 1 : 0),
    },
    true,
  ),
  {
    _read: { value: readBig },
    _write: {
      value: (tap: Tap, value: unknown): void => {
        if (!isBigLong(value)) throw new Error(`invalid "long" (a bigint is expected): ${String(value)}`);
        const long = value as bigint;
        const zigzag = BigInt.asUintN(64, (long << 1n) ^ (long >> 63n));
        writeVarint(
          tap,
          Number(zigzag & 0xfff_ffffn),
          Number((zigzag >> 28n) & 0xfff_ffffn),
          Number(zigzag >> 56n),
        );
      },
    },
  },
) as avsc.Type;

class ExactIntType extends avsc.types.IntType {
  _read(tap: Tap): number {
    readVarint(tap);
    const value = roundedLong();
    if (value !== (value | 0)) throw new Error(`int ${bigLong()} is beyond 32 bits`);
    return value;
  }
}

/** `int` that refuses what 32 bits cannot hold; avsc hands it on and fails when it is written again. */
export const INT: avsc.Type = new ExactIntType();

function readPromoted(tap: Tap): number {
  readVarint(tap);
  return roundedLong();
}

const isLong = (type: avsc.Type): boolean => type.typeName === 'long' || type.typeName === 'abstract:long';

class PromotingFloatType extends avsc.types.FloatType {
  _update(slot: ResolverSlot, writer: avsc.Type & ResolverSlot): void {
    if (isLong(writer)) slot._read = readPromoted;
    else if (writer.typeName === 'float' || writer.typeName === 'int') slot._read = writer._read;
  }
}

class PromotingDoubleType extends avsc.types.DoubleType {
  _update(slot: ResolverSlot, writer: avsc.Type & ResolverSlot): void {
    if (isLong(writer)) slot._read = readPromoted;
    else if (['double', 'float', 'int'].includes(writer.typeName)) slot._read = writer._read;
  }
}

export const FLOAT: avsc.Type = new PromotingFloatType();
export const DOUBLE: avsc.Type = new PromotingDoubleType();
