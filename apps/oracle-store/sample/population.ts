/**
 * Who lives in the sample world: merchants with a category, a size and a place; parties with accounts, cards, devices
 * and addresses. Everything is an index into typed arrays; 64-bit ids are derived from indexes when files are written.
 */
import { Prng, WeightedChoice } from './prng.ts';

/** ISO 18245-like categories: typical amount (median, spread), share of merchants, chance of a refund. */
export const CATEGORIES = [
  { name: 'grocery', mcc: 5411, median: 32, sigma: 0.7, share: 0.2, online: 0.05, refund: 0.01 },
  { name: 'restaurant', mcc: 5812, median: 24, sigma: 0.6, share: 0.19, online: 0.05, refund: 0.005 },
  { name: 'fuel', mcc: 5541, median: 45, sigma: 0.4, share: 0.09, online: 0, refund: 0.003 },
  { name: 'clothing', mcc: 5651, median: 55, sigma: 0.8, share: 0.13, online: 0.45, refund: 0.09 },
  { name: 'electronics', mcc: 5732, median: 160, sigma: 1, share: 0.07, online: 0.6, refund: 0.06 },
  { name: 'pharmacy', mcc: 5912, median: 18, sigma: 0.6, share: 0.09, online: 0.1, refund: 0.01 },
  { name: 'travel', mcc: 4722, median: 320, sigma: 0.9, share: 0.05, online: 0.8, refund: 0.05 },
  { name: 'digital-goods', mcc: 5816, median: 9, sigma: 0.9, share: 0.1, online: 1, refund: 0.02 },
  { name: 'marketplace', mcc: 5399, median: 38, sigma: 1, share: 0.08, online: 0.9, refund: 0.07 },
] as const;

/** Time zones with their share of the population. */
export const ZONES = [
  { tzid: 'Europe/London', country: 'GB', share: 0.3 },
  { tzid: 'Europe/Berlin', country: 'DE', share: 0.25 },
  { tzid: 'Europe/Madrid', country: 'ES', share: 0.15 },
  { tzid: 'America/New_York', country: 'US', share: 0.18 },
  { tzid: 'Asia/Singapore', country: 'SG', share: 0.07 },
  { tzid: 'Australia/Sydney', country: 'AU', share: 0.05 },
] as const;

const ELECTRONICS = CATEGORIES.findIndex((category) => category.name === 'electronics');

/** Shares of a merchant's sales by its rank: Zipf with this exponent. */
const MERCHANT_ZIPF = 0.95;
/** How often a customer buys from a merchant at home. */
const HOME_SALES = 0.88;

export interface Customer {
  party: number;
  account: number;
  instrument: number;
  device: number;
  ip: number;
}

export class Population {
  readonly merchants: number;
  readonly parties: number;
  readonly merchantCategory: Uint8Array;
  readonly merchantZone: Uint8Array;
  /** 1 for merchants without a place (e-commerce). */
  readonly merchantVirtual: Uint8Array;
  /** Natural logarithm of the merchant's median amount. */
  readonly merchantLogMedian: Float64Array;
  readonly merchantShare: Float64Array;
  readonly partyZone: Uint8Array;
  /** First account, instrument and device of each party; the next party's first one ends the range. */
  readonly #firstAccount: Int32Array;
  readonly #firstInstrument: Int32Array;
  readonly #firstDevice: Int32Array;
  readonly #homeIp: Int32Array;
  #devices: number;
  #ips: number;
  readonly #merchantChoice: WeightedChoice;
  readonly #partiesOfZone: readonly Int32Array[];
  readonly #partyChoiceOfZone: readonly (WeightedChoice | undefined)[];
  readonly #onlineMerchants: readonly number[];

