/** The events of one flow: authorisation, perhaps a step-up, clearing or reversal, perhaps refunds. */
import { cents, CARD_TESTING, ACCOUNT_TAKEOVER, REFUND_ABUSE } from './campaigns.ts';
import type { Prng } from './prng.ts';

export const EVENT_TYPES = [
  'AUTH_REQUEST',
  'STEP_UP_CHALLENGE',
  'STEP_UP_COMPLETE',
  'AUTH_RESPONSE',
  'CLEARING',
  'REFUND',
  'REVERSAL',
] as const;

const AUTH_REQUEST = 0;
const STEP_UP_CHALLENGE = 1;
const STEP_UP_COMPLETE = 2;
const AUTH_RESPONSE = 3;
const CLEARING = 4;
const REFUND = 5;
const REVERSAL = 6;

const MILLI = 1_000;
const SECOND = 1_000_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Mean events of an ordinary flow, measured over 10^6 of them: how many flows make a world of N rows. */
export const MEAN_EVENTS = 3.02;
/** Rows of a flow besides its events: arrival, entities, anchor. */
export const ROWS_BESIDES_EVENTS = 3;
/** No flow has more events than this, padding included. */
const MOST_EVENTS = 12;

/** Not part of a campaign. */
export const ORDINARY = -1;

/** The events of one flow, reused from flow to flow; event_seq is the index plus one. */
export class FlowShape {
  count = 0;
  readonly type = new Uint8Array(MOST_EVENTS);
  /** Microseconds after the arrival; never less than the one before. */
  readonly delay = new Float64Array(MOST_EVENTS);
  readonly amount = new Float64Array(MOST_EVENTS);

  #add(type: number, delay: number, amount: number): void {
    const i = this.count++;
    this.type[i] = type;
    this.delay[i] = Math.floor(delay);
    this.amount[i] = amount;
  }

  /** `kind` is a campaign kind or ORDINARY; `refund` the merchant's chance of one. */
  build(random: Prng, kind: number, amount: number, refund: number): void {
    this.count = 0;
    let at = random.chance(0.2) ? 0 : random.between(1 * MILLI, 60 * MILLI);
    this.#add(AUTH_REQUEST, at, amount);
    const stepUp = kind === ACCOUNT_TAKEOVER ? 0.3 : amount > 250 ? 0.16 : 0.02;
    let abandoned = false;
    if (random.chance(stepUp)) {
      at += random.between(150 * MILLI, 900 * MILLI);
      this.#add(STEP_UP_CHALLENGE, at, amount);
      abandoned = random.chance(kind === ACCOUNT_TAKEOVER ? 0.45 : 0.1);
      if (!abandoned) {
        at += random.between(4 * SECOND, 45 * SECOND);
        this.#add(STEP_UP_COMPLETE, at, amount);
      }
    }
    at += abandoned ? random.between(60 * SECOND, 120 * SECOND) : random.between(80 * MILLI, 700 * MILLI);
    this.#add(AUTH_RESPONSE, at, amount);
    const declined = kind === CARD_TESTING ? 0.55 : kind === ACCOUNT_TAKEOVER ? 0.2 : 0.05;
    if (abandoned || random.chance(declined)) return;
    if (random.chance(0.012)) {
      this.#add(REVERSAL, at + random.between(30 * SECOND, 20 * MINUTE), amount);
      return;
    }
    at += Math.min(random.logNormal(Math.log(1.5 * HOUR), 0.7), 12 * HOUR);
    this.#add(CLEARING, at, amount);
    if (!random.chance(kind === REFUND_ABUSE ? 0.85 : refund)) return;
    at += kind === REFUND_ABUSE ? random.between(10 * MINUTE, 2 * HOUR) : random.between(1 * HOUR, 12 * HOUR);
    const whole = kind === REFUND_ABUSE || random.chance(0.7);
    this.#add(REFUND, at, whole ? amount : cents(amount * random.between(0.1, 0.9)));
  }

  /**
   * Cuts or extends the flow to `events`, so that a world has exactly the rows asked for. An extended flow is cleared
   * and then refunded in parts.
   */
  resize(events: number): void {
    if (events <= this.count) {
      this.count = events;
      return;
    }
    const amount = this.amount[0]!;
    while (this.count < events) {
      const last = this.count - 1;
      const cleared = this.type.subarray(0, this.count).includes(CLEARING);
      this.#add(
        cleared ? REFUND : CLEARING,
        this.delay[last]! + 1 * HOUR,
        cleared ? cents(amount / 8) : amount,
      );
    }
  }
}
