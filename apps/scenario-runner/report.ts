/** Runs, outcomes and facts as text for a terminal. */
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
