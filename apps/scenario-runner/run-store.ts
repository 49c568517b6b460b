/**
 * The authority over runs: their identity, state, record and the facts they still owe, in Postgres.
 *
 * A change of a run is one SQL transaction that renews the leader's lease, moves the state (checked here and by a
 * trigger), appends to the record and puts facts into the outbox. Objects in the store are written from what is
 * committed here, so a crash anywhere leaves something to carry on from.
 */
import type { Pool, PoolClient } from 'pg';
import type { PolicyRev, RunReadyPayload } from '../rails/index.ts';
import type { Lease } from './lease.ts';
import { insertFacts, type OutboxFact } from './outbox.ts';
import { assertOpen } from './platform-runs.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { ReplayRequest, RunFactsView, RunPlan } from './run-artifacts.ts';
import { appendRecords, type RecordEntry, type RunKey } from './run-record.ts';
import type { CanonicalRunRequest } from './run-request.ts';
import { mayMove, type RunState } from './run-state.ts';

export interface Run extends RunKey {
  readonly state: RunState;
  readonly reasonCode: ReasonCode | null;
  /** One sentence for people. */
  readonly reason: string | null;
  readonly request: CanonicalRunRequest;
  /** Root of the pack the run reads, `s3://bucket/path/`; null while its world is still to be made. */
  readonly packRoot: string | null;
  /** Root of the pack that was asked for; null when the world is made for the run. */
  readonly requestedPackRoot: string | null;
  readonly replay: ReplayRequest;
  readonly plan: RunPlan | null;
  readonly factsView: RunFactsView | null;
  readonly factsViewRef: string | null;
  readonly bundleHash: string | null;
  readonly readySignal: RunReadyPayload | null;
  /** `micros` text. */
  readonly updatedAtUtc: string;
}

export interface RunChange {
  /** Also sets the reason: to what is given, or to none. */
  readonly state?: RunState;
  readonly reasonCode?: ReasonCode;
  readonly reason?: string;
  readonly packRoot?: string;
  readonly plan?: RunPlan;
  readonly factsView?: RunFactsView;
  readonly factsViewRef?: string;
  readonly readySignal?: RunReadyPayload;
  readonly records?: readonly RecordEntry[];
  readonly facts?: readonly OutboxFact[];
}

const MICROS = `'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'`;

const RUN_COLUMNS = `platform_run_id as "platformRunId", run_id as "runId", state, reason_code as "reasonCode", reason,
  request, pack_root as "packRoot", requested_pack_root as "requestedPackRoot", replay, plan, facts_view as "factsView", facts_view_ref as "factsViewRef", bundle_hash as "bundleHash",
  ready_signal as "readySignal", to_char(updated_at at time zone 'UTC', ${MICROS}) as "updatedAtUtc"`;

export class RunStore {
  readonly pool: Pool;

  constructor(pool: Pool) {
    this.pool = pool;
  }

  /**
   * Finds or opens the run of an equivalence key in a platform run. Throws EQUIV_KEY_COLLISION when the key has
   * been used, in any platform run, with another intent.
   */
  async accept(
    key: RunKey,
    intent: { readonly equivalenceKey: string; readonly fingerprint: string },
    asked: Pick<Run, 'request' | 'requestedPackRoot' | 'replay'>,
    policyRev: PolicyRev,
  ): Promise<Run> {
    return this.transaction(async (client) => {
      await assertOpen(client, key.platformRunId);
      // The update that changes nothing locks the row, so that of two first users one sees the other's intent.
      const { rows } = await client.query<{ intent_fingerprint: string }>(
        `insert into sr_run_equivalence (run_equivalence_key, run_id, intent_fingerprint) values ($1, $2, $3)
         on conflict (run_equivalence_key) do update set last_seen_at = clock_timestamp()
         returning intent_fingerprint`,
        [intent.equivalenceKey, key.runId, intent.fingerprint],
      );
      if (rows[0]!.intent_fingerprint !== intent.fingerprint) {
        throw new ScenarioRunnerError(
          'EQUIV_KEY_COLLISION',
          `run_equivalence_key '${intent.equivalenceKey}' stands for another world, scenario or window ` +
            `(intent ${rows[0]!.intent_fingerprint}, this request has ${intent.fingerprint}); use another key`,
        );
      }
      const opened = await client.query(
        `insert into sr_runs (platform_run_id, run_id, request, pack_root, requested_pack_root, replay)
         values ($1, $2, $3, $4, $4, $5)
         on conflict do nothing`,
        [
          key.platformRunId,
          key.runId,
          JSON.stringify(asked.request),
          asked.requestedPackRoot,
          JSON.stringify(asked.replay),
        ],
      );
      if (opened.rowCount === 1) {
        await appendRecords(client, key, policyRev, [
          {
            event_kind: 'RUN_ACCEPTED',
            details: {
              run_equivalence_key: intent.equivalenceKey,
              intent_fingerprint: intent.fingerprint,
              invoker: asked.request.invoker,
            },
          },
        ]);
      }
      return existing(await select(client, key), key);
    });
  }

