import test from 'ava';
import { RunFacts } from '../../../apps/lag-console/run-facts.ts';
import { reconcileRun } from '../../../apps/lag-console/run-reconciliation.ts';
import type { RunReconciliation } from '../../../apps/ingestion-gate/ledger/index.ts';

const RUN = 'platform_20260101T000000Z';

function fact(type: string, attempt: number, sent: number, lane = 0, laneCount = 1) {
  return {
    event_type: type,
    platform_run_id: RUN,
    payload: {
      message_id: `message ${String(attempt)}`,
      attempt,
      lane,
      lane_count: laneCount,
      outputs: [{ output_id: 'arrival_events_5B', read: sent, sent }],
      speedup: 0,
      max_events: null,
      max_events_per_output: null,
      started_at_utc: '2026-01-01T00:00:00.000000Z',
    },
  };
}

function ledger(admitted: number, duplicate = 0, quarantined = 0, unreadable = 0): RunReconciliation {
  return {
    platformRunId: RUN,
    admitted: admitted + 2,
    duplicate,
    quarantined,
    receipts: admitted + 2 + duplicate + quarantined,
    types: [
      { eventType: 'arrival_events_5B', eventClass: 'context_arrival', admitted, duplicate, quarantined },
      { eventType: 'run.ready', eventClass: 'control', admitted: 2, duplicate: 0, quarantined: 0 },
    ],
    reasons: {},
    bus: [],
    unreadable,
  };
}

function verdict(facts: readonly ReturnType<typeof fact>[], counted: RunReconciliation) {
  const known = new RunFacts();
  for (const each of facts) known.add(each);
  return reconcileRun(counted, known.of(RUN));
}

test('CI-80 sent = admitted + duplicate + quarantined over all attempts, without the run facts themselves', (t) => {
  const facts = [fact('stream.completed', 1, 100), fact('stream.completed', 2, 100)];
  t.like(verdict(facts, ledger(97, 100, 3)), {
    verdict: 'reconciled',
    sent: 200,
    difference: 0,
    otherReceipts: 2,
  });
  t.like(verdict(facts, ledger(97, 99, 3)), { verdict: 'settling', difference: 1 });
  t.like(verdict(facts, ledger(98, 100, 3)), { verdict: 'mismatch', difference: -1 });
  t.is(verdict(facts, ledger(97, 100, 3, 1)).verdict, 'mismatch');
});

test('a run is running until every lane of every attempt has ended', (t) => {
  const half = [fact('stream.completed', 1, 50, 0, 2), fact('stream.progress', 1, 40, 1, 2)];
  t.like(verdict(half, ledger(95)), { verdict: 'running', sent: 90 });
  t.is(verdict([...half, fact('stream.completed', 1, 45, 1, 2)], ledger(95)).verdict, 'reconciled');
});

test('an end is final: a late progress report does not undo it', (t) => {
  t.like(verdict([fact('stream.completed', 1, 100), fact('stream.progress', 1, 90)], ledger(100)), {
    verdict: 'reconciled',
    sent: 100,
  });
});

test('a run nobody announced is unknown, never green', (t) => {
  t.like(verdict([], ledger(10)), { verdict: 'unknown', sent: null, difference: null });
});
