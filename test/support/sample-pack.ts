/**
 * A small sealed world for platform tests. It is external truth to the platform, and the same for every test of a
 * seed, so it is made once per stack and kept.
 */
import { join } from 'node:path';
import pg from 'pg';
import { prepareWorld, sampleIdentity } from '../../apps/oracle-store/index.ts';
import type { Settings } from '../../apps/rails/index.ts';
import { ObjectStore } from '../../lib/index.ts';

export const TEST_ORACLE_BUCKET = 'oracle-store-tests';

/** Long before any test runs: event time is not wall time. */
const START = '2025-01-06';

export interface SamplePack {
  readonly root: string;
  readonly seed: string;
  readonly manifestFingerprint: string;
}

/** Makes the world, packs, seals and views it for both traffic modes, unless that has been done. */
export async function samplePack(settings: Settings, seed: string, events: number): Promise<SamplePack> {
  const { writer, bucket } = settings.oracleStore;
  if (writer === undefined) {
    throw new Error(
      'ORACLE_S3_ACCESS_KEY is not set: run the tests with `make test`, or load `fp stack env`',
    );
  }
  const sample = { events, seed, days: 1, start: START };
  const { runId, world } = sampleIdentity(sample);
  const store = ObjectStore.connect({
    endpoint: settings.objectStore.endpoint,
    accessKey: writer.accessKey,
    secretKey: writer.secretKey,
  });
  try {
    return await whileAlone(settings.postgres.dsn, `sample-pack ${runId}`, async () => {
      await store.ensureBucket(bucket);
      const prepared = await prepareWorld(store, {
        bucket,
        sample,
        folder: join(settings.stateDir, 'oracle', 'engine', runId),
        modes: ['fraud', 'baseline'],
      });
      return { root: prepared.pack_root, seed, manifestFingerprint: world.manifest_fingerprint };
    });
  } finally {
    store.close();
  }
}

/** Test files run side by side, and a world is made by one of them at a time. */
async function whileAlone<T>(dsn: string, name: string, work: () => Promise<T>): Promise<T> {
  const client = new pg.Client(dsn);
  await client.connect();
  try {
    await client.query('select pg_advisory_lock(hashtextextended($1, 0))', [name]);
    return await work();
  } finally {
    await client.end();
  }
}
