/**
 * Avro arrays and maps that survive hostile bytes.
 *
 * avsc believes a block's count: nine bytes of garbage make it loop 2^60 times, a negative block size sends a skip
 * backwards for ever, and a map key `__proto__` replaces the object's prototype. Here a block may not claim more
 * items than bytes are left (or a fixed number, for items that take no bytes at all).
 */
import avsc from 'avsc';
import type { Tap } from './avro-number-types.ts';

/** The cursor with the methods of avsc that are used here. */
interface ReadingTap extends Tap {
  readLong(): number;
  readString(): string | undefined;
  skipString(): void;
}

interface Item {
  _read(tap: Tap): unknown;
  _skip(tap: Tap): void;
}

/** Most items of no bytes (nulls, empty records) in one block. */
const MOST_EMPTY_ITEMS = 65_536;

function blockCount(tap: ReadingTap): number {
  let count = tap.readLong();
  if (count < 0) {
    count = -count;
    if (tap.readLong() < 0) throw new Error('a block of negative size');
  }
  const left = tap.buf.length - tap.pos;
  if (count > MOST_EMPTY_ITEMS && count > left) throw new Error(`a block of ${count} items in ${left} bytes`);
  return count;
}

function skipItems(tap: ReadingTap, skipItem: () => void): void {
  for (let count = tap.readLong(); count !== 0; count = tap.readLong()) {
    if (count < 0) {
      const bytes = tap.readLong();
      if (bytes < 0) throw new Error('a block of negative size');
      tap.pos += bytes;
      continue;
    }
    if (count > MOST_EMPTY_ITEMS && count > tap.buf.length - tap.pos) {
      throw new Error(`a block of ${count} items in ${tap.buf.length - tap.pos} bytes`);
    }
    while (count-- > 0) skipItem();
  }
}

export class BoundedArrayType extends avsc.types.ArrayType {
  /** `this` may be a resolver, which has its own `itemsType`: that is how avsc reads evolved arrays. */
  _read(tap: ReadingTap): unknown[] {
    const items = this.itemsType as avsc.Type & Item;
    const values: unknown[] = [];
    for (let count = blockCount(tap); count !== 0; count = blockCount(tap)) {
      while (count-- > 0) values.push(items._read(tap));
    }
    return values;
  }

  _skip(tap: ReadingTap): void {
    const items = this.itemsType as avsc.Type & Item;
    skipItems(tap, () => {
      items._skip(tap);
    });
  }
}

export class BoundedMapType extends avsc.types.MapType {
  _read(tap: ReadingTap): Record<string, unknown> {
    const type = this.valuesType as Item;
    const values: Record<string, unknown> = {};
    for (let count = blockCount(tap); count !== 0; count = blockCount(tap)) {
      while (count-- > 0) {
        const key = tap.readString() ?? '';
        const value = type._read(tap);
        if (key === '__proto__') {
          Object.defineProperty(values, key, { value, enumerable: true, configurable: true, writable: true });
        } else {
          values[key] = value;
        }
      }
    }
    return values;
  }

  _skip(tap: ReadingTap): void {
    const type = this.valuesType as Item;
    skipItems(tap, () => {
      tap.skipString();
      type._skip(tap);
    });
  }
}
