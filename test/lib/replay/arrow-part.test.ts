import { Float64, Int64, TimestampMicrosecond, Utf8, Bool, Dictionary, Int32 } from 'apache-arrow';
import test from 'ava';

import { readArrowPart, type PartBytes } from '../../../lib/replay/arrow-part.ts';
import { boolAt, int64At, isNull, type Column, type Utf8Column } from '../../../lib/replay/columns.ts';
import { arrowPart, readBatches, vectorFromArray, type Columns } from './arrow-fixture.ts';

const options = { name: 'part-000000.arrow', timeColumn: 'ts_utc' };

function rows(from: number, count: number): Columns {
  const index = Array.from({ length: count }, (_, i) => from + i);
  return {
    ts_utc: vectorFromArray(
      index.map((i) => new Date(Date.UTC(2026, 0, 1, 0, 0, i)).toISOString().replace('Z', '000Z')),
      new Utf8(),
    ),
    flow_id: vectorFromArray(
      index.map((i) => 9_007_199_254_740_993n * BigInt(i % 2 === 0 ? 1 : -1) + BigInt(i)),
      new Int64(),
    ),
    amount: vectorFromArray(
      index.map((i) => i / 4),
      new Float64(),
    ),
    fraud_flag: vectorFromArray(
      index.map((i) => i % 3 === 0),
      new Bool(),
    ),
    site_id: vectorFromArray(
      index.map((i) => (i % 2 === 0 ? null : BigInt(i))),
      new Int64(),
    ),
  };
}

function text(column: Column, row: number): string {
  const { bytes, offsets } = column as Utf8Column;
  return Buffer.from(bytes.subarray(offsets[row], offsets[row + 1])).toString();
}

test('every column of a part reads as it was written, batch by batch', async (t) => {
  const batches = await readBatches(arrowPart([rows(0, 5), rows(5, 3)]), options);
  t.deepEqual(
    batches.map((batch) => batch.rows),
    [5, 3],
  );
  let index = 0;
  for (const { columns, time, rows: count } of batches) {
    for (let row = 0; row < count; row += 1, index += 1) {
      t.is(time[row], Date.UTC(2026, 0, 1, 0, 0, index) * 1000);
      t.is(text(columns.get('ts_utc')!, row), `2026-01-01T00:00:0${index}.000000Z`);
      const flow = columns.get('flow_id')!;
      t.true(flow.kind === 'int64');
      if (flow.kind === 'int64') {
        t.is(int64At(flow, row), 9_007_199_254_740_993n * BigInt(index % 2 === 0 ? 1 : -1) + BigInt(index));
      }
      const amount = columns.get('amount')!;
      t.is(amount.kind === 'float64' ? amount.values[row] : undefined, index / 4);
      const flag = columns.get('fraud_flag')!;
      t.is(flag.kind === 'bool' ? boolAt(flag, row) : undefined, index % 3 === 0);
      t.is(isNull(columns.get('site_id')!, row), index % 2 === 0);
    }
  }
});

test('dictionary text reads through its indices', async (t) => {
  const kinds = ['AUTH_REQUEST', 'CLEARING', 'AUTH_REQUEST'];
  const type = new Dictionary(new Utf8(), new Int32());
  const [batch] = await readBatches(
    arrowPart([{ ts_utc: rows(0, 3)['ts_utc']!, kind: vectorFromArray(kinds, type) }]),
    options,
  );
  const kind = batch!.columns.get('kind')!;
  t.true(kind.kind === 'dictionary');
  if (kind.kind !== 'dictionary') return;
  t.deepEqual(
    kinds.map((_, row) => kind.entries[kind.indices[row]!]!.toString()),
    kinds,
  );
});

test('a part reads alike from a buffer at any address', async (t) => {
  const part = arrowPart([rows(0, 4)]);
  const shifted = Buffer.alloc(part.length + 3);
  part.copy(shifted, 3);
  const [batch] = await readBatches(shifted.subarray(3), options);
  t.is(batch!.rows, 4);
});

test('a timestamp column of microseconds gives the moment without loss', async (t) => {
  const ts_utc = vectorFromArray([1_767_225_600_000_001n, 1_767_225_600_000_002n], new Int64());
  const data = ts_utc.data[0]!;
  const stamps = vectorFromArray([0, 0], new TimestampMicrosecond());
  stamps.data[0]!.values.set(data.values);
  const [batch] = await readBatches(arrowPart([{ ts_utc: stamps }]), options);
  t.deepEqual([...batch!.time], [1_767_225_600_000_001, 1_767_225_600_000_002]);
});

test('a part that is not sorted is refused, within a batch, across batches and across parts', async (t) => {
  const unsorted = { message: /NOT_SORTED.*part-000000/ };
  const reversed = {
    ts_utc: vectorFromArray(['2026-01-01T00:00:01.000000Z', '2026-01-01T00:00:00.000000Z'], new Utf8()),
  };
  await t.throwsAsync(readBatches(arrowPart([reversed]), options), unsorted);
  await t.throwsAsync(readBatches(arrowPart([rows(5, 2), rows(0, 2)]), options), unsorted);
  const notBefore = Date.UTC(2026, 0, 2) * 1000;
  await t.throwsAsync(readBatches(arrowPart([rows(0, 2)]), { ...options, notBefore }), unsorted);
});

test('a file cut off anywhere is refused, never read as fewer rows', async (t) => {
  const part = arrowPart([rows(0, 3), rows(3, 3)]);
  for (let length = 0; length < part.length; length += 1) {
    await t.throwsAsync(
      readBatches(part.subarray(0, length), options),
      { message: /PART_UNREADABLE/ },
      `cut to ${length} bytes`,
    );
  }
});

test('a truncated part, other bytes, and a part without the time column are refused by name', async (t) => {
  const part = arrowPart([rows(0, 4)]);
  await t.throwsAsync(readBatches(part.subarray(0, part.length >> 1), options), {
    message: /PART_UNREADABLE: part-000000/,
  });
  await t.throwsAsync(readBatches(Buffer.from('not arrow at all'), options), {
    message: /PART_UNREADABLE/,
  });
  await t.throwsAsync(readBatches(Buffer.alloc(0), options), { message: /PART_UNREADABLE/ });
  await t.throwsAsync(readBatches(part, { ...options, timeColumn: 'when' }), {
    message: /COLUMN_MISSING.*when/,
  });
});

test('a part is read a batch at a time, and what its bytes fail with goes through as it is', async (t) => {
  const file = arrowPart([rows(0, 2000), rows(2000, 2000), rows(4000, 2000)]);
  let furthest = 0;
  let failing = false;
  const part: PartBytes = {
    size: file.length,
    read: (target, position) => {
      if (failing) return Promise.reject(new Error('the store is away'));
      // The end of the file holds its footer, which is read first.
      if (position < file.length / 2) furthest = Math.max(furthest, position + target.length);
      target.set(file.subarray(position, position + target.length));
      return Promise.resolve();
    },
  };
  const batches = readArrowPart(part, options);
  t.is((await batches.next()).value?.rows, 2000);
  t.true(furthest < file.length * 0.4, `${furthest} of ${file.length} bytes are read for the first batch`);
  failing = true;
  await t.throwsAsync(batches.next(), { message: 'the store is away' });
});
