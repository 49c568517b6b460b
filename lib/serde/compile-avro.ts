/** Compiles Avro schemas with the types of this folder in place of avsc's where avsc loses bits or trusts bytes. */
import avsc from 'avsc';
import { BoundedArrayType, BoundedMapType } from './avro-collection-types.ts';
import { DecimalType, UuidType } from './avro-logical-types.ts';
import { BIG_LONG, DOUBLE, EXACT_LONG, FLOAT, INT } from './avro-number-types.ts';
import { SerdeError } from './serde.ts';

/** A schema as it stands in an .avsc file. */
export type AvroSchemaJson = string | AvroSchemaObject | readonly AvroSchemaJson[];
export interface AvroSchemaObject {
  readonly type: unknown;
  readonly name?: string;
  readonly namespace?: string;
  readonly [attribute: string]: unknown;
}

export type AvroLogicalType = 'decimal' | 'timestamp-micros' | 'uuid';

export interface AvroOptions {
  /**
   * What an Avro `long` is: `number` (default) refuses values beyond ±(2^53 - 1), `bigint` holds all 64 bits and
   * costs more. Never a silently rounded number.
   */
  readonly longs?: 'number' | 'bigint';
  /**
   * Logical types to convert; the others stay what they are underneath. `decimal`: text with exactly `scale`
   * decimals. `timestamp-micros`: bigint microseconds since the epoch, whatever `longs` says. `uuid`: text,
   * checked.
   */
  readonly logicalTypes?: readonly AvroLogicalType[];
}

type Hook = NonNullable<NonNullable<Parameters<typeof avsc.Type.forSchema>[1]>['typeHook']>;

/**
 * Compiles a schema; `references` are schemas whose names it uses, in dependency order. Unions are unwrapped
 * wherever a value's JavaScript type names its branch, and wrapped (`{ "<branch>": value }`) where it does not.
 * Throws SerdeError UNUSABLE_SCHEMA.
 */
export function compileAvro(
  schema: AvroSchemaJson,
  options: AvroOptions = {},
  references: readonly AvroSchemaJson[] = [],
): avsc.Type {
  const wanted = new Set<string>(options.logicalTypes ?? []);
  const long = options.longs === 'bigint' ? BIG_LONG : EXACT_LONG;
  const primitives: Record<string, avsc.Type> = { int: INT, long, float: FLOAT, double: DOUBLE };

  const typeHook: Hook = (part, inherited) => {
    const attributes = typeof part === 'string' ? { type: part } : (part as unknown as AvroSchemaObject);
    const { type, logicalType } = attributes;
    if (type === 'long' && logicalType === 'timestamp-micros' && wanted.has('timestamp-micros'))
      return BIG_LONG;
    if (type === 'array') return new BoundedArrayType(part, inherited);
    if (type === 'map') return new BoundedMapType(part, inherited);
    return typeof type === 'string' && Object.hasOwn(primitives, type) ? primitives[type] : undefined;
  };
  const settings: Parameters<typeof avsc.Type.forSchema>[1] = {
    registry: {},
    wrapUnions: 'auto',
    assertLogicalTypes: true,
    logicalTypes: {
      ...(wanted.has('decimal') ? { decimal: DecimalType } : {}),
      ...(wanted.has('uuid') ? { uuid: UuidType } : {}),
    },
    typeHook,
  };
  try {
    for (const reference of references) avsc.Type.forSchema(reference as never, settings);
    return avsc.Type.forSchema(schema as never, settings);
  } catch (error) {
    throw new SerdeError(`the Avro schema does not compile: ${(error as Error).message}`, 'UNUSABLE_SCHEMA', {
      cause: error,
    });
  }
}
