/**
 * One push: read, allow, send, and wait for what the gate commits about it. Every event that was sent has exactly one
 * outcome, whether or not the answer came in time to tell.
 */
import { randomBytes } from 'node:crypto';
import type { Logger } from '../../../lib/index.ts';
import { ANONYMOUS, type AuthMode } from './authentication.ts';
import type { PushReceipt } from './committed-outcome.ts';
import type { Claims, EventReader, IngressRecord } from './event-reader.ts';
import type { FrontDoorPolicy } from './front-door-policy.ts';
import type { DoorMetrics } from './door-metrics.ts';
import type { IngressWriter } from './ingress-writer.ts';
import type { Expected, OutcomeMatch } from './outcome-match.ts';
import { DoorError, problem, type FieldProblem, type ProblemDetails } from './problem.ts';

export interface Admitted {
  readonly decision: 'ADMIT' | 'DUPLICATE';
  readonly receipt: PushReceipt;
  /** Where the ledger shows the receipt from now on. */
  readonly receipt_ref: string;
}

export interface PushAnswer {
  readonly status: number;
  readonly body: Admitted | ProblemDetails;
  readonly retryAfter?: number;
}

export interface PushServiceOptions {
  readonly reader: EventReader;
  readonly writer: IngressWriter;
  readonly match: OutcomeMatch<PushReceipt>;
  readonly policy: FrontDoorPolicy;
  readonly authMode: AuthMode;
  readonly ingressTopic: string;
  readonly metrics: DoorMetrics;
  readonly logger: Logger;
}

const PENDING_RETRY_SECONDS = 2;

interface Sent {
  readonly record: IngressRecord;
  readonly expected: Expected<PushReceipt>;
  readonly acknowledged: Promise<void>;
}

export class PushService {
  readonly #options: PushServiceOptions;
  readonly #instance = randomBytes(6).toString('hex');
  #sequence = 0;

  constructor(options: PushServiceOptions) {
    this.#options = options;
  }

