/**
 * The scalar types of the contracts (hex64, uint64, token …) as checks that run once per record and field
 * and allocate nothing.
 */

const HEX_64 = /^[a-f0-9]{64}$/;
const HEX_32 = /^[a-f0-9]{32}$/;

/** 64 lower-case hex digits. */
export function isHex64(text: string): boolean {
  return text.length === 64 && HEX_64.test(text);
}

/** 32 lower-case hex digits. */
export function isHex32(text: string): boolean {
  return text.length === 32 && HEX_32.test(text);
}

const UINT64_MAX = '18446744073709551615';

/** A decimal 0 … 2^64-1 in its only spelling: no sign, no leading zero. */
export function isUint64(text: string): boolean {
  const length = text.length;
  if (length === 0 || length > 20) return false;
  if (length > 1 && text.charCodeAt(0) === 48) return false;
  for (let i = 0; i < length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 48 || code > 57) return false;
  }
  return length < 20 || text <= UINT64_MAX;
}

/** A decimal 1 … 2^64-1: the ids of merchants, flows, parties and the like. */
export function isId64(text: string): boolean {
  return isUint64(text) && text !== '0';
}

/** `platform_YYYYMMDDTHHMMSSZ`, digits unchecked against the calendar (parsePlatformRunId does that). */
export function isPlatformRunId(text: string): boolean {
  return PLATFORM_RUN_ID.test(text);
}

const PLATFORM_RUN_ID = /^platform_[0-9]{8}T[0-9]{6}Z$/;

/** 1-128 of letters, digits, `_`, `.`, `-`: names that go into paths. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

const TOKEN = /^[A-Za-z0-9_.-]{1,128}$/;

/**
 * Text of 1 to `most` characters without U+0000, which neither PostgreSQL's text nor a C client can hold.
 * Characters are UTF-16 code units.
 */
export function isText(text: string, most: number): boolean {
  return text.length >= 1 && text.length <= most && !text.includes('\u0000');
}
