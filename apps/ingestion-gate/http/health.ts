/**
 * How the gate is, as seen from its front door: probes run in the background, answers come from what they last found.
 *
 * RED means that a push could not get an outcome: brokers, registry, the gate itself, or this door's tail of
 * outcomes. AMBER means that pushes go on and something behind them waits: PostgreSQL and the object store only hold what
 * the ledger has read from Kafka, so their absence delays look-ups and loses nothing.
 */

export type HealthState = 'GREEN' | 'AMBER' | 'RED';

export const HEALTH_REASONS = {
  BUS_UNHEALTHY: 'RED',
  SCHEMA_REGISTRY_UNHEALTHY: 'RED',
  GATE_NOT_RUNNING: 'RED',
  OUTCOME_TAIL_STOPPED: 'RED',
  DRAINING: 'RED',
  NOT_PROBED: 'RED',
  GATE_LAGGING: 'AMBER',
  OPS_DB_UNHEALTHY: 'AMBER',
  OBJECT_STORE_UNHEALTHY: 'AMBER',
} as const satisfies Record<string, HealthState>;

export type HealthReason = keyof typeof HEALTH_REASONS;

export interface Health {
  readonly state: HealthState;
  readonly reasons: readonly { readonly code: HealthReason; readonly detail: string }[];
  /** When the oldest of the probes' findings was made; null before the first round. */
  readonly checked_at_utc: string | null;
}

/** Resolves with what is wrong, or nothing; a rejection or a late answer means `code`. */
export interface HealthProbe {
  readonly code: HealthReason;
  check(): Promise<{ readonly code: HealthReason; readonly detail: string } | undefined>;
}

export interface HealthMonitorOptions {
  readonly probes: readonly HealthProbe[];
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  #found: Health = {
    state: 'RED',
    reasons: [{ code: 'NOT_PROBED', detail: 'the first round of probes is under way' }],
    checked_at_utc: null,
  };
  #draining = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  get draining(): boolean {
    return this.#draining;
  }

  /** What was last found. Never waits. */
  current(): Health {
    if (!this.#draining) return this.#found;
    return {
      ...this.#found,
      state: 'RED',
      reasons: [{ code: 'DRAINING', detail: 'this instance is stopping' }, ...this.#found.reasons],
    };
  }

  drain(): void {
    this.#draining = true;
  }

  /** Probes once and goes on in the background until `stop`. */
  async start(): Promise<void> {
    await this.refresh();
    const again = (): void => {
      if (this.#stopped) return;
      this.#timer = setTimeout(() => void this.refresh().finally(again), this.#options.intervalMs ?? 5_000);
      this.#timer.unref();
    };
    again();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async refresh(): Promise<void> {
    const at = new Date().toISOString();
    const found = await Promise.all(this.#options.probes.map((probe) => this.#check(probe)));
    const reasons = found.filter((one) => one !== undefined);
    const states = reasons.map(({ code }): HealthState => HEALTH_REASONS[code]);
    this.#found = {
      state: states.includes('RED') ? 'RED' : states.includes('AMBER') ? 'AMBER' : 'GREEN',
      reasons,
      checked_at_utc: at,
    };
  }

  async #check(probe: HealthProbe): Promise<{ code: HealthReason; detail: string } | undefined> {
    const timeoutMs = this.#options.timeoutMs ?? 3_000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<{ code: HealthReason; detail: string }>((done) => {
      timer = setTimeout(
        () => done({ code: probe.code, detail: `no answer within ${timeoutMs} ms` }),
        timeoutMs,
      );
    });
    try {
      return await Promise.race([probe.check(), late]);
    } catch (error) {
      return { code: probe.code, detail: (error as Error).message };
    } finally {
      clearTimeout(timer);
    }
  }
}
