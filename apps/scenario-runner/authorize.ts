/**
 * Who may submit and who may emit again. Denials are counted per actor and act, and stand in the record of the run
 * they were about.
 */
import { ScenarioRunnerError } from './reason-codes.ts';
import { appendRecords, type RunKey } from './run-record.ts';
import type { RunnerContext } from './runner-context.ts';

export type RunnerAct = 'submit' | 'reemit';

/**
 * Throws AUTH_DENIED, recorded, unless the actor may act on the run. An actor id is what the caller says; in
 * allowlist mode it is to come from something that has authenticated him.
 */
export async function authorize(
  context: RunnerContext,
  act: RunnerAct,
  actorId: string | null,
  run: RunKey,
): Promise<void> {
  const { auth, store } = context;
  if (auth.mode === 'disabled' || (actorId !== null && auth[act].includes(actorId))) return;
  const actor = (actorId ?? '').slice(0, 256).replaceAll('\u0000', '');
  await store.transaction(async (client) => {
    await client.query(
      `insert into sr_auth_denials (actor_id, action, platform_run_id, run_id) values ($1, $2, $3, $4)
       on conflict (actor_id, action, platform_run_id, run_id)
       do update set denials = sr_auth_denials.denials + 1, last_at = clock_timestamp()`,
      [actor, act, run.platformRunId, run.runId],
    );
    const { rowCount } = await client.query(
      'select from sr_runs where platform_run_id = $1 and run_id = $2',
      [run.platformRunId, run.runId],
    );
    if (rowCount !== 1) return;
    await appendRecords(client, run, context.policyRev, [
      { event_kind: 'AUTH_DENIED', details: { action: act, actor_id: actor } },
    ]);
  });
  context.logger.warn(
    { act, actor_id: actor, platform_run_id: run.platformRunId, run_id: run.runId },
    'denied',
  );
  throw new ScenarioRunnerError(
    'AUTH_DENIED',
    actorId === null
      ? `to ${act} takes an actor id in X-SR-Actor`
      : `${actor} may not ${act}; whoever may is listed in the wiring (scenario_runner.${act}_allowlist)`,
  );
}
