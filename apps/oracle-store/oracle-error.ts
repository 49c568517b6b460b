/** Everything that can be wrong with a sealed world, as one typed list of codes. */
import { isObjectStoreError } from '../../lib/index.ts';

export const ORACLE_CODES = [
  // Pack
  'SCENARIO_ID_MISSING',
  'PACK_ROOT_NOT_FOUND',
  'WORLD_KEY_MISSING',
  'MANIFEST_MISMATCH',
  'SEAL_MISMATCH',
  'PACK_MANIFEST_MISSING',
  'PACK_MANIFEST_INVALID',
  'PACK_NOT_SEALED',
  'PACK_SEALED_FAILED',
  'PACK_TOMBSTONED',
  'ORACLE_ROOT_IN_PLATFORM_BUCKET',
  // Engine run
  'ENGINE_ROOT_NOT_FOUND',
  'RUN_RECEIPT_UNREADABLE',
  'RUN_RECEIPT_INVALID',
  'SCENARIO_ID_AMBIGUOUS',
  'GATE_RECEIPT_MISSING',
  'GATE_EVIDENCE_MISMATCH',
  'REQUIRED_GATE_NOT_PASS',
  'OUTPUT_UNKNOWN',
  'OUTPUT_MISSING',
  'TEMPLATE_TOKEN_MISSING',
  'SYNC_CONFLICT',
  // Stream view
  'STREAM_VIEW_MISSING',
  'STREAM_RECEIPT_MISSING',
  'STREAM_RECEIPT_MISMATCH',
  'STREAM_VIEW_PARTIAL_EXISTS',
  'MISSING_SORT_KEY',
  'MISSING_TS_UTC',
  'OUTPUT_PATHS_EMPTY',
  'OUTPUT_IDS_MISSING',
  'STREAM_SORT_TS_RANGE_MISSING',
  'STREAM_SORT_OUTPUT_EMPTY',
  'STREAM_SORT_VALIDATION_FAILED',
  'STREAM_SORT_COLUMN_UNSUPPORTED',
  // Store
  'DIGEST_MISMATCH',
  'OBJECT_MISSING',
  'ACCESS_DENIED',
  'TIMEOUT',
] as const;

export type OracleCode = (typeof ORACLE_CODES)[number];

export class OracleError extends Error {
  override readonly name = 'OracleError';
  readonly code: OracleCode;
  /** Only a store that was slow or away may answer otherwise later; integrity failures are terminal. */
  readonly retriable: boolean;

  constructor(code: OracleCode, message: string, options?: ErrorOptions) {
    super(`${code}: ${message}`, options);
    this.code = code;
    this.retriable = code === 'TIMEOUT';
  }
}

/** A store's failure in this component's terms; `missing` is the code for an object that is not there. */
export function toOracleError(error: unknown, missing: OracleCode, message: string): OracleError {
  if (error instanceof OracleError) return error;
  if (!isObjectStoreError(error)) {
    throw error;
  }
  const because = `${message}: ${error.message}`;
  if (error.code === 'OBJECT_MISSING' || error.code === 'BUCKET_MISSING') {
    return new OracleError(missing, because, { cause: error });
  }
  if (error.code === 'ACCESS_DENIED') return new OracleError('ACCESS_DENIED', because, { cause: error });
  if (error.retriable) return new OracleError('TIMEOUT', because, { cause: error });
  if (error.code === 'DIGEST_MISMATCH') return new OracleError('DIGEST_MISMATCH', because, { cause: error });
  throw error;
}
