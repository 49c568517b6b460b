/**
 * The lease that makes one process the leader of a run.
 *
 * It lives in Postgres, beside the state it guards: every commit of the leader checks and renews it in its own
 * transaction (`renew`), so a process that lost its lease while it slept cannot write anything any more. A leader
 * also holds an advisory lock on a connection of its own, so that when it dies its successor need not wait for the
 * lease to expire. The token is the leader's secret and goes into no record, artifact or log.
 */
import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { Client, type Pool, type PoolClient } from 'pg';
import { sha256Hex } from '../rails/index.ts';
import { ScenarioRunnerError } from './reason-codes.ts';

/** What a lease is about: a run, or one kind of re-emit of a run (`reemit:<run_id>:<kind>`). */
export interface LeaseSubject {
  readonly platformRunId: string;
  readonly subject: string;
}

export class Lease {
  readonly #session: Client;
  readonly #on: LeaseSubject;
  readonly #token: string;
  readonly #ttlSeconds: number;

  private constructor(session: Client, on: LeaseSubject, token: string, ttlSeconds: number) {
    this.#session = session;
    this.#on = on;
    this.#token = token;
    this.#ttlSeconds = ttlSeconds;
  }

  /**
   * Takes the lease if it is free, has expired, or its holder's connection is gone; undefined when somebody else
   * holds it.
   */
  static async acquire(pool: Pool, on: LeaseSubject, ttlSeconds: number): Promise<Lease | undefined> {
    // Outside of the pool: leases held for long must not use up the connections that commits need.
    const session = new Client(pool.options);
    // A connection lost later is no event to act on: the lease itself says at the next commit who leads.
    session.on('error', () => undefined);
    await session.connect();
    try {
      // Unique per acquisition, so that a token never fits a later lease of the same process.
      const owner = `${hostname()}-${process.pid}-${randomBytes(8).toString('hex')}`;
      const token = sha256Hex(`${on.subject}|${owner}|${new Date().toISOString()}`);
      const { rows } = await session.query<{ alone: boolean }>(
        `select pg_try_advisory_lock(hashtextextended('sr_run_leases/' || $1 || '/' || $2, 0)) as alone`,
        [on.platformRunId, on.subject],
      );
      const { rowCount } = await session.query(
        `insert into sr_run_leases (platform_run_id, run_id, owner_id, lease_token, expires_at)
         values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5))
         on conflict (platform_run_id, run_id) do update
           set owner_id = excluded.owner_id, lease_token = excluded.lease_token,
               expires_at = excluded.expires_at, updated_at = clock_timestamp()
           where $6 or sr_run_leases.expires_at <= clock_timestamp()`,
        [on.platformRunId, on.subject, owner, token, ttlSeconds, rows[0]!.alone],
      );
      if (rowCount === 1) return new Lease(session, on, token, ttlSeconds);
    } catch (error) {
      await session.end();
      throw error;
    }
    await session.end();
    return undefined;
  }

  /**
   * Extends the lease inside the caller's transaction and locks its row until that ends, so that nobody can take
   * over between this check and the commit. Throws LEASE_LOST when it is not ours any more.
   */
  async renew(client: PoolClient): Promise<void> {
    const { rowCount } = await client.query(
      `update sr_run_leases
         set expires_at = clock_timestamp() + make_interval(secs => $4), updated_at = clock_timestamp()
       where platform_run_id = $1 and run_id = $2 and lease_token = $3 and expires_at > clock_timestamp()`,
      [this.#on.platformRunId, this.#on.subject, this.#token, this.#ttlSeconds],
    );
    if (rowCount !== 1) {
      throw new ScenarioRunnerError(
        'LEASE_LOST',
        `the lease of ${this.#on.platformRunId}/${this.#on.subject} expired or was taken over; ` +
          'its new holder carries on from what is committed: submit again to see it',
      );
    }
  }

  /**
   * Keeps the lease while something long is done. The work is told through its signal when the lease is lost, and
   * this then rejects with LEASE_LOST whatever the work says.
   */
  async holdDuring<T>(
    store: { transaction<R>(work: (client: PoolClient) => Promise<R>): Promise<R> },
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const lost = new AbortController();
    let renewing: Promise<void> = Promise.resolve();
    const timer = setInterval(
      () => {
        renewing = store
          .transaction((client) => this.renew(client))
          .catch((error: unknown) => {
            // A server that is away for a moment takes nothing from us; only a lease that is gone does.
            if (error instanceof ScenarioRunnerError) lost.abort(error);
          });
      },
      (this.#ttlSeconds * 1000) / 3,
    );
    try {
      const result = await work(lost.signal);
      lost.signal.throwIfAborted();
      return result;
    } finally {
      clearInterval(timer);
      // A renewal that is still under way must not outlive the release of the lease.
      await renewing;
    }
  }

  /**
   * Gives the lease back. Releasing a lost lease changes nothing, and a release that cannot reach the server need
   * not: the advisory lock ends with the connection.
   */
  async release(): Promise<void> {
    await this.#session
      .query('delete from sr_run_leases where platform_run_id = $1 and run_id = $2 and lease_token = $3', [
        this.#on.platformRunId,
        this.#on.subject,
        this.#token,
      ])
      .catch(() => undefined);
    await this.#session.end().catch(() => undefined);
  }
}
