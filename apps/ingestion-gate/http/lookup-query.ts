/** The parameters of a look-up, checked before anything is asked of the ledger. */
import { isHex32, isHex64, isPlatformRunId, isText } from '../../rails/index.ts';
import type { ReceiptQuery } from '../operations/receipt-lookup.ts';
import { DoorError } from './problem.ts';

const INGRESS = /^([A-Za-z0-9._-]{1,249})\/([0-9]{1,9})\/([0-9]{1,15})$/;
const CHECKS: Readonly<Record<string, (value: string) => boolean>> = {
  receipt_id: isHex32,
  dedupe_key: isHex64,
  event_id: (value) => isText(value, 256),
  platform_run_id: isPlatformRunId,
  ingress: (value) => INGRESS.test(value),
};

/** Throws DoorError MISSING_QUERY or INVALID_QUERY. */
export function lookupQuery(parameters: Readonly<Record<string, unknown>>): ReceiptQuery {
  const given: Record<string, string> = {};
  for (const [name, value] of Object.entries(parameters)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name] : undefined;
    if (check === undefined)
      throw new DoorError('INVALID_QUERY', `there is no parameter ${name.slice(0, 64)}`);
    if (typeof value !== 'string' || !check(value))
      throw new DoorError('INVALID_QUERY', `${name} is malformed`);
    given[name] = value;
  }
  const { ingress, ...names } = given;
  if (ingress === undefined && !('receipt_id' in names) && !('event_id' in names) && !('dedupe_key' in names))
    throw new DoorError('MISSING_QUERY', 'give receipt_id, event_id, dedupe_key or ingress');
  if (ingress === undefined) return names;
  const [, topic, partition, offset] = INGRESS.exec(ingress) as unknown as [string, string, string, string];
  return { ...names, ingress: { topic, partition: Number(partition), offset: Number(offset) } };
}
