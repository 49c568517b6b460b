/**
 * The course of the sample world: arrivals in order of time, each with its customer, its flow and the flow's events,
 * first as ordinary business (the baseline) and, where a campaign has its hands in, as what the fraud makes of it.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import {
  BANK_DETECTION,
  cents,
  FRAUD_SHARE,
  planCampaigns,
  type CampaignPlan,
  type FraudFlow,
} from './campaigns.ts';
import { FlowShape, MEAN_EVENTS, ORDINARY, ROWS_BESIDES_EVENTS } from './flow-shape.ts';
import { CATEGORIES, Population, type Customer } from './population.ts';
import { Prng } from './prng.ts';
import { DAY_MICROS, instantOf } from './rhythm.ts';
import { StagingTable } from './staging-table.ts';

export interface WorldPlan {
  readonly seed: bigint;
  /** Rows of the fraud mode's outputs together: arrivals, entities, anchors and events. */
  readonly events: number;
  readonly days: number;
  /** Microseconds since the epoch of the first day's midnight (UTC). */
  readonly startMicros: number;
}

export interface GeneratedWorld {
  readonly population: Population;
  readonly campaigns: CampaignPlan;
  readonly flows: number;
}

/** `campaign` is -1 in ordinary flows. Event `modes`: 1 in the baseline, 2 with fraud, 3 in both. */
const FLOW_COLUMNS = {
  ordinal: 'int',
  merchant: 'int',
  arrival_seq: 'int',
  at_us: 'double',
  party: 'int',
  account: 'int',
  instrument: 'int',
  device: 'int',
  ip: 'int',
  session: 'int',
  baseline_amount: 'double',
  amount: 'double',
  campaign: 'int',
  kind: 'int',
  bank_view: 'int',
  bank_at: 'double',
} as const;

const EVENT_COLUMNS = {
  ordinal: 'int',
  seq: 'int',
  type: 'int',
  at_us: 'double',
  amount: 'double',
  modes: 'int',
} as const;

const BASELINE = 1;
const WITH_FRAUD = 2;
const BOTH = 3;

/** A device that was quiet for longer starts a new session. */
const SESSION_GAP_MICROS = 30 * 60 * 1_000_000;
/** Ordinary flows that the bank takes for fraud. */
const FALSE_ALARMS = 0.0015;
/** Ordinary purchases that look like trouble and are not: cents, or far above the customer's habit. */
const ODD_AMOUNTS = 0.02;