  /** Answers in the order of the events. Rejects for nothing that concerns a single event. */
  async push(events: readonly Buffer[], principal: string): Promise<PushAnswer[]> {
    const started = performance.now();
    const { outcome_timeout_ms: timeoutMs } = this.#options.policy.limits;
    const sent: (Sent | PushAnswer)[] = [];
    for (const event of events) sent.push(await this.#send(event, principal));
    let expire!: () => void;
    const expired = new Promise<void>((done) => (expire = done));
    const timer = setTimeout(expire, timeoutMs);
    try {
      return await Promise.all(
        sent.map(async (one) => {
          const answer = 'status' in one ? one : await this.#answer(one, expired);
          this.#options.metrics.answered(answer, (performance.now() - started) / 1000);
          return answer;
        }),
      );
    } finally {
      clearTimeout(timer);
    }
  }

  async #send(event: Buffer, principal: string): Promise<Sent | PushAnswer> {
    const { reader, match, writer, policy } = this.#options;
    let record: IngressRecord;
    try {
      const most = policy.limits.max_event_bytes;
      if (event.length > most)
        throw new DoorError('PAYLOAD_TOO_LARGE', `${event.length} bytes; the limit is ${most}`);
      record = await reader.read(event, (claims) => this.#allowClaims(claims, principal));
      this.#allowRecord(record, principal);
      if (record.value.length > most) {
        throw new DoorError(
          'PAYLOAD_TOO_LARGE',
          `${record.value.length} bytes as Avro; the limit is ${most}`,
        );
      }
    } catch (error) {
      return refusal(error);
    }
    this.#sequence += 1;
    const pushId = `${this.#instance}-${this.#sequence}`;
    const expected = match.expect(pushId);
    return { record, expected, acknowledged: writer.write(record, pushId, principal) };
  }

  /** Before mapping: what the event says of itself must be the principal's to say. */
  #allowClaims({ producer, event_type: eventType }: Claims, principal: string): void {
    if (this.#options.authMode === 'disabled') return;
    if (producer !== undefined && producer !== principal) throw mismatch(JSON.stringify(producer), principal);
    const allowed = this.#options.policy.producers[principal]?.event_types;
    if (allowed === undefined) {
      throw new DoorError(
        'PRODUCER_NOT_ALLOWED',
        `the policy of the front door has no producer ${principal}`,
      );
    }
    if (eventType !== undefined && !allowed.includes(eventType)) {
      throw new DoorError(
        'EVENT_TYPE_NOT_ALLOWED',
        `${principal} may push ${allowed.join(', ')}; not ${eventType}`,
      );
    }
  }

  /** What can be admitted must name its producer; what cannot is evidence only. */
  #allowRecord(record: IngressRecord, principal: string): void {
    if (this.#options.authMode === 'disabled' || principal === ANONYMOUS) return;
    if (record.problems.length === 0 && record.claims.producer === undefined)
      throw mismatch('absent', principal);
  }

  async #answer({ record, expected, acknowledged }: Sent, expired: Promise<void>): Promise<PushAnswer> {
    // Settles only by failing: an acknowledged event goes on to wait for its outcome.
    const lost = new Promise<Error>((done) => {
      acknowledged.catch((error: unknown) => done(error as Error));
    });
    const settled = await Promise.race([expected.outcome, expired, lost]);
    if (settled !== undefined && !(settled instanceof Error)) return answerOf(settled, record.problems);
    const ingress = expected.ingress;
    expected.cancel();
    if (ingress === undefined) {
      this.#options.logger.warn(
        { reason: settled?.message ?? 'timeout', event_id: record.claims.event_id },
        'a pushed event was not acknowledged',
      );
      const detail =
        'the event may or may not be on ingress; push it again, it is admitted once' +
        (settled === undefined ? '' : ` (${settled.message})`);
      return refusal(
        new DoorError('INGRESS_NOT_ACKNOWLEDGED', detail, { retryAfter: PENDING_RETRY_SECONDS }),
      );
    }
    const at = { topic: this.#options.ingressTopic, ...ingress };
    return refusal(
      new DoorError('OUTCOME_PENDING', 'the event is safe on ingress; look its outcome up', {
        retryAfter: PENDING_RETRY_SECONDS,
        members: { ingress: at, lookup: `/v1/ops/lookup?ingress=${at.topic}/${at.partition}/${at.offset}` },
      }),
    );
  }
}

function mismatch(found: string, principal: string): DoorError {
  return new DoorError(
    'PRODUCER_MISMATCH',
    `the event's producer is ${found}, the principal is ${principal}`,
  );
}

export function refusal(error: unknown): PushAnswer {
  if (!(error instanceof DoorError)) throw error;
  return {
    status: error.problem.status,
    body: error.problem,
    ...(error.retryAfter === undefined ? {} : { retryAfter: error.retryAfter }),
  };
}

function answerOf(receipt: PushReceipt, problems: readonly FieldProblem[]): PushAnswer {
  if (receipt.decision !== 'QUARANTINE') {
    const { decision } = receipt;
    return { status: 202, body: { decision, receipt, receipt_ref: lookupOf(receipt) } };
  }
  const found = problems.map(({ field, message }) => `${field} ${message}`).join('; ');
  const detail = found === '' ? (receipt.reason_detail ?? '') : found;
  return {
    status: 400,
    body: problem('QUARANTINED', `${receipt.reason_codes.join(', ')}: ${detail}`, {
      retryable: receipt.retryable,
      ...(problems.length === 0 ? {} : { errors: problems }),
      decision: receipt.decision,
      receipt,
      receipt_ref: lookupOf(receipt),
    }),
  };
}

function lookupOf({ receipt_id: id }: PushReceipt): string {
  return `/v1/ops/lookup?receipt_id=${id}`;
}
