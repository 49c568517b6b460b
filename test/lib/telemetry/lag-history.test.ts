import test from 'ava';
import { LagHistory, type LagReading } from '../../../lib/index.ts';

function trendOf(readings: readonly (readonly [second: number, end: number, committed: number | null])[]) {
  const history = new LagHistory();
  for (const [second, end, committed] of readings) {
    const reading: LagReading = {
      at: second * 1000,
      end,
      committed,
      lag: committed === null ? null : end - committed,
    };
    history.add(reading);
  }
  return history.trend;
}

test('a falling lag drains, and clears at the difference of the rates', (t) => {
  t.deepEqual(
    trendOf([
      [0, 1000, 0],
      [10, 2000, 1500],
    ]),
    {
      status: 'draining',
      produceRate: 100,
      drainRate: 150,
      etaSeconds: 10,
    },
  );
});

test('lag that grows while commits go on is falling behind and never clears', (t) => {
  t.like(
    trendOf([
      [0, 1000, 900],
      [10, 3000, 1000],
    ]),
    { status: 'falling-behind', etaSeconds: null },
  );
});

test('lag without progress for ten seconds is a stall, however small', (t) => {
  t.is(
    trendOf([
      [0, 1000, 999],
      [9, 1000, 999],
    ]).status,
    'draining',
  );
  t.is(
    trendOf([
      [0, 1000, 999],
      [10, 1000, 999],
    ]).status,
    'stalled',
  );
});

test('a group that waited caught up and then gets records has not stalled', (t) => {
  t.is(
    trendOf([
      [0, 1000, 1000],
      [60, 1000, 1000],
      [61, 1005, 1000],
    ]).status,
    'falling-behind',
  );
});

test('a committed offset that goes back is a rewind, with no negative rate', (t) => {
  t.like(
    trendOf([
      [0, 1000, 900],
      [1, 1000, 100],
    ]),
    { status: 'rewound', drainRate: 0 },
  );
});

test('a partition without a commit has no lag and no time to clear', (t) => {
  t.like(
    trendOf([
      [0, 1000, null],
      [1, 1000, null],
    ]),
    { status: 'no-commit', etaSeconds: null },
  );
});
