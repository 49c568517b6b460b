/** Drives a store and a plain model of it through the same commits, aborts, restarts and restores. */
import fc from 'fast-check';
import type { StateStore, StoreSpec } from '../../../lib/state/state-store.ts';
import { Changelog, TestEnvironment } from './changelog.ts';

/** What moves a store through its layers, apart from the writes of its own kind. */
export type Step =
  | { readonly step: 'seal' }
  | { readonly step: 'apply' }
  | { readonly step: 'abort' }
  /** Closes the store and opens it again, with the uncommitted layers gone. */
  | { readonly step: 'restart' }
  /** The transaction commits, and the process dies before the store has applied it. */
  | { readonly step: 'restart before apply' }
  /** Restores again from an earlier offset than needed. */
  | { readonly step: 'replay'; readonly from: number }
  | { readonly step: 'wipe' };

export const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ step: 'seal' } as const) },
  { weight: 4, arbitrary: fc.constant({ step: 'apply' } as const) },
  { weight: 2, arbitrary: fc.constant({ step: 'abort' } as const) },
  { weight: 1, arbitrary: fc.constant({ step: 'restart' } as const) },
  { weight: 1, arbitrary: fc.constant({ step: 'restart before apply' } as const) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('replay' as const), from: fc.nat(1000) }) },
  { weight: 1, arbitrary: fc.constant({ step: 'wipe' } as const) },
);

export class StoreHistory<S extends StateStore, M> {
  store: S;
  /** What the store must show, uncommitted writes included, and what its committed layer must show. */
  model: M;
  committed: M;
  readonly environment = new TestEnvironment();
  readonly changelog = new Changelog();
  readonly #spec: StoreSpec<S>;
  readonly #copy: (model: M) => M;
  #sealed: M | null = null;

  constructor(spec: StoreSpec<S>, empty: M, copy: (model: M) => M) {
    this.#spec = spec;
    this.#copy = copy;
    this.store = spec.create(this.environment);
    this.model = copy(empty);
    this.committed = copy(empty);
  }

  take(step: Step): void {
    switch (step.step) {
      case 'seal':
        this.#seal();
        break;
      case 'apply':
        this.#apply();
        break;
      case 'abort':
        this.changelog.abort();
        this.store.abort();
        this.#dropUncommitted();
        break;
      case 'restart':
        this.changelog.abort();
        this.#dropUncommitted();
        this.#restart();
        break;
      case 'restart before apply':
        this.#seal();
        this.changelog.commit();
        this.committed = this.#sealed!;
        this.#dropUncommitted();
        this.#restart();
        break;
      case 'replay':
        this.#apply();
        this.store.abort();
        this.#dropUncommitted();
        this.changelog.restoreInto(this.store, step.from % (this.changelog.records.length + 1));
        break;
      case 'wipe':
        this.changelog.abort();
        this.#dropUncommitted();
        this.store.wipe();
        this.changelog.restoreInto(this.store, 0);
        break;
    }
  }

  end(): void {
    this.store.close();
    this.environment.remove();
  }

  #seal(): void {
    this.#apply();
    this.store.seal(this.changelog);
    this.#sealed = this.#copy(this.model);
  }

  #apply(): void {
    if (this.#sealed === null) return;
    this.store.apply(this.changelog.commit());
    this.committed = this.#sealed;
    this.#sealed = null;
  }

  #dropUncommitted(): void {
    this.model = this.#copy(this.committed);
    this.#sealed = null;
  }

  #restart(): void {
    this.store.close();
    this.store = this.#spec.create(this.environment);
    this.changelog.restoreInto(this.store);
  }
}
