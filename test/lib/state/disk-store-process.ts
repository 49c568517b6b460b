/**
 * The process that disk-store.test.ts kills: it folds a changelog that both know into a disk store, commit by
 * commit, without end, and says so when it has begun. Arguments: the folder.
 */
import { jsonSerde, stringSerde } from '../../../lib/serde/serde.ts';
import { keyValueStore } from '../../../lib/state/key-value-store.ts';
import { TestEnvironment } from './changelog.ts';

export const RECORDS_PER_COMMIT = 500;

export const spec = keyValueStore('counts', {
  key: stringSerde,
  value: jsonSerde<number>(),
  storage: 'disk',
});

/** Record `offset` of the changelog: every key comes again and again, and every seventh record deletes. */
export function recordAt(offset: number): { readonly key: string; readonly value: number | null } {
  return { key: `key-${(offset * 7919) % 3001}`, value: offset % 7 === 0 ? null : offset };
}

if (process.argv[2] !== undefined) {
  const store = spec.create(new TestEnvironment(process.argv[2]));
  let offset = store.checkpoint ?? 0;
  for (let commit = 0; ; commit++) {
    for (let i = 0; i < RECORDS_PER_COMMIT; i++, offset++) {
      const { key, value } = recordAt(offset);
      if (value === null) store.delete(key);
      else store.put(key, value);
    }
    store.seal(null);
    store.apply(offset);
    if (commit === 3) process.stdout.write('running\n');
  }
}