  constructor(seed: bigint, arrivals: number) {
    const random = new Prng(seed, 'population');
    this.merchants = Math.min(20_000, Math.max(24, Math.round(arrivals / 40)));
    this.parties = Math.max(60, Math.round(arrivals / 4));

    const categories = new WeightedChoice(CATEGORIES.map((category) => category.share));
    const zones = new WeightedChoice(ZONES.map((zone) => zone.share));
    this.merchantCategory = new Uint8Array(this.merchants);
    this.merchantZone = new Uint8Array(this.merchants);
    this.merchantVirtual = new Uint8Array(this.merchants);
    this.merchantLogMedian = new Float64Array(this.merchants);
    this.merchantShare = new Float64Array(this.merchants);
    let total = 0;
    for (let m = 0; m < this.merchants; m += 1) {
      const category = categories.draw(random);
      const { median, online } = CATEGORIES[category]!;
      this.merchantCategory[m] = category;
      this.merchantZone[m] = zones.draw(random);
      this.merchantVirtual[m] = random.chance(online) ? 1 : 0;
      this.merchantLogMedian[m] = Math.log(median) + 0.35 * random.normal();
      this.merchantShare[m] = 1 / Math.pow(m + 1, MERCHANT_ZIPF);
      total += this.merchantShare[m]!;
    }
    for (let m = 0; m < this.merchants; m += 1) this.merchantShare[m] = this.merchantShare[m]! / total;
    this.#merchantChoice = new WeightedChoice(this.merchantShare);

    this.partyZone = new Uint8Array(this.parties);
    this.#firstAccount = new Int32Array(this.parties + 1);
    this.#firstDevice = new Int32Array(this.parties + 1);
    this.#homeIp = new Int32Array(this.parties);
    const activity = new Float64Array(this.parties);
    let accounts = 0;
    let devices = 0;
    let ips = 0;
    for (let p = 0; p < this.parties; p += 1) {
      this.partyZone[p] = zones.draw(random);
      activity[p] = random.logNormal(0, 0.9);
      this.#firstAccount[p] = accounts;
      accounts += random.chance(0.2) ? 2 : 1;
      this.#firstDevice[p] = devices;
      devices += 1 + (random.chance(0.35) ? 1 : 0) + (random.chance(0.08) ? 1 : 0);
      // Households and carrier networks share addresses.
      this.#homeIp[p] = p > 0 && random.chance(0.18) ? this.#homeIp[random.below(p)]! : ips++;
    }
    this.#firstAccount[this.parties] = accounts;
    this.#firstDevice[this.parties] = devices;
    this.#devices = devices;
    this.#ips = ips;
    this.#firstInstrument = new Int32Array(accounts + 1);
    let instruments = 0;
    for (let a = 0; a < accounts; a += 1) {
      this.#firstInstrument[a] = instruments;
      instruments += random.chance(0.3) ? 2 : 1;
    }
    this.#firstInstrument[accounts] = instruments;

    this.#partiesOfZone = ZONES.map((_zone, z) => indexesWhere(this.partyZone, z));
    this.#partyChoiceOfZone = this.#partiesOfZone.map((parties) =>
      parties.length === 0 ? undefined : new WeightedChoice(Array.from(parties, (p) => activity[p]!)),
    );
    const online = [...indexesWhere(this.merchantVirtual, 1)];
    this.#onlineMerchants = online.length === 0 ? [0] : online;
  }

  drawMerchant(random: Prng): number {
    return this.#merchantChoice.draw(random);
  }

  /** An e-commerce merchant, any size; `electronics` prefers shops whose goods sell on. */
  drawOnlineMerchant(random: Prng, electronics: boolean): number {
    let merchant = this.#onlineMerchants[random.below(this.#onlineMerchants.length)]!;
    for (let i = 0; electronics && i < 8 && this.merchantCategory[merchant] !== ELECTRONICS; i += 1) {
      merchant = this.#onlineMerchants[random.below(this.#onlineMerchants.length)]!;
    }
    return merchant;
  }

  /** One of the smaller merchants. */
  drawSmallMerchant(random: Prng): number {
    const half = Math.floor(this.merchants / 2);
    return half + random.below(this.merchants - half);
  }

  /** A customer of this merchant with the card, device and address used. */
  drawCustomer(random: Prng, merchant: number, into: Customer): void {
    let zone: number = this.merchantZone[merchant]!;
    if (this.merchantVirtual[merchant] === 1 || !random.chance(HOME_SALES)) zone = random.below(ZONES.length);
    let choice = this.#partyChoiceOfZone[zone];
    // Small worlds may have nobody in a zone.
    while (choice === undefined) {
      zone = (zone + 1) % ZONES.length;
      choice = this.#partyChoiceOfZone[zone];
    }
    this.holder(random, this.#partiesOfZone[zone]![choice.draw(random)]!, into);
    if (random.chance(0.012)) into.device = this.newDevice();
    if (random.chance(0.05)) into.ip = this.newIp();
  }

  /** The party with one of its accounts, cards and devices, at home. */
  holder(random: Prng, party: number, into: Customer): void {
    into.party = party;
    into.account = pick(random, this.#firstAccount, party);
    into.instrument = pick(random, this.#firstInstrument, into.account);
    into.device = pick(random, this.#firstDevice, party);
    into.ip = this.#homeIp[party]!;
  }

  /** A device or address that nobody has used before. */
  newDevice(): number {
    return this.#devices++;
  }
  newIp(): number {
    return this.#ips++;
  }
  get devices(): number {
    return this.#devices;
  }
}

function pick(random: Prng, first: Int32Array, owner: number): number {
  const from = first[owner]!;
  const count = first[owner + 1]! - from;
  return count === 1 ? from : from + random.below(count);
}

function indexesWhere(values: Uint8Array, wanted: number): Int32Array {
  const found: number[] = [];
  for (let i = 0; i < values.length; i += 1) if (values[i] === wanted) found.push(i);
  return Int32Array.from(found);
}
