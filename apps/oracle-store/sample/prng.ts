/**
 * The sample world's randomness: sfc32 (Chris Doty-Humphrey's small fast counting generator, 32-bit), seeded through
 * splitmix32 from a 64-bit seed and a stream name, so that each part of the world has a stream of its own and adding
 * one part does not reshuffle the others. 32-bit integer arithmetic only: the same sequence on every platform.
 */

export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is a uint64; `stream` any name. */
  constructor(seed: bigint, stream: string) {
    // FNV-1a spreads the stream's name over the seed's two halves.
    let hash = 0x811c9dc5;
    for (let i = 0; i < stream.length; i += 1) {
      hash = Math.imul(hash ^ stream.charCodeAt(i), 0x01000193);
    }
    let state = (Number(seed & 0xffffffffn) ^ hash) >>> 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let z = state ^ (state >>> 16);
      z = Math.imul(z, 0x21f0aaad);
      z ^= z >>> 15;
      z = Math.imul(z, 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#a = next();
    state = (state ^ Number((seed >> 32n) & 0xffffffffn)) | 0;
    this.#b = next();
    this.#c = next();
    for (let i = 0; i < 12; i += 1) this.uint32();
  }

  /** 0 … 2^32-1. */
  uint32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** [0, 1). */
  unit(): number {
    return this.uint32() / 4294967296;
  }

  /** [low, high). */
  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** 0 … n-1. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  /** Standard normal (Box-Muller, one of the pair). */
  normal(): number {
    const u = 1 - this.unit();
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * this.unit());
  }

  /** exp(mu + sigma · normal). */
  logNormal(mu: number, sigma: number): number {
    return Math.exp(mu + sigma * this.normal());
  }
}

/** Draws an index with a probability in proportion to its weight: Walker's alias method, constant time. */
export class WeightedChoice {
  readonly #probability: Float64Array;
  readonly #alias: Int32Array;

  constructor(weights: ArrayLike<number>) {
    const n = weights.length;
    if (n === 0) throw new RangeError('nothing to choose from');
    this.#probability = new Float64Array(n);
    this.#alias = new Int32Array(n);
    let total = 0;
    for (let i = 0; i < n; i += 1) total += weights[i]!;
    const scaled = new Float64Array(n);
    const small: number[] = [];
    const large: number[] = [];
    for (let i = 0; i < n; i += 1) {
      scaled[i] = (weights[i]! * n) / total;
      (scaled[i]! < 1 ? small : large).push(i);
    }
    while (small.length > 0 && large.length > 0) {
      const less = small.pop()!;
      const more = large.at(-1)!;
      this.#probability[less] = scaled[less]!;
      this.#alias[less] = more;
      scaled[more] = scaled[more]! - (1 - scaled[less]!);
      if (scaled[more] < 1) small.push(large.pop()!);
    }
    for (const rest of [...small, ...large]) this.#probability[rest] = 1;
  }

  draw(random: Prng): number {
    const i = random.below(this.#probability.length);
    return random.unit() < this.#probability[i]! ? i : this.#alias[i]!;
  }
}
