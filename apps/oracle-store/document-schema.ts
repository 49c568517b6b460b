/** Closed-world checks of stored JSON documents, compiled once. */
import { Ajv, type JSONSchemaType, type ValidateFunction } from 'ajv';
import { OracleError, type OracleCode } from './oracle-error.ts';

const ajv = new Ajv({ allErrors: false, strict: true });

export const HEX64 = { type: 'string', pattern: '^[a-f0-9]{64}$' } as const;
export const HEX32 = { type: 'string', pattern: '^[a-f0-9]{32}$' } as const;
export const MICROS = {
  type: 'string',
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z$',
} as const;
export const TEXT = { type: 'string', minLength: 1, maxLength: 2048 } as const;
export const COUNT = { type: 'integer', minimum: 0 } as const;

export const WORLD_KEY = {
  type: 'object',
  additionalProperties: false,
  required: ['manifest_fingerprint', 'parameter_hash', 'scenario_id', 'seed'],
  properties: {
    manifest_fingerprint: HEX64,
    parameter_hash: HEX64,
    scenario_id: { type: 'string', minLength: 1, maxLength: 256 },
    seed: { type: 'string', pattern: '^(0|[1-9][0-9]{0,19})$' },
  },
} as const;

export function compileDocument<T>(schema: JSONSchemaType<T>): ValidateFunction<T> {
  return ajv.compile(schema);
}

/** Parses and checks a document; `where` names it in the error. */
export function parseDocument<T>(
  bytes: Buffer,
  validate: ValidateFunction<T>,
  code: OracleCode,
  where: string,
): T {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new OracleError(code, `${where} is not JSON: ${(error as Error).message}`);
  }
  if (!validate(value)) {
    const [first] = validate.errors ?? [];
    throw new OracleError(code, `${where}${first?.instancePath ?? ''} ${first?.message ?? 'is not valid'}`);
  }
  return value;
}