  async find(key: RunKey): Promise<Run | undefined> {
    return select(this.pool, key);
  }

  async get(key: RunKey): Promise<Run> {
    return existing(await this.find(key), key);
  }

  /** Runs of a platform run (or of all), newest first, optionally of one state. */
  async list(filter: {
    readonly platformRunId?: string;
    readonly runId?: string;
    readonly state?: RunState;
    readonly limit: number;
  }): Promise<Run[]> {
    const { rows } = await this.pool.query<Run>(
      `select ${RUN_COLUMNS} from sr_runs
       where ($1::text is null or platform_run_id = $1) and ($2::text is null or state = $2)
         and ($4::text is null or run_id = $4)
       order by accepted_at desc limit $3`,
      [filter.platformRunId ?? null, filter.state ?? null, filter.limit, filter.runId ?? null],
    );
    return rows;
  }

  /**
   * Commits a change as the leader. Throws LEASE_LOST when somebody else leads now, RUN_STATE_CONFLICT when the
   * run may not move there.
   */
  async commit(lease: Lease, run: Run, change: RunChange, policyRev: PolicyRev): Promise<Run> {
    return this.transaction(async (client) => {
      await lease.renew(client);
      const current = existing(await select(client, run, 'for update'), run);
      if (change.state !== undefined && !mayMove(current.state, change.state)) {
        throw new ScenarioRunnerError(
          'RUN_STATE_CONFLICT',
          `run ${run.platformRunId}/${run.runId} is ${current.state} and cannot become ${change.state}`,
        );
      }
      await client.query(
        `update sr_runs set state = coalesce($3, state),
           reason_code = case when $3::text is null then reason_code else $4 end,
           reason = case when $3::text is null then reason else $5 end,
           plan = coalesce($6, plan), facts_view = coalesce($7, facts_view),
           facts_view_ref = coalesce($8, facts_view_ref), bundle_hash = coalesce($9, bundle_hash),
           ready_signal = coalesce($10, ready_signal), pack_root = coalesce($11, pack_root)
         where platform_run_id = $1 and run_id = $2`,
        [
          run.platformRunId,
          run.runId,
          change.state ?? null,
          change.reasonCode ?? null,
          change.reason ?? null,
          json(change.plan),
          json(change.factsView),
          change.factsViewRef ?? null,
          change.factsView?.bundle_hash ?? null,
          json(change.readySignal),
          change.packRoot ?? null,
        ],
      );
      await appendRecords(client, run, policyRev, change.records ?? []);
      await insertFacts(client, run, change.facts ?? []);
      return existing(await select(client, run), run);
    });
  }

  async transaction<T>(work: (client: PoolClient) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let broken: Error | undefined;
    try {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    } catch (error) {
      // A connection that cannot even roll back is not given to the next user.
      await client.query('rollback').catch((failure: unknown) => (broken = failure as Error));
      throw error;
    } finally {
      client.release(broken);
    }
  }
}

async function select(
  client: Pool | PoolClient,
  key: RunKey,
  lock: '' | 'for update' = '',
): Promise<Run | undefined> {
  const { rows } = await client.query<Run>(
    `select ${RUN_COLUMNS} from sr_runs where platform_run_id = $1 and run_id = $2 ${lock}`,
    [key.platformRunId, key.runId],
  );
  return rows[0];
}

function existing(run: Run | undefined, key: RunKey): Run {
  if (run !== undefined) return run;
  throw new ScenarioRunnerError(
    'RUN_NOT_FOUND',
    `there is no run ${key.runId} in ${key.platformRunId}; \`fp sr status\` lists those there are`,
  );
}

function json(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}
