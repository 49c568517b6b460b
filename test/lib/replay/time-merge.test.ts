import { Int64, Utf8 } from 'apache-arrow';
import test from 'ava';
import fc from 'fast-check';

import { int64At, type Int64Column } from '../../../lib/replay/columns.ts';
import { MicrosWriter } from '../../../lib/replay/event-time.ts';
import { decodeCursor, encodeCursor, type SourcePosition } from '../../../lib/replay/replay-cursor.ts';
import { MERGE_END, MERGE_WAITING, TimeMerge } from '../../../lib/replay/time-merge.ts';
import { PartedSource } from '../../../lib/replay/time-source.ts';
import { residentPart, type PartBytes } from '../../../lib/replay/arrow-part.ts';
import { arrowPart, vectorFromArray } from './arrow-fixture.ts';

interface Row {
  readonly time: number;
  readonly rank: number;
  readonly index: number;
}

const writer = new MicrosWriter();

/** One source's rows in parts of record batches: times are small, so that they collide. */
const source = fc.array(fc.array(fc.array(fc.nat(20), { maxLength: 6 }), { maxLength: 3 }), { maxLength: 4 });

/** Sorts the times of a source over all its parts, keeping the shape. */
function sortedShape(shape: readonly (readonly (readonly number[])[])[]): number[][][] {
  const times = shape.flat(2).sort((a, b) => a - b);
  return shape.map((part) => part.map((batch) => batch.map(() => times.shift()!)));
}

function partsOf(shape: readonly (readonly (readonly number[])[])[]): Buffer[] {
  let index = 0;
  return shape.map((part) =>
    arrowPart(
      (part.length === 0 ? [[]] : part).map((batch) => ({
        ts_utc: vectorFromArray(
          batch.map((time) => writer.text(time)),
          new Utf8(),
        ),
        index: vectorFromArray(
          batch.map(() => BigInt(index++)),
          new Int64(),
        ),
      })),
    ),
  );
}

function open(parts: readonly Buffer[], rank: number, from?: SourcePosition): PartedSource {
  return new PartedSource({
    name: `s${rank}`,
    rank,
    timeColumn: 'ts_utc',
    partCount: parts.length,
    // Arrives at different moments: even parts in a microtask, odd ones later.
    openPart: async (part) => {
      if (part % 2 === 1) await new Promise(setImmediate);
      return residentPart(parts[part]!);
    },
    ...(from === undefined ? {} : { from }),
  });
}

async function drain(merge: TimeMerge<PartedSource>, most = Infinity): Promise<Row[]> {
  const rows: Row[] = [];
  while (rows.length < most) {
    const at = merge.peek();
    if (at === MERGE_END) break;
    if (at === MERGE_WAITING) {
      await merge.load();
      continue;
    }
    const current = merge.sources[at]!;
    const index = Number(int64At(current.batch.columns.get('index') as Int64Column, current.row));
    rows.push({ time: current.time, rank: current.rank, index });
    merge.advance();
  }
  return rows;
}

function expected(shapes: readonly number[][][][]): Row[] {
  return shapes
    .flatMap((shape, rank) => shape.flat(2).map((time, index) => ({ time, rank, index })))
    .sort((a, b) => a.time - b.time || a.rank - b.rank || a.index - b.index);
}

test('the merge gives what sorting all rows by (time, rank, row order) gives', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(source, { maxLength: 5 }), async (drawn) => {
      const shapes = drawn.map(sortedShape);
      const merge = new TimeMerge(shapes.map((shape, rank) => open(partsOf(shape), rank)));
      t.deepEqual(await drain(merge), expected(shapes));
    }),
    { numRuns: 60 },
  );
});

