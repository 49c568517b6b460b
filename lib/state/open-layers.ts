/** Opens the layers of an ordered store, the committed one in memory or on disk. */
import { MemoryLayer, type CommittedLayer, type TimeOf } from './committed-layer.ts';
import { LayeredBytes } from './layered-bytes.ts';
import { openLmdbLayer } from './lmdb-layer.ts';
import type { StorageKind, StoreEnvironment } from './state-store.ts';
import { StoreDirectory } from './store-directory.ts';

export interface LayersOptions {
  readonly name: string;
  /** The kind of store and whatever else of the library decides what its bytes mean. */
  readonly type: string;
  /** The application's version of what the store's serdes write. */
  readonly formatVersion: number;
  readonly storage: StorageKind;
  /** Whether there is a changelog. What is on disk is found again only with one. */
  readonly logged: boolean;
  readonly timeOf: TimeOf | null;
}

/** Throws StoreLockedError when another owner has the store's folder. */
export function openLayers(options: LayersOptions, environment: StoreEnvironment): LayeredBytes {
  const { name, timeOf, storage } = options;
  const committed = storage === 'disk' ? openDisk(options, environment) : new MemoryLayer(timeOf);
  return new LayeredBytes({ name, committed, environment, timeOf });
}

function openDisk(options: LayersOptions, environment: StoreEnvironment): CommittedLayer {
  const { name, type, formatVersion, logged, timeOf } = options;
  const directory = new StoreDirectory(environment.directory(name), {
    application: environment.applicationId,
    store: name,
    partition: environment.partition,
    type,
    formatVersion,
  });
  try {
    const { layer, wiped } = openLmdbLayer(directory, timeOf);
    if (wiped !== null) environment.wiped?.(name, wiped);
    // Without a changelog nothing says whether a commit that a crash fell into is in the files.
    if (!logged) layer.wipe();
    return layer;
  } catch (error) {
    directory.release();
    throw error;
  }
}
