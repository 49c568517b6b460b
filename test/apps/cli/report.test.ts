import test from 'ava';
import { buildReport, reportTable, type ReportInput } from '../../../apps/cli/demo/report.ts';

const EVENTS = 's3_event_stream_with_fraud_6B';

/** A run of 10 events that reconciles in every respect. */
function reconciled(): ReportInput {
  const ledger = {
    platformRunId: 'platform_20260101T000000Z',
    admitted: 12,
    duplicate: 0,
    quarantined: 0,
    receipts: 12,
    types: [],
    reasons: {},
    bus: [{ topic: 'fp.bus.traffic.v1', partition: 0, firstOffset: 0, lastOffset: 9, records: 10 }],
    unreadable: 0,
  };
  const replay = {
    completed: {
      message_id: 'm',
      attempt: 1,
      lane: 0,
      lane_count: 1,
      outputs: [{ output_id: EVENTS, read: 10, sent: 10 }],
      speedup: 0,
      max_events: null,
      max_events_per_output: null,
      stop_reason: 'end_of_view' as const,
      stream_time_utc: null,
    },
    sent: 10,
    counts: { admitted: 10, duplicate: 0, quarantined: 0 },
    ledger,
    seconds: 2,
  };
  return {
    run: {
      platform_run_id: 'platform_20260101T000000Z',
      scenario_run_id: 'b2'.repeat(16),
      run_id: 'b2'.repeat(16),
      state: 'READY',
      message_id: 'm',
      oracle_pack_id: 'p',
      gates_passed: ['5B', '6B'],
      outputs: [{ output_id: EVENTS, row_count: 10 }],
    },
    packSealed: true,
    first: replay,
    second: { ...replay, counts: { admitted: 10, duplicate: 10, quarantined: 0 } },
    audit: {
      bus: [{ topic: 'fp.bus.traffic.v1', partition: 0, first_offset: 0, last_offset: 9, records: 10 }],
      types: { [EVENTS]: 10, 'run.ready': 2 },
      order_violations: 0,
      examples: [],
    },
    seconds: { replay: 2 },
  };
}

test('CI-101 a run reconciles when sent, outcomes, receipts and the bus agree, and the table says so', (t) => {
  const report = buildReport(reconciled());
  t.deepEqual(report.differences, []);
  t.true(report.reconciled);
  t.is(report.events_per_second, 5);
  t.deepEqual(report.second_replay, { admitted: 0, duplicate: 10 });
  t.true(reportTable(report).includes('RECONCILED: every event sent'));
});

const disturbed: readonly [what: string, change: (input: ReportInput) => ReportInput, expected: RegExp][] = [
  ['a lost receipt', (input) => ({ ...input, first: { ...input.first, sent: 11 } }), /sent and receipts/],
  [
    'a record without a receipt',
    (input) => ({ ...input, audit: { ...input.audit, bus: [{ ...input.audit.bus[0]!, records: 11 }] } }),
    /fp\.bus\.traffic\.v1\/0, records and receipts: expected 11, found 10/,
  ],
  [
    'a record out of order',
    (input) => ({ ...input, audit: { ...input.audit, order_violations: 1 } }),
    /out of order/,
  ],
  [
    'traffic that grew with the second replay',
    (input) => ({
      ...input,
      second: { ...input.second!, counts: { admitted: 11, duplicate: 9, quarantined: 0 } },
    }),
    /admitted by the second replay: expected 0, found 1/,
  ],
  [
    'a quarantined event',
    (input) => ({
      ...input,
      first: { ...input.first, counts: { admitted: 9, duplicate: 0, quarantined: 1 } },
    }),
    /quarantined events: expected 0, found 1/,
  ],
  ['an unsealed pack', (input) => ({ ...input, packSealed: false }), /not sealed/],
  [
    'no verified gate',
    (input) => ({ ...input, run: { ...input.run, gates_passed: [] } }),
    /no gate was verified/,
  ],
];

for (const [what, change, expected] of disturbed) {
  test(`CI-101 a run with ${what} does not reconcile, and the report names it`, (t) => {
    const report = buildReport(change(reconciled()));
    t.false(report.reconciled);
    t.regex(report.differences.join('\n'), expected);
    t.true(reportTable(report).includes('NOT RECONCILED'));
  });
}
