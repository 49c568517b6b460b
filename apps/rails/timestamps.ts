/**
 * Times as the platform writes them: `micros` text, `2026-01-01T00:00:00.000000Z`, always UTC with exactly six
 * fractional digits, so that text order is time order.
 */

const ZERO = 48;

function digits(text: string, start: number, count: number): number {
  let value = 0;
  for (let i = start; i < start + count; i += 1) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

const DAYS = [0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

function daysIn(year: number, month: number): number {
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);
  return leap ? 29 : DAYS[month]!;
}

/** True for a `micros` text that names an existing instant (no 30 February, no hour 24, no leap second). */
export function isMicros(text: string): boolean {
  if (
    text.length !== 27 ||
    text.charCodeAt(4) !== 0x2d ||
    text.charCodeAt(7) !== 0x2d ||
    text.charCodeAt(10) !== 0x54 ||
    text.charCodeAt(13) !== 0x3a ||
    text.charCodeAt(16) !== 0x3a ||
    text.charCodeAt(19) !== 0x2e ||
    text.charCodeAt(26) !== 0x5a
  ) {
    return false;
  }
  const year = digits(text, 0, 4);
  const month = digits(text, 5, 2);
  if (year < 0 || month < 1 || month > 12) return false;
  const day = digits(text, 8, 2);
  if (day < 1 || day > daysIn(year, month)) return false;
  return (
    inRange(digits(text, 11, 2), 23) &&
    inRange(digits(text, 14, 2), 59) &&
    inRange(digits(text, 17, 2), 59) &&
    digits(text, 20, 6) >= 0
  );
}

function inRange(value: number, most: number): boolean {
  return value >= 0 && value <= most;
}

/**
 * Milliseconds since the epoch of a valid `micros` text, rounded down: the event time that windows and pacing
 * use. The text must be valid (`isMicros`); anything else gives a meaningless number.
 */
export function microsToEpochMillis(text: string): number {
  const seconds = epochSeconds(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2), text);
  return seconds * 1000 + digits(text, 20, 3);
}

/** Microseconds since the epoch of a valid `micros` text. */
export function microsToEpochMicros(text: string): bigint {
  const seconds = epochSeconds(digits(text, 0, 4), digits(text, 5, 2), digits(text, 8, 2), text);
  return BigInt(seconds) * 1_000_000n + BigInt(digits(text, 20, 6));
}

/** Civil date to days (Howard Hinnant's algorithm): Date.parse costs ten times as much and stops at milliseconds. */
function epochSeconds(year: number, month: number, day: number, text: string): number {
  const y = month <= 2 ? year - 1 : year;
  const era = Math.floor(y / 400);
  const yearOfEra = y - era * 400;
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1;
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear;
  const days = era * 146_097 + dayOfEra - 719_468;
  return days * 86_400 + digits(text, 11, 2) * 3600 + digits(text, 14, 2) * 60 + digits(text, 17, 2);
}

/** `micros` text of an instant given in microseconds since the epoch. Throws outside the years 0000-9999. */
export function epochMicrosToMicros(epochMicros: bigint): string {
  const millis = epochMicros >= 0n ? epochMicros / 1000n : (epochMicros - 999n) / 1000n;
  const rest = epochMicros - millis * 1000n;
  const iso = new Date(Number(millis)).toISOString();
  if (iso.length !== 24) throw new RangeError(`${epochMicros.toString()} us is outside the years 0000-9999`);
  return iso.slice(0, 23) + rest.toString().padStart(3, '0') + 'Z';
}

/** `micros` text of an instant given in milliseconds since the epoch; the wall clock's now by default. */
export function epochMillisToMicros(epochMillis: number = Date.now()): string {
  const iso = new Date(epochMillis).toISOString();
  if (iso.length !== 24) throw new RangeError(`${epochMillis} ms is outside the years 0000-9999`);
  return iso.slice(0, 23) + '000Z';
}
