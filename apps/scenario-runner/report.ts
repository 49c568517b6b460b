/** Runs, outcomes and facts as text for a terminal. */
import type { PlatformReport } from './platform-report.ts';
import type { PlatformRun } from './platform-runs.ts';
import type { RunFactsView } from './run-artifacts.ts';
import type { Run } from './run-store.ts';
import type { RunOutcome } from './submit.ts';

export function outcomeText(outcome: RunOutcome): string {
  const lines = [
    `${outcome.state}${outcome.reason_code === null ? '' : ` ${outcome.reason_code}`}`,
    field('platform run', outcome.platform_run_id),
    field('scenario run', outcome.scenario_run_id),
  ];
  if (outcome.reason !== null) lines.push(field('reason', outcome.reason));
  if (outcome.message_id !== null) lines.push(field('message', outcome.message_id));
  if (outcome.facts_view_ref !== null) lines.push(field('facts view', outcome.facts_view_ref));
  if (outcome.gates_passed.length > 0) {
    lines.push(field('gates passed', `${outcome.gates_passed.length}: ${outcome.gates_passed.join(', ')}`));
  }
  for (const output of outcome.outputs) {
    lines.push(field('output', `${output.output_id} (${output.role}, ${output.row_count} rows)`));
  }
  lines.push(field('published', publication(outcome)));
  return lines.join('\n');
}

function publication(outcome: RunOutcome): string {
  if (outcome.published) return 'yes';
  if (outcome.publish_failure !== null) {
    return `no: ${outcome.publish_failure}; submit again, or \`fp sr reemit\`, to publish it`;
  }
  if (outcome.state === 'WAITING_EVIDENCE') return 'no: submit again to look for the evidence again';
  return 'not yet';
}

export function runsText(runs: readonly Run[]): string {
  if (runs.length === 0) return 'no runs';
  return runs
    .map((run) =>
      `${run.platformRunId}  ${run.runId}  ${run.state.padEnd(16)}  ${run.reasonCode ?? ''}`.trimEnd(),
    )
    .join('\n');
}

export function factsText(facts: RunFactsView): string {
  return [
    field('platform run', facts.platform_run_id),
    field('scenario run', facts.scenario_run_id),
    field('world', `${facts.pins.manifest_fingerprint} seed ${facts.pins.seed} ${facts.pins.scenario_id}`),
    field('pack', facts.oracle_pack_ref.oracle_root),
    field('seal', `${facts.oracle_pack_seal.seal_status} at ${facts.oracle_pack_seal.sealed_at_utc}`),
    field('traffic mode', facts.traffic_mode),
    field('bundle hash', facts.bundle_hash),
    ...facts.outputs.map((output) =>
      field('output', `${output.output_id} (${output.role}, ${output.row_count} rows)`),
    ),
    ...facts.gate_receipts.map((gate) => field('gate', `${gate.gate_id} ${gate.status}`)),
  ].join('\n');
}

function field(name: string, value: string): string {
  return `  ${name.padEnd(13)} ${value}`;
}

export function platformStatusText(platform: PlatformRun, runs: readonly Run[]): string {
  const end =
    platform.closed_at_utc === null
      ? 'open'
      : `closed at ${platform.closed_at_utc} by ${platform.closed_by ?? 'nobody'}` +
        (platform.close_reason === null ? '' : `: ${platform.close_reason}`);
  return `${platform.platform_run_id}  issued at ${platform.issued_at_utc}, ${end}\n${runsText(runs)}`;
}

export function platformReportText(report: PlatformReport): string {
  const count = (n: number): string => n.toLocaleString('en');
  return [
    report.platform_run_id,
    ...report.runs.map((run) =>
      field('scenario run', `${run.run_id} ${run.state} ${run.reason_code ?? ''}`.trimEnd()),
    ),
    ...report.attempts.flatMap((attempt) => [
      field(
        `attempt ${attempt.attempt}`,
        `${attempt.ended ? `ended: ${attempt.stop_reason ?? ''}` : 'streaming'}, speedup ${attempt.speedup ?? "the policy's"}`,
      ),
      ...attempt.outputs.map((output) =>
        field('', `${output.output_id}: ${count(output.read)} read, ${count(output.sent)} sent`),
      ),
    ]),
    field('sent', count(report.sent)),
    field('admitted', count(report.admitted)),
    field('duplicate', count(report.duplicate)),
    field('quarantined', count(report.quarantined)),
    ...report.bus.map((place) =>
      field(
        `${place.topic}/${place.partition}`,
        `${count(place.records)} records, offsets ${count(place.first_offset)}–${count(place.last_offset)}`,
      ),
    ),
    field('order', `${count(report.order_violations)} violations`),
    report.reconciled
      ? 'RECONCILED'
      : `NOT RECONCILED\n${report.differences.map((line) => `    ${line}`).join('\n')}`,
  ].join('\n');
}
