/** The report of a run: what was read, sent and decided, where it stands on the bus, and whether it all adds up. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BusAudit } from '../../ingestion-gate/index.ts';
import { OUTPUT_CATALOGUE } from '../../rails/index.ts';
import type { EngineCounts, ReadyRun, Replay } from './replay.ts';

export interface RunReport {
  readonly platform_run_id: string;
  readonly scenario_run_id: string;
  readonly outputs: readonly { readonly output_id: string; readonly read: number; readonly sent: number }[];
  /** Of the first replay; control facts are not counted among the run's events. */
  readonly sent: number;
  readonly admitted: number;
  readonly duplicate: number;
  readonly quarantined: number;
  /** Receipts of the first replay's events. */
  readonly receipts: number;
  readonly bus: BusAudit['bus'];
  readonly reconciled: boolean;
  readonly second_replay: { readonly admitted: number; readonly duplicate: number } | null;
  /** Seconds by stage. */
  readonly seconds: Readonly<Record<string, number>>;
  /** First replay, from READY to the last receipt. */
  readonly events_per_second: number;
  readonly proofs: {
    readonly pack_sealed: boolean;
    readonly gates_passed: readonly string[];
    readonly ready_message_id: string;
    readonly order_violations: number;
    readonly stop_reason: string | null;
  };
  /** What does not add up; empty exactly when `reconciled`. */
  readonly differences: readonly string[];
}

export interface ReportInput {
  readonly run: ReadyRun;
  readonly packSealed: boolean;
  readonly first: Replay;
  readonly second: Replay | null;
  readonly audit: BusAudit;
  readonly seconds: Readonly<Record<string, number>>;
}

export function buildReport({ run, packSealed, first, second, audit, seconds }: ReportInput): RunReport {
  const { admitted, duplicate, quarantined } = first.counts;
  const receipts = admitted + duplicate + quarantined;
  const secondReplay =
    second === null
      ? null
      : { admitted: second.counts.admitted - admitted, duplicate: second.counts.duplicate - duplicate };
  const differences = [
    ...difference('sent and receipts', first.sent, receipts),
    ...difference('duplicates in the first replay', 0, duplicate),
    ...difference('quarantined events', 0, quarantined),
    ...difference('admitted receipts and events read back from the bus', admitted, engineRecords(audit)),
    ...placesThatDiffer(audit, (second ?? first).ledger),
    ...difference('records out of order on the bus', 0, audit.order_violations),
    ...audit.examples,
    ...secondReplayDifferences(second, secondReplay, first),
    ...(packSealed ? [] : ['the pack is not sealed']),
    ...(run.gates_passed.length > 0 ? [] : ['no gate was verified']),
    ...(first.completed.stop_reason === null ? ['the replay gave no reason for its end'] : []),
  ];
  return {
    platform_run_id: run.platform_run_id,
    scenario_run_id: run.scenario_run_id,
    outputs: first.completed.outputs.map(({ output_id, read, sent }) => ({ output_id, read, sent })),
    sent: first.sent,
    admitted,
    duplicate,
    quarantined,
    receipts,
    bus: audit.bus,
    reconciled: differences.length === 0,
    second_replay: secondReplay,
    seconds,
    events_per_second: Math.round(first.sent / first.seconds),
    proofs: {
      pack_sealed: packSealed,
      gates_passed: run.gates_passed,
      ready_message_id: run.message_id,
      order_violations: audit.order_violations,
      stop_reason: first.completed.stop_reason,
    },
    differences,
  };
}

function difference(what: string, expected: number, found: number): string[] {
  return expected === found ? [] : [`${what}: expected ${expected}, found ${found}`];
}

function engineRecords(audit: BusAudit): number {
  return Object.entries(audit.types).reduce(
    (sum, [type, n]) => (OUTPUT_CATALOGUE.has(type) ? sum + n : sum),
    0,
  );
}

/** Every admitted record of the run has one receipt, partition by partition. */
function placesThatDiffer(audit: BusAudit, ledger: Replay['ledger']): string[] {
  const receipts = new Map(ledger.bus.map((place) => [`${place.topic}/${place.partition}`, place.records]));
  return audit.bus.flatMap(({ topic, partition, records }) =>
    difference(
      `${topic}/${partition}, records and receipts`,
      records,
      receipts.get(`${topic}/${partition}`) ?? 0,
    ),
  );
}

function secondReplayDifferences(
  second: Replay | null,
  counts: Pick<EngineCounts, 'admitted' | 'duplicate'> | null,
  first: Replay,
): string[] {
  if (second === null || counts === null) return [];
  return [
    ...difference('sent by the second replay', first.sent, second.sent),
    ...difference('admitted by the second replay', 0, counts.admitted),
    ...difference('duplicates of the second replay', second.sent, counts.duplicate),
  ];
}

/** Writes `report.json` into the run's folder and returns its path. */
export function writeReport(runsDir: string, report: RunReport): string {
  const folder = join(runsDir, report.platform_run_id);
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'report.json');
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
  return path;
}

/** The verdict as a table for people. */
export function reportTable(report: RunReport): string {
  const number = (n: number): string => n.toLocaleString('en');
  const rows: [string, string][] = [
    ['platform run', report.platform_run_id],
    ['scenario run', report.scenario_run_id],
    [
      'pack',
      report.proofs.pack_sealed ? `sealed, ${report.proofs.gates_passed.length} gates passed` : 'NOT SEALED',
    ],
    ...report.outputs.map(({ output_id, read, sent }): [string, string] => [
      output_id,
      `${number(read)} read, ${number(sent)} sent`,
    ]),
    ['sent', number(report.sent)],
    ['admitted', number(report.admitted)],
    ['duplicate', number(report.duplicate)],
    ['quarantined', number(report.quarantined)],
    ['receipts', number(report.receipts)],
    ...report.bus.map(({ topic, partition, first_offset, last_offset, records }): [string, string] => [
      `${topic}/${partition}`,
      `${number(records)} records, offsets ${number(first_offset)}–${number(last_offset)}`,
    ]),
    ['order violations', number(report.proofs.order_violations)],
    ['stop reason', report.proofs.stop_reason ?? 'none'],
    ...(report.second_replay === null
      ? []
      : [
          [
            'second replay',
            `${number(report.second_replay.admitted)} admitted, ${number(report.second_replay.duplicate)} duplicate`,
          ] satisfies [string, string],
        ]),
    ['events/s', number(report.events_per_second)],
    [
      'seconds',
      Object.entries(report.seconds)
        .map(([stage, s]) => `${stage} ${s.toFixed(1)}`)
        .join(', '),
    ],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`);
  const verdict = report.reconciled
    ? '✔ RECONCILED: every event sent has exactly one outcome, and every admission one receipt'
    : `✘ NOT RECONCILED\n${report.differences.map((line) => `    ${line}`).join('\n')}`;
  return `\n${lines.join('\n')}\n\n  ${verdict}\n`;
}
