/**
 * Avro logical types that are worth a JavaScript type of their own. Each is off unless asked for (AvroOptions):
 * without it the value is the underlying one (Buffer, number, string).
 */
import avsc from 'avsc';

type Schema = Parameters<typeof avsc.Type.forSchema>[0];
interface DecimalSchema {
  readonly precision?: unknown;
  readonly scale?: unknown;
  readonly type: unknown;
  readonly size?: unknown;
}

const DECIMAL_TEXT = /^-?(0|[1-9]\d*)(?:\.(\d+))?$/;

/** `decimal` (bytes or fixed) as text with exactly `scale` decimals: "12.50". Never through a double. */
export class DecimalType extends avsc.types.LogicalType {
  readonly precision: number;
  readonly scale: number;
  /** Bytes of a fixed; 0 for bytes. */
  readonly #size: number;

  constructor(schema: Schema, options?: unknown) {
    super(schema, options);
    const { precision, scale, type, size } = schema as unknown as DecimalSchema;
    if (!avsc.Type.isType(this.underlyingType, 'bytes', 'fixed')) {
      throw new Error(`decimal needs bytes or fixed, not ${String(type)}`);
    }
    if (!Number.isInteger(precision) || (precision as number) < 1) {
      throw new Error(`decimal needs a positive precision, not ${String(precision)}`);
    }
    this.precision = precision as number;
    this.scale = (scale ?? 0) as number;
    if (!Number.isInteger(this.scale) || this.scale < 0 || this.scale > this.precision) {
      throw new Error(`decimal needs a scale of 0 to ${this.precision}, not ${String(scale)}`);
    }
    this.#size = type === 'fixed' ? (size as number) : 0;
  }

  protected override _fromValue(bytes: Buffer): string {
    const unscaled =
      bytes.length === 0 ? 0n : BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`));
    const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(this.scale + 1, '0');
    const whole = digits.slice(0, digits.length - this.scale);
    const text = this.scale === 0 ? whole : `${whole}.${digits.slice(-this.scale)}`;
    return unscaled < 0n ? `-${text}` : text;
  }

  protected override _toValue(text: unknown): Buffer {
    const match = typeof text === 'string' ? DECIMAL_TEXT.exec(text) : null;
    const fraction = match?.[2] ?? '';
    if (match === null || fraction.length > this.scale) {
      throw new Error(`invalid decimal of scale ${this.scale}: ${String(text)}`);
    }
    const unscaled = BigInt((text as string).replace('.', '') + '0'.repeat(this.scale - fraction.length));
    if ((unscaled < 0n ? -unscaled : unscaled).toString().length > this.precision) {
      throw new Error(`decimal ${String(text)} has more than ${this.precision} digits`);
    }
    const magnitude = unscaled < 0n ? -unscaled - 1n : unscaled;
    const needed = Math.floor(magnitude.toString(2).length / 8) + 1;
    const size = this.#size === 0 ? needed : this.#size;
    if (needed > size)
      throw new Error(`decimal ${String(text)} needs ${needed} bytes, the fixed has ${size}`);
    const hex = BigInt.asUintN(size * 8, unscaled).toString(16);
    return Buffer.from(hex.padStart(size * 2, '0'), 'hex');
  }

  /** Only an equal scale and precision can be read as this decimal (Avro specification, schema resolution). */
  protected override _resolve(writer: avsc.Type): ((value: unknown) => unknown) | undefined {
    if (writer instanceof DecimalType) {
      return writer.scale === this.scale && writer.precision === this.precision
        ? (value) => value
        : undefined;
    }
    return avsc.Type.isType(writer, 'bytes', 'fixed')
      ? (value) => this._fromValue(value as Buffer)
      : undefined;
  }

  protected override _export(schema: Schema & { precision?: number; scale?: number }): void {
    schema.precision = this.precision;
    schema.scale = this.scale;
  }
}

const UUID_TEXT = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** `uuid` (string) checked for the form of RFC 4122 both ways; the letters' case is kept. */
export class UuidType extends avsc.types.LogicalType {
  constructor(schema: Schema, options?: unknown) {
    super(schema, options);
    if (!avsc.Type.isType(this.underlyingType, 'string')) throw new Error('uuid needs a string');
  }

  protected override _fromValue(text: unknown): string {
    if (typeof text !== 'string' || !UUID_TEXT.test(text)) throw new Error(`invalid uuid: ${String(text)}`);
    return text;
  }

  protected override _toValue(text: unknown): string {
    return this._fromValue(text);
  }

  protected override _resolve(writer: avsc.Type): ((value: unknown) => unknown) | undefined {
    return avsc.Type.isType(writer, 'string', 'logical:uuid') ? (value) => this._fromValue(value) : undefined;
  }
}
