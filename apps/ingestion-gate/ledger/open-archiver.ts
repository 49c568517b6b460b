/** Opens an archiver with connections of its own, waiting for the object store if need be. */
import { ObjectStore, type Logger } from '../../../lib/index.ts';
import { PartitionReader } from '../bus/partition-reader.ts';
import type { Settings } from '../../rails/index.ts';
import { ledgerPool } from './ledger-pool.ts';
import { ParquetWriter } from './parquet-file.ts';
import { pause } from './pause.ts';
import { SegmentArchiver, type ArchiveObserver } from './segment-archiver.ts';

export interface OpenArchiverOptions {
  readonly settings: Settings;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly observer: ArchiveObserver;
  /** See SegmentArchiverOptions. */
  readonly ledgerIdleMs: () => number;
  readonly idleFlushMs?: number;
}

export interface OpenArchiver {
  readonly archiver: SegmentArchiver;
  close(): Promise<void>;
}

const WAIT_MS = 2_000;

/** Makes sure that the platform's bucket exists. Undefined when stopped before it was there. */
export async function openArchiver(options: OpenArchiverOptions): Promise<OpenArchiver | undefined> {
  const { settings, logger, signal, ...rest } = options;
  const store = ObjectStore.connect(settings.objectStore);
  const { bucket } = settings.objectStore;
  while (!signal.aborted) {
    try {
      await store.ensureBucket(bucket);
      break;
    } catch (error) {
      logger.info({ reason: (error as Error).message }, 'waiting for the object store');
      await pause(WAIT_MS, signal);
    }
  }
  if (signal.aborted) {
    store.close();
    return undefined;
  }
  const pool = ledgerPool(settings.postgres.dsn, logger);
  const parquet = await ParquetWriter.open();
  return {
    archiver: new SegmentArchiver({
      ...rest,
      pool,
      logger,
      parquet,
      bucket: store.bucket(bucket),
      bus: new PartitionReader(settings.kafka.bootstrapServers),
    }),
    async close() {
      await parquet.close();
      await pool.end();
      store.close();
    },
  };
}

/** Archives every segment that is not archived yet, and says how many that were. */
export async function archiveAll(settings: Settings, logger: Logger, signal: AbortSignal): Promise<number> {
  const ignored = (): void => undefined;
  const opened = await openArchiver({
    settings,
    logger,
    signal,
    observer: { wrote: ignored, took: ignored, missed: ignored },
    ledgerIdleMs: () => Infinity,
    idleFlushMs: 0,
  });
  let segments = 0;
  try {
    while (opened !== undefined && !signal.aborted && (await opened.archiver.archiveNext())) segments += 1;
  } finally {
    await opened?.close();
  }
  return segments;
}
