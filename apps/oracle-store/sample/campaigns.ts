/**
 * The sample world's fraud: campaigns of several kinds, each a burst of flows that differs from ordinary business in
 * things a decision can see online (amounts, pace, new devices and addresses, one device with many cards, one
 * merchant with the same few customers, refunds), and never by a single tell-tale value.
 */
import type { Customer, Population } from './population.ts';
import type { Prng } from './prng.ts';
import { DAY_MICROS, instantOf } from './rhythm.ts';

export const CAMPAIGN_KINDS = [
  'CARD_TESTING',
  'ACCOUNT_TAKEOVER',
  'MERCHANT_COLLUSION',
  'REFUND_ABUSE',
  'IDENTITY_BUSTOUT',
] as const;

/** Indices of the kinds above that other modules name. */
export const CARD_TESTING = 0;
export const ACCOUNT_TAKEOVER = 1;
export const REFUND_ABUSE = 3;

/** How likely a bank notices a flow of each kind. */
export const BANK_DETECTION = [0.72, 0.85, 0.3, 0.35, 0.55] as const;

/** Share of all flows that belong to campaigns. */
export const FRAUD_SHARE = 0.025;

export interface FraudFlow {
  /** Microseconds since the world's start. */
  readonly at: number;
  readonly campaign: number;
  readonly kind: number;
  readonly merchant: number;
  readonly customer: Customer;
  readonly amount: number;
}

export interface CampaignPlan {
  /** In order of time. */
  readonly flows: readonly FraudFlow[];
  /** Kind by campaign number. */
  readonly kinds: readonly number[];
}

const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Campaigns with `target` flows in all, or a few more, within the world's days. */
export function planCampaigns(
  random: Prng,
  population: Population,
  target: number,
  days: number,
): CampaignPlan {
  const flows: FraudFlow[] = [];
  const kinds: number[] = [];
  while (flows.length < target) {
    const campaign = kinds.length;
    const kind = campaign % CAMPAIGN_KINDS.length;
    kinds.push(kind);
    // Start early enough for the campaign to happen inside of the world.
    let at = Math.min(instantOf(random.unit() * days), days * DAY_MICROS - 4 * HOUR);
    const add = (merchant: number, customer: Customer, amount: number): void => {
      flows.push({ at, campaign, kind, merchant, customer: { ...customer }, amount: cents(amount) });
    };
    // In a small world no campaign takes the place of the other kinds.
    const room = Math.max(4, Math.min(target - flows.length + 4, Math.ceil(target / CAMPAIGN_KINDS.length)));
    BUILDERS[kind]!(random, population, room, add, (step) => (at += Math.floor(step)));
  }
  flows.sort((a, b) => a.at - b.at || a.campaign - b.campaign);
  return { flows, kinds };
}

type Builder = (
  random: Prng,
  population: Population,
  room: number,
  add: (merchant: number, customer: Customer, amount: number) => void,
  advance: (micros: number) => void,
) => void;

const nobody = (): Customer => ({ party: 0, account: 0, instrument: 0, device: 0, ip: 0 });

const BUILDERS: readonly Builder[] = [
  // CARD_TESTING: one device runs through stolen cards with tiny amounts at one web shop, seconds apart.
  (random, population, room, add, advance) => {
    const merchant = population.drawOnlineMerchant(random, false);
    const device = population.newDevice();
    let ip = population.newIp();
    const customer = nobody();
    for (let n = Math.min(room, 12 + random.below(28)); n > 0; n -= 1) {
      population.holder(random, random.below(population.parties), customer);
      if (random.chance(0.1)) ip = population.newIp();
      customer.device = device;
      customer.ip = ip;
      add(merchant, customer, random.between(0.5, 3.2));
      advance(random.between(2 * SECOND, 25 * SECOND));
    }
  },
  // ACCOUNT_TAKEOVER: one victim's cards from a new device and address, high amounts within a few hours.
  (random, population, room, add, advance) => {
    const party = random.below(population.parties);
    const device = population.newDevice();
    const ip = population.newIp();
    const customer = nobody();
    for (let n = Math.min(room, 3 + random.below(6)); n > 0; n -= 1) {
      population.holder(random, party, customer);
      customer.device = device;
      customer.ip = ip;
      add(population.drawOnlineMerchant(random, true), customer, random.logNormal(Math.log(480), 0.6));
      advance(random.between(2 * MINUTE, 28 * MINUTE));
    }
  },
  // MERCHANT_COLLUSION: a small merchant, a ring of the same few customers, round amounts.
  (random, population, room, add, advance) => {
    const merchant = population.drawSmallMerchant(random);
    const ring = Array.from({ length: 4 + random.below(7) }, () => random.below(population.parties));
    const customer = nobody();
    for (let n = Math.min(room, 10 + random.below(16)); n > 0; n -= 1) {
      population.holder(random, ring[random.below(ring.length)]!, customer);
      add(merchant, customer, 50 * (2 + random.below(9)));
      advance(random.between(3 * MINUTE, 14 * MINUTE));
    }
  },
  // REFUND_ABUSE: one customer buys here and there and has nearly everything refunded.
  (random, population, room, add, advance) => {
    const party = random.below(population.parties);
    const customer = nobody();
    for (let n = Math.min(room, 5 + random.below(8)); n > 0; n -= 1) {
      population.holder(random, party, customer);
      add(population.drawOnlineMerchant(random, false), customer, random.logNormal(Math.log(90), 0.5));
      advance(random.between(8 * MINUTE, 30 * MINUTE));
    }
  },
  // IDENTITY_BUSTOUT: many made-up identities on one device; small purchases first, then ever larger ones.
  (random, population, room, add, advance) => {
    const device = population.newDevice();
    const ip = population.newIp();
    const identities = Array.from({ length: 3 + random.below(4) }, () => random.below(population.parties));
    const customer = nobody();
    const flows = Math.min(room, 8 + random.below(12));
    for (let n = 0; n < flows; n += 1) {
      population.holder(random, identities[n % identities.length]!, customer);
      customer.device = device;
      customer.ip = ip;
      const growth = 12 * Math.pow(1.38, n);
      add(population.drawOnlineMerchant(random, n > flows / 2), customer, growth * random.between(0.8, 1.2));
      advance(random.between(3 * MINUTE, 15 * MINUTE));
    }
  },
];

/** Two decimals, at least one cent. */
export function cents(amount: number): number {
  return Math.max(1, Math.round(amount * 100)) / 100;
}
