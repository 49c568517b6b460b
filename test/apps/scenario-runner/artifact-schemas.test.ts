import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { ArtifactError, artifactIndex, artifactProblems, checkArtifact } from '../../../apps/rails/index.ts';

const FOLDER = fileURLToPath(new URL('../../../schemas/artifacts/', import.meta.url));

test('every schema of an artifact is in the index, and the index names no other', (t) => {
  const files = readdirSync(FOLDER).filter(
    (file) => file !== 'index.json' && file !== 'definitions.schema.json',
  );
  t.deepEqual(
    artifactIndex()
      .map((entry) => entry.schema)
      .sort(),
    files.sort(),
  );
});

test('every schema compiles, and none takes an empty object for its document', (t) => {
  for (const { name } of artifactIndex()) t.not(artifactProblems(name, {}).length, 0, name);
});

const STATUS = {
  run_id: 'a'.repeat(32),
  state: 'READY',
  updated_at_utc: '2026-01-01T00:00:00.000000Z',
  record_ref: 's3://bucket/record.jsonl',
};

test('a document is closed: an unknown field is a fault that is named', (t) => {
  t.deepEqual(artifactProblems('run_status', STATUS), []);
  const error = t.throws(
    () => {
      checkArtifact('run_status', { ...STATUS, colour: 'red' }, 'the status');
    },
    {
      instanceOf: ArtifactError,
    },
  );
  t.regex(error.message, /the status is not a valid run_status.*'colour'/);
});

test('scalars are strict: a time without microseconds and an upper-case digest are faults', (t) => {
  t.is(artifactProblems('run_status', { ...STATUS, updated_at_utc: '2026-01-01T00:00:00Z' }).length, 1);
  t.is(artifactProblems('run_status', { ...STATUS, run_id: 'A'.repeat(32) }).length, 1);
});

test('an unknown artifact is an error that lists those there are', (t) => {
  t.throws(() => artifactProblems('no_such', {}), { message: /run_facts_view/ });
});