/** Fills the tables `flows` and `events`. `onProgress` gets the rows made so far. */
export async function generateFlows(
  connection: DuckDBConnection,
  plan: WorldPlan,
  onProgress: (rows: number) => void,
): Promise<GeneratedWorld> {
  const expectedFlows = Math.max(1, Math.round(plan.events / (ROWS_BESIDES_EVENTS + MEAN_EVENTS)));
  const population = new Population(plan.seed, expectedFlows);
  const fraudTarget = Math.round(expectedFlows * FRAUD_SHARE);
  const campaigns = planCampaigns(new Prng(plan.seed, 'campaigns'), population, fraudTarget, plan.days);
  const ordinaryFlows = Math.max(1, expectedFlows - campaigns.flows.length);

  const flowTable = await StagingTable.create(connection, 'flows', FLOW_COLUMNS);
  const eventTable = await StagingTable.create(connection, 'events', EVENT_COLUMNS);
  const random = new Prng(plan.seed, 'flows');
  const bank = new Prng(plan.seed, 'bank');
  const shapes = new Prng(plan.seed, 'shapes');
  const fraudShapes = new Prng(plan.seed, 'fraud-shapes');
  const sessions = new Sessions();
  const arrivalSeq = new Int32Array(population.merchants);
  const shape = new FlowShape();
  const customer: Customer = { party: 0, account: 0, instrument: 0, device: 0, ip: 0 };

  const emit = (at: number, modes: number, ordinal: number): void => {
    for (let i = 0; i < shape.count; i += 1) {
      eventTable.append(ordinal, i + 1, shape.type[i]!, at + shape.delay[i]!, shape.amount[i]!, modes);
    }
  };

  let remaining = plan.events;
  let ordinary = 0;
  let nextFraud = 0;
  let ordinaryAt = instantOf((random.unit() / ordinaryFlows) * plan.days);
  for (let ordinal = 0; remaining > ROWS_BESIDES_EVENTS; ordinal += 1) {
    const fraud: FraudFlow | undefined = campaigns.flows[nextFraud];
    const isFraud = fraud !== undefined && fraud.at <= ordinaryAt;
    let at: number;
    let merchant: number;
    if (isFraud) {
      nextFraud += 1;
      at = plan.startMicros + fraud.at;
      merchant = fraud.merchant;
      Object.assign(customer, fraud.customer);
    } else {
      at = plan.startMicros + ordinaryAt;
      ordinary += 1;
      ordinaryAt = Math.max(ordinaryAt, instantOf(((ordinary + random.unit()) / ordinaryFlows) * plan.days));
      merchant = population.drawMerchant(random);
      population.drawCustomer(random, merchant, customer);
    }
    const ordinaryAmount = drawAmount(random, population.merchantLogMedian[merchant]!, merchant, population);
    const amount = isFraud ? fraud.amount : ordinaryAmount;
    const kind = isFraud ? fraud.kind : ORDINARY;
    const refund = CATEGORIES[population.merchantCategory[merchant]!]!.refund;

    if (isFraud) {
      shape.build(shapes, ORDINARY, ordinaryAmount, refund);
      emit(at, BASELINE, ordinal);
      shape.build(fraudShapes, kind, amount, refund);
    } else {
      shape.build(shapes, ORDINARY, amount, refund);
    }
    const left = remaining - ROWS_BESIDES_EVENTS;
    // The last flow takes what is left, so that the world has exactly the rows asked for.
    if (shape.count > left || left - shape.count <= ROWS_BESIDES_EVENTS) shape.resize(left);
    emit(at, isFraud ? WITH_FRAUD : BOTH, ordinal);
    remaining -= ROWS_BESIDES_EVENTS + shape.count;

    const noticed = bank.chance(isFraud ? BANK_DETECTION[kind]! : FALSE_ALARMS);
    const noticedAt = at + DAY_MICROS * bank.between(0.5, 6);
    arrivalSeq[merchant]! += 1;
    flowTable.append(
      ordinal,
      merchant,
      arrivalSeq[merchant]!,
      at,
      customer.party,
      customer.account,
      customer.instrument,
      customer.device,
      customer.ip,
      sessions.of(customer.device, at),
      ordinaryAmount,
      amount,
      isFraud ? fraud.campaign : -1,
      kind,
      noticed ? 1 : 0,
      Math.floor(noticedAt),
    );
    if ((ordinal & 8191) === 0) onProgress(plan.events - remaining);
  }
  flowTable.close();
  eventTable.close();
  onProgress(plan.events);
  return { population, campaigns, flows: flowTable.rows };
}

function drawAmount(random: Prng, logMedian: number, merchant: number, population: Population): number {
  const { sigma } = CATEGORIES[population.merchantCategory[merchant]!]!;
  if (random.chance(ODD_AMOUNTS)) {
    return cents(random.chance(0.5) ? random.between(0.5, 4) : random.logNormal(Math.log(400), 0.7));
  }
  const amount = Math.min(random.logNormal(logMedian, sigma), 9_000);
  // People like round sums, too.
  return random.chance(0.06) ? Math.max(5, Math.round(amount / 5) * 5) : cents(amount);
}

/** Numbers the sessions of devices: the next one begins after half an hour of silence. */
class Sessions {
  #lastSeen = new Float64Array(1024).fill(-Infinity);
  #session = new Int32Array(1024);
  #count = 0;

  of(device: number, at: number): number {
    while (device >= this.#lastSeen.length) {
      const lastSeen = new Float64Array(this.#lastSeen.length * 2).fill(-Infinity);
      lastSeen.set(this.#lastSeen);
      this.#lastSeen = lastSeen;
      const session = new Int32Array(lastSeen.length);
      session.set(this.#session);
      this.#session = session;
    }
    if (at - this.#lastSeen[device]! > SESSION_GAP_MICROS) this.#session[device] = this.#count++;
    this.#lastSeen[device] = at;
    return this.#session[device]!;
  }
}
