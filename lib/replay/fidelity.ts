/**
 * How close a replay keeps to its schedule: the distribution of actual minus scheduled send time.
 *
 * A log-linear histogram in microseconds (32 buckets per power of two, so a quantile is at most 3 % above the truth),
 * a fixed 8 kB whatever the number of rows.
 */

const SUB_BITS = 5;
const SUB_BUCKETS = 1 << SUB_BITS;
/** Values from 2^31 microseconds (36 minutes) on share the last bucket. */
const BUCKETS = (31 - SUB_BITS + 1) * SUB_BUCKETS;

export interface FidelitySummary {
  /** Rows that had a schedule. */
  readonly count: number;
  /** Milliseconds behind schedule; a row is never early. */
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

export class Fidelity {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #maxMs = 0;

  /** Records one row. Being early by clock granularity counts as on time. */
  record(lateMs: number): void {
    const late = lateMs > 0 ? lateMs : 0;
    if (late > this.#maxMs) this.#maxMs = late;
    this.#count += 1;
    const index = bucketOf(Math.min(Math.floor(late * 1000), 0x7fff_ffff));
    this.#counts[index] = this.#counts[index]! + 1;
  }

  /** Upper bound in milliseconds of the quantile, 0 < q <= 1; 0 when nothing was recorded. */
  quantile(q: number): number {
    let left = Math.ceil(this.#count * q);
    for (let index = 0; index < BUCKETS && left > 0; index += 1) {
      left -= this.#counts[index]!;
      if (left <= 0) return Math.min(upperMicros(index) / 1000, this.#maxMs);
    }
    return 0;
  }

  summary(): FidelitySummary {
    return {
      count: this.#count,
      p50_ms: this.quantile(0.5),
      p99_ms: this.quantile(0.99),
      max_ms: this.#maxMs,
    };
  }
}

function bucketOf(micros: number): number {
  if (micros < SUB_BUCKETS) return micros;
  const shift = 31 - SUB_BITS - Math.clz32(micros);
  return shift * SUB_BUCKETS + (micros >>> shift);
}

/** First value beyond a bucket. */
function upperMicros(index: number): number {
  if (index < SUB_BUCKETS) return index + 1;
  const shift = Math.floor(index / SUB_BUCKETS) - 1;
  return (index - shift * SUB_BUCKETS + 1) * 2 ** shift;
}
