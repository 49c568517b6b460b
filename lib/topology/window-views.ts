/** Looking into windowed tables by key and window. */
import type { SessionStore } from '../state/session-store.ts';
import type { StateStore, StoreSpec } from '../state/state-store.ts';
import type { WindowStore } from '../state/window-store.ts';
import { TopologyError } from './graph.ts';
import type { TableView } from './plan.ts';
import type { Timestamped } from './timestamped.ts';
import type { Windowed } from './windows.ts';

export function windowView(spec: StoreSpec<StateStore>): TableView {
  return {
    versioned: false,
    stores: () => [spec],
    open(environment) {
      const store = environment.store(spec.name) as WindowStore<unknown, Timestamped<unknown>>;
      return {
        get(key) {
          const windowed = key as Windowed<unknown>;
          return store.get(windowed.key, windowed.window.start) ?? null;
        },
        getAsOf: noHistory,
      };
    },
  };
}

/** A session's time is its end. */
export function sessionView(spec: StoreSpec<StateStore>): TableView {
  return {
    versioned: false,
    stores: () => [spec],
    open(environment) {
      const store = environment.store(spec.name) as SessionStore<unknown, unknown>;
      return {
        get(key) {
          const { key: inner, window } = key as Windowed<unknown>;
          const value = store.get(inner, window.start, window.end);
          return value === undefined ? null : { value, timestamp: window.end };
        },
        getAsOf: noHistory,
      };
    },
  };
}

function noHistory(): never {
  throw new TopologyError('a windowed table keeps no history: it cannot be read as of a time');
}
