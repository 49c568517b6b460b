/**
 * The one canonical JSON that every digest of the platform is taken over: RFC 8785 (keys in UTF-16 code unit
 * order, no whitespace, shortest escapes, non-ASCII as it is) with one rule on top: 64-bit integers and amounts
 * travel as strings, so a bigint is written as a decimal string and a number must be exact.
 */

/** What can be written canonically. Object properties that are undefined are left out, as JSON does. */
export type CanonicalValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly CanonicalValue[]
  | { readonly [key: string]: CanonicalValue | undefined };

/** A value that has no canonical form; the message names the path and what to do. */
export class CanonicalJsonError extends Error {
  override readonly name = 'CanonicalJsonError';
}

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;

/**
 * A string literal. Printable ASCII without `"` and `\`, which is what ids, digests and times are, is quoted
 * without a call into the JSON writer. Throws CanonicalJsonError for a lone surrogate: it has no UTF-8 form.
 */
export function canonicalString(text: string): string {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return escapedString(text);
  }
  return '"' + text + '"';
}

function escapedString(text: string): string {
  if (LONE_SURROGATE.test(text)) {
    throw new CanonicalJsonError(`a string with a lone surrogate has no UTF-8 form: ${JSON.stringify(text)}`);
  }
  return JSON.stringify(text);
}

/**
 * A number as ECMAScript writes it (RFC 8785 §3.2.2.3; -0 is 0). Throws for NaN and the infinities, and for whole
 * numbers beyond 2^53, which may have lost bits already: those are written as bigint or decimal string.
 */
export function canonicalNumber(value: number, path = '$'): string {
  if (!Number.isFinite(value)) throw new CanonicalJsonError(`${path}: ${value} is not a JSON number`);
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new CanonicalJsonError(`${path}: ${value} is beyond 2^53; give it as a bigint or a decimal string`);
  }
  return String(value === 0 ? 0 : value);
}

/** The canonical text of a value; hash it as UTF-8. */
export function canonicalJson(value: CanonicalValue): string {
  return write(value, '$');
}

function write(value: CanonicalValue | undefined, path: string): string {
  switch (typeof value) {
    case 'string':
      return canonicalString(value);
    case 'number':
      return canonicalNumber(value, path);
    case 'bigint':
      return '"' + value.toString() + '"';
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      if (value === null) return 'null';
      return Array.isArray(value)
        ? writeArray(value as readonly CanonicalValue[], path)
        : writeObject(value as Readonly<Record<string, CanonicalValue | undefined>>, path);
    default:
      throw new CanonicalJsonError(`${path}: a value of type ${typeof value} has no JSON form`);
  }
}

function writeArray(values: readonly CanonicalValue[], path: string): string {
  let text = '[';
  for (let i = 0; i < values.length; i += 1) {
    text += (i === 0 ? '' : ',') + write(values[i], `${path}[${i}]`);
  }
  return text + ']';
}

function writeObject(value: Readonly<Record<string, CanonicalValue | undefined>>, path: string): string {
  const prototype = Object.getPrototypeOf(value) as object | null;
  if (prototype !== null && prototype !== Object.prototype && !isPlainClass(prototype)) {
    throw new CanonicalJsonError(`${path}: ${prototype.constructor.name} has no JSON form; convert it first`);
  }
  let text = '{';
  // Array.prototype.sort without a comparator orders by UTF-16 code units, as RFC 8785 asks.
  for (const key of Object.keys(value).sort()) {
    const member = value[key];
    if (member === undefined) continue;
    text += (text.length === 1 ? '' : ',') + canonicalString(key) + ':' + write(member, `${path}.${key}`);
  }
  return text + '}';
}

/** Record classes that avsc makes hold plain data; Date, Map, Buffer and the like do not. */
function isPlainClass(prototype: object): boolean {
  return !BUILT_IN.some((type) => prototype === type.prototype || prototype instanceof type);
}

const BUILT_IN = [Date, Map, Set, RegExp, Uint8Array, ArrayBuffer, Promise, Error];
