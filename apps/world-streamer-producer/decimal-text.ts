/**
 * Numbers as ASCII decimal text, written straight into a buffer: ids up to 64 bits without a BigInt, amounts with
 * two decimals.
 */

const BILLION = 1e9;
/** Longest text of a 64-bit integer, with its sign. */
export const INT64_TEXT_BYTES = 20;

function digitCount(value: number): number {
  let count = 1;
  for (let bound = 10; value >= bound && count < 16; bound *= 10) count += 1;
  return count;
}

/** Writes `count` digits of a value below 2^31, with leading zeros, ending before `end`. */
function writePadded(value: number, count: number, into: Uint8Array, end: number): void {
  let rest = value | 0;
  for (let i = end - 1; i >= end - count; i -= 1) {
    const tens = (rest / 10) | 0;
    into[i] = 48 + (rest - tens * 10);
    rest = tens;
  }
}

/** Writes a whole number, 0 … 2^53, and returns the position behind it. */
export function writeUnsigned(value: number, into: Uint8Array, at: number): number {
  const end = at + digitCount(value);
  if (value < BILLION) {
    writePadded(value, end - at, into, end);
    return end;
  }
  const high = Math.floor(value / BILLION);
  writePadded(high, end - at - 9, into, end - 9);
  writePadded(value - high * BILLION, 9, into, end);
  return end;
}

/** Writes a whole number of magnitude up to 2^53, negative ones with a sign. */
export function writeInteger(value: number, into: Uint8Array, at: number): number {
  if (value >= 0) return writeUnsigned(value, into, at);
  into[at] = 0x2d;
  return writeUnsigned(-value, into, at + 1);
}

/** Writes a 64-bit integer given as two words and returns the position behind it. */
export function writeInt64(low: number, high: number, signed: boolean, into: Uint8Array, at: number): number {
  if (signed && high < 0) {
    // Two's complement: the magnitude is the bits inverted, plus one.
    const lowMagnitude = (~low + 1) >>> 0;
    const highMagnitude = (lowMagnitude === 0 ? ~high + 1 : ~high) >>> 0;
    into[at] = 0x2d;
    return writeWords(lowMagnitude, highMagnitude, into, at + 1);
  }
  return writeWords(low >>> 0, high >>> 0, into, at);
}

/** Both words unsigned. */
function writeWords(low: number, high: number, into: Uint8Array, at: number): number {
  if (high < 0x20_0000) return writeUnsigned(high * 0x1_0000_0000 + low, into, at);
  // Long division by 10^9 in steps of 16 bits, so that every intermediate value stays exact in a double.
  const quotientHigh = Math.floor(high / BILLION);
  const first = (high - quotientHigh * BILLION) * 0x1_0000 + (low >>> 16);
  const quotientMiddle = Math.floor(first / BILLION);
  const second = (first - quotientMiddle * BILLION) * 0x1_0000 + (low & 0xffff);
  const quotientLow = Math.floor(second / BILLION);
  const quotient = quotientHigh * 0x1_0000_0000 + quotientMiddle * 0x1_0000 + quotientLow;
  const end = writeUnsigned(quotient, into, at) + 9;
  writePadded(second - quotientLow * BILLION, 9, into, end);
  return end;
}

/** Longest amount that `writeAmount` accepts. */
export const AMOUNT_TEXT_BYTES = 24;

/**
 * Writes an amount with exactly two decimals, as `toFixed(2)` does. Throws a RangeError for what is not a finite
 * number below 10^15.
 */
export function writeAmount(amount: number, into: Uint8Array, at: number): number {
  const cents = Math.round(amount * 100);
  // Amounts that are whole cents, as they should be, never become a string.
  if (cents >= 0 && cents < BILLION && Math.abs(amount * 100 - cents) < 1e-6 && !Object.is(amount, -0)) {
    const whole = Math.floor(cents / 100);
    const point = writeUnsigned(whole, into, at);
    into[point] = 0x2e;
    writePadded(cents - whole * 100, 2, into, point + 3);
    return point + 3;
  }
  if (!(Math.abs(amount) < 1e15)) throw new RangeError(`${amount} cannot be an amount`);
  const text = amount.toFixed(2);
  for (let i = 0; i < text.length; i += 1) into[at + i] = text.charCodeAt(i);
  return at + text.length;
}
