/**
 * sent = admitted + duplicate + quarantined, for one run. What was sent comes from the replayers' facts, what became of
 * it from the ledger. Only the outputs that were sent count: run facts go through the gate too, but nobody "sent" them.
 */
import type { RunReconciliation } from '../ingestion-gate/ledger/index.ts';
import type { SentOfRun } from './run-facts.ts';

/**
 * `reconciled`: every attempt has ended and the numbers are equal. `running`: more is being sent. `settling`: all is
 * sent, and the ledger has fewer yet. `mismatch`: the ledger has more than was sent. `unknown`: nothing was announced.
 */
export type Verdict = 'reconciled' | 'running' | 'settling' | 'mismatch' | 'unknown';

export interface OutputReconciliation {
  readonly outputId: string;
  readonly sent: number;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
}

export interface RunView {
  readonly platform_run_id: string;
  readonly verdict: Verdict;
  readonly sent: number | null;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
  /** sent - (admitted + duplicate + quarantined) */
  readonly difference: number | null;
  readonly attempts: number;
  readonly completedAttempts: number;
  readonly outputs: readonly OutputReconciliation[];
  /** Receipts that belong to none of the sent outputs: control and audit facts, and what could not be read. */
  readonly otherReceipts: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly bus: RunReconciliation['bus'];
  readonly unreadable: number;
}

export function reconcileRun(ledger: RunReconciliation, sent: SentOfRun | undefined): RunView {
  const outputs = new Map<string, { -readonly [K in keyof OutputReconciliation]: OutputReconciliation[K] }>();
  for (const [outputId, count] of Object.entries(sent?.sentByOutput ?? {})) {
    outputs.set(outputId, { outputId, sent: count, admitted: 0, duplicate: 0, quarantined: 0 });
  }
  let otherReceipts = 0;
  for (const type of ledger.types) {
    const output = type.eventType === null ? undefined : outputs.get(type.eventType);
    if (output === undefined) {
      otherReceipts += type.admitted + type.duplicate + type.quarantined;
      continue;
    }
    output.admitted += type.admitted;
    output.duplicate += type.duplicate;
    output.quarantined += type.quarantined;
  }
  const rows = [...outputs.values()];
  const total = (of: (row: OutputReconciliation) => number): number =>
    rows.reduce((sum, row) => sum + of(row), 0);
  const admitted = total((row) => row.admitted);
  const duplicate = total((row) => row.duplicate);
  const quarantined = total((row) => row.quarantined);
  const difference = sent === undefined ? null : sent.sent - admitted - duplicate - quarantined;
  return {
    platform_run_id: ledger.platformRunId,
    verdict: verdictOf(rows, sent, ledger.unreadable),
    sent: sent?.sent ?? null,
    admitted,
    duplicate,
    quarantined,
    difference,
    attempts: sent?.attempts ?? 0,
    completedAttempts: sent?.completed ?? 0,
    outputs: rows,
    otherReceipts,
    reasons: ledger.reasons,
    bus: ledger.bus,
    unreadable: ledger.unreadable,
  };
}

function verdictOf(
  rows: readonly OutputReconciliation[],
  sent: SentOfRun | undefined,
  unreadable: number,
): Verdict {
  if (sent === undefined) return 'unknown';
  const missing = rows.map((row) => row.sent - row.admitted - row.duplicate - row.quarantined);
  const ended = sent.completed === sent.attempts;
  // While a replay goes on its last progress report is behind what the ledger has seen: that is no mismatch.
  if (!ended) return 'running';
  if (unreadable > 0 || missing.some((each) => each < 0)) return 'mismatch';
  return missing.every((each) => each === 0) ? 'reconciled' : 'settling';
}
