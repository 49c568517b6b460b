/** The engine's own receipt at the root of its run: who it is, and which world it made. */
import type { ObjectStore } from '../../lib/index.ts';
import type { WorldKey } from '../rails/index.ts';
import { compileDocument, HEX32, HEX64, parseDocument } from './document-schema.ts';
import { OracleError, toOracleError } from './oracle-error.ts';
import { RUN_RECEIPT_FILE, type StoreRoot } from './pack-layout.ts';

/** The fields the platform relies on; the engine may write more. Its seed may be a JSON number or a decimal string. */
export interface RunReceipt {
  readonly run_id: string;
  readonly manifest_fingerprint: string;
  readonly parameter_hash: string;
  readonly seed: string;
  /** Absent in receipts of engines that run several scenarios at once. */
  readonly scenario_id: string | undefined;
  readonly engine_release: string | undefined;
}

interface StoredReceipt {
  run_id: string;
  manifest_fingerprint: string;
  parameter_hash: string;
  seed: string | number;
  scenario_id?: string;
  engine_release?: string;
}

const validate = compileDocument<StoredReceipt>({
  type: 'object',
  additionalProperties: true,
  required: ['run_id', 'manifest_fingerprint', 'parameter_hash', 'seed'],
  properties: {
    run_id: HEX32,
    manifest_fingerprint: HEX64,
    parameter_hash: HEX64,
    seed: {
      anyOf: [
        { type: 'string', pattern: '^(0|[1-9][0-9]{0,19})$' },
        // A larger number has lost bits before it got here.
        { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
      ],
    },
    scenario_id: { type: 'string', minLength: 1, maxLength: 256, nullable: true },
    engine_release: { type: 'string', minLength: 1, maxLength: 256, nullable: true },
  },
});

export function parseRunReceipt(bytes: Buffer, where: string): RunReceipt {
  const stored = parseDocument(bytes, validate, 'RUN_RECEIPT_INVALID', where);
  return {
    run_id: stored.run_id,
    manifest_fingerprint: stored.manifest_fingerprint,
    parameter_hash: stored.parameter_hash,
    seed: String(stored.seed),
    scenario_id: stored.scenario_id,
    engine_release: stored.engine_release,
  };
}

/** Throws RUN_RECEIPT_UNREADABLE or RUN_RECEIPT_INVALID. */
export async function readRunReceipt(store: ObjectStore, root: StoreRoot): Promise<RunReceipt> {
  const bucket = store.bucket(root.bucket);
  const key = `${root.key}/${RUN_RECEIPT_FILE}`;
  const bytes = await bucket.get(key).catch((error: unknown) => {
    throw toOracleError(error, 'RUN_RECEIPT_UNREADABLE', `no run receipt at ${bucket.uri(key)}`);
  });
  return parseRunReceipt(bytes, bucket.uri(key));
}

/** The world of a receipt, with the scenario from the caller where the receipt has none. */
export function worldOf(receipt: RunReceipt, scenarioId?: string): WorldKey {
  const scenario = scenarioId ?? receipt.scenario_id;
  if (scenario === undefined) {
    throw new OracleError(
      'SCENARIO_ID_MISSING',
      `run receipt of ${receipt.run_id} names no scenario: give --scenario-id`,
    );
  }
  return {
    manifest_fingerprint: receipt.manifest_fingerprint,
    parameter_hash: receipt.parameter_hash,
    scenario_id: scenario,
    seed: receipt.seed,
  };
}