test('a merge stopped anywhere and resumed from its encoded cursor gives the rest, no row lost or doubled', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(source, { minLength: 1, maxLength: 4 }), fc.nat(60), async (drawn, stop) => {
      const shapes = drawn.map(sortedShape);
      const parts = shapes.map(partsOf);
      const merge = new TimeMerge(parts.map((each, rank) => open(each, rank)));
      const before = await drain(merge, stop);
      const text = encodeCursor(new Map(merge.sources.map((each) => [each.name, each.position])));
      const cursor = decodeCursor(text);
      const resumed = new TimeMerge(parts.map((each, rank) => open(each, rank, cursor.get(`s${rank}`))));
      t.deepEqual([...before, ...(await drain(resumed))], expected(shapes));
    }),
    { numRuns: 60 },
  );
});

test('no row is given while another source still waits for its part', async (t) => {
  const late = partsOf([[[1]]]);
  let deliver: (part: PartBytes) => void = () => t.fail();
  const slow = new PartedSource({
    name: 'slow',
    rank: 1,
    timeColumn: 'ts_utc',
    partCount: 1,
    openPart: () => new Promise((resolve) => (deliver = resolve)),
  });
  const merge = new TimeMerge([open(partsOf([[[5]]]), 0), slow]);
  const loading = merge.load();
  await new Promise(setImmediate);
  t.is(merge.peek(), MERGE_WAITING);
  deliver(residentPart(late[0]!));
  await loading;
  t.is(merge.peek(), 1);
});

test('only the batch being read and the next one are fetched, across parts too', async (t) => {
  const parts = partsOf([
    [[1], [2], [3]],
    [[4], [5]],
  ]);
  const opened: number[] = [];
  let bytes = 0;
  const parted = new PartedSource({
    name: 's',
    rank: 0,
    timeColumn: 'ts_utc',
    partCount: parts.length,
    openPart: (part) => {
      opened.push(part);
      const resident = residentPart(parts[part]!);
      return Promise.resolve({
        size: resident.size,
        read: (target, position) => {
          bytes += target.length;
          return resident.read(target, position);
        },
      });
    },
  });
  await parted.load();
  await settledReads();
  const ofTwo = bytes;
  t.deepEqual(opened, [0]);
  await settledReads();
  t.is(bytes, ofTwo, 'nothing is read on while no row is taken');
  parted.advance();
  await settledReads();
  t.true(bytes > ofTwo);
  t.deepEqual(opened, [0], 'the third batch is the last of its part');
  parted.advance();
  // The end of the part is known first; what follows it is asked for then.
  await parted.load();
  parted.advance();
  await parted.load();
  t.deepEqual(opened, [0, 1]);
  t.is(parted.time, 4);
});

/** Lets what is on its way in memory arrive. */
async function settledReads(): Promise<void> {
  for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
}

test('a part that cannot be read rejects the load, not the process', async (t) => {
  const parts = partsOf([[[1]]]);
  const parted = new PartedSource({
    name: 's',
    rank: 0,
    timeColumn: 'ts_utc',
    partCount: 2,
    openPart: (part) =>
      part === 0 ? Promise.resolve(residentPart(parts[0]!)) : Promise.reject(new Error('no such object')),
  });
  await parted.load();
  parted.advance();
  await t.throwsAsync(parted.load(), { message: 'no such object' });
});

test('a cursor beyond the rows of its part is refused', async (t) => {
  const parts = partsOf([[[1, 2]]]);
  await t.throwsAsync(open(parts, 0, { part: 0, row: 3 }).load(), { message: /CURSOR_INVALID.*2 rows/ });
  t.throws(() => open(parts, 0, { part: 2, row: 0 }), { message: /CURSOR_INVALID/ });
  t.throws(() => decodeCursor('s0=1'), { message: /CURSOR_INVALID/ });
  t.throws(() => decodeCursor('s0=1:1,s0=1:2'), { message: /CURSOR_INVALID/ });
});

test('sources of equal rank are refused, since their order would be open', (t) => {
  t.throws(() => new TimeMerge([open([], 1), open([], 1)]), { message: /OPTION_INVALID/ });
});
