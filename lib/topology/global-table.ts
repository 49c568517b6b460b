/** A table that every instance holds whole, so that streams look it up by any key, without co-partitioning. */
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { GlobalSpec } from './graph.ts';

export class GlobalTable<K, V> {
  /** @internal */
  readonly spec: GlobalSpec;
  /** Only in the types: what the table maps. */
  declare readonly entries: (key: K) => V;

  /** @internal Use StreamBuilder.globalTable(). */
  constructor(spec: GlobalSpec) {
    this.spec = spec;
  }

  /** Its store, for queries. */
  get store(): StoreSpec<StateStore> {
    return this.spec.store;
  }
}
