/** Partition counts, remembered for a while: they only grow, and rarely. */
const KEPT_MS = 30_000;

export class PartitionCountCache {
  readonly #counts = new Map<string, { readonly count: number; readonly until: number }>();

  /** The known count, or the one that `fetch` answers. Failures are not remembered. */
  async get(topic: string, fetch: () => Promise<number>): Promise<number> {
    const known = this.#counts.get(topic);
    if (known !== undefined && known.until > performance.now()) return known.count;
    const count = await fetch();
    this.#counts.set(topic, { count, until: performance.now() + KEPT_MS });
    return count;
  }
}
