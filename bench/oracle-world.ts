/**
 * How long a world takes from nothing to replayable, stage by stage, and the process's peak memory. Needs a running
 * stack (S3_ENDPOINT, ORACLE_S3_ACCESS_KEY, ORACLE_S3_SECRET_KEY).
 *
 *   npx tsx bench/oracle-world.ts [events, default 500000]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareWorld } from '../apps/oracle-store/index.ts';
import { ObjectStore } from '../lib/index.ts';

const events = Number(process.argv[2] ?? 500_000);
const { S3_ENDPOINT, ORACLE_S3_ACCESS_KEY, ORACLE_S3_SECRET_KEY } = process.env;
if (S3_ENDPOINT === undefined || ORACLE_S3_ACCESS_KEY === undefined || ORACLE_S3_SECRET_KEY === undefined) {
  throw new Error('S3_ENDPOINT, ORACLE_S3_ACCESS_KEY and ORACLE_S3_SECRET_KEY must be set');
}
const store = ObjectStore.connect({
  endpoint: S3_ENDPOINT,
  accessKey: ORACLE_S3_ACCESS_KEY,
  secretKey: ORACLE_S3_SECRET_KEY,
});
const bucket = `oracle-store-bench-${process.pid}`;
const folder = await mkdtemp(join(tmpdir(), 'oracle-bench-'));
await store.ensureBucket(bucket);
try {
  const { views, seconds } = await prepareWorld(store, {
    bucket,
    sample: { events, seed: '42', days: 1, start: '2025-01-06' },
    folder: join(folder, 'world'),
    modes: ['fraud'],
  });
  const peakMiB = Math.round(process.resourceUsage().maxRSS / 1024);
  const rows = views.reduce((sum, view) => sum + view.rows, 0);
  process.stdout.write(JSON.stringify({ events, rows, seconds, peakMiB }, null, 2) + '\n');
} finally {
  for await (const { key } of store.bucket(bucket).list('')) await store.bucket(bucket).remove(key);
  await store.removeBucket(bucket);
  store.close();
  await rm(folder, { recursive: true, force: true });
}
