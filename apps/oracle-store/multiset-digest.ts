/**
 * A digest of a set of rows that ignores their order, and that any language can compute.
 *
 * A row's canonical text is the text of its columns in ascending order of their names, joined by U+001F. A null is
 * U+0000; integers are decimal; booleans `true` and `false`; doubles have 17 fractional digits and an exponent of at
 * least two digits (C's `%.17e`); text is itself. The row's hash is the first 128 bits of the text's sha256, read as a
 * big-endian integer. The digest is the sum of all row hashes modulo 2^128, as 32 hex digits.
 *
 * Sums make it independent of order and of how rows are cut into parts or sorted in chunks; equal sums of different
 * multisets would need a collision in the sums of 128-bit hashes.
 */
import { createHash } from 'node:crypto';

export const SEPARATOR = '\u001f';
export const NULL_TEXT = '\u0000';
const MASK_128 = (1n << 128n) - 1n;

/** Sums row hashes; 32-bit lanes in doubles, so that no bigint is touched per row. */
export class MultisetDigest {
  rows = 0;
  #sum = 0n;
  #lane0 = 0;
  #lane1 = 0;
  #lane2 = 0;
  #lane3 = 0;
  #pending = 0;

  /** Adds a row by its canonical text. */
  add(rowText: string): void {
    const hash = createHash('sha256').update(rowText).digest();
    this.#lane0 += hash.readUInt32BE(0);
    this.#lane1 += hash.readUInt32BE(4);
    this.#lane2 += hash.readUInt32BE(8);
    this.#lane3 += hash.readUInt32BE(12);
    this.rows += 1;
    // 2^20 additions of 32 bits stay exact in a double.
    if (++this.#pending === 1 << 20) this.#carry();
  }

  /** 32 hex digits. */
  hex(): string {
    this.#carry();
    return toHex(this.#sum);
  }

  #carry(): void {
    const lanes = [this.#lane0, this.#lane1, this.#lane2, this.#lane3];
    let sum = 0n;
    for (const lane of lanes) sum = (sum << 32n) + BigInt(lane);
    this.#sum = (this.#sum + sum) & MASK_128;
    this.#lane0 = this.#lane1 = this.#lane2 = this.#lane3 = this.#pending = 0;
  }
}

function toHex(sum: bigint): string {
  return (sum & MASK_128).toString(16).padStart(32, '0');
}

/** The digest from SQL's two sums: of the upper and of the lower 64 bits of every row hash. */
export function digestOfSums(upper: bigint, lower: bigint): string {
  return toHex((upper << 64n) + lower);
}

/** A double's canonical text. */
export function doubleText(value: number): string {
  const text = value.toExponential(17);
  const at = text.indexOf('e') + 2;
  return text.length - at >= 2 ? text : text.slice(0, at) + '0' + text.slice(at);
}

export interface SqlColumn {
  readonly name: string;
  readonly isDouble: boolean;
}

/** SQL over `source` (a FROM item): row count, the two sums for `digestOfSums`. */
export function digestSql(columns: readonly SqlColumn[], source: string): string {
  const texts = [...columns]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, isDouble }) => {
      const quoted = `"${name}"`;
      const value = isDouble ? `printf('%.17e', ${quoted})` : `${quoted}::VARCHAR`;
      return `coalesce(${value}, chr(0))`;
    });
  return (
    'SELECT count(*) AS row_count, ' +
    `coalesce(sum(('0x' || substr(h, 1, 16))::UBIGINT), 0) AS upper_sum, ` +
    `coalesce(sum(('0x' || substr(h, 17, 16))::UBIGINT), 0) AS lower_sum ` +
    `FROM (SELECT sha256(concat_ws(chr(31), ${texts.join(', ')})) AS h FROM ${source})`
  );
}
