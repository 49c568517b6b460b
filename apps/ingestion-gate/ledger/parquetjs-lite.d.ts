/** What this folder uses of parquetjs-lite, which ships no types. */
declare module 'parquetjs-lite' {
  export interface ParquetField {
    readonly type: 'UTF8' | 'INT32' | 'INT64' | 'BYTE_ARRAY';
    readonly optional?: boolean;
    readonly compression?: 'UNCOMPRESSED' | 'GZIP' | 'SNAPPY';
  }

  export class ParquetSchema {
    readonly fields: Readonly<Record<string, unknown>>;
    constructor(fields: Readonly<Record<string, ParquetField>>);
  }

  export class ParquetWriter {
    static openStream(
      schema: ParquetSchema,
      stream: NodeJS.WritableStream,
      options?: { readonly rowGroupSize?: number; readonly useDataPageV2?: boolean },
    ): Promise<ParquetWriter>;
    appendRow(row: Readonly<Record<string, unknown>>): Promise<void>;
    close(): Promise<void>;
  }

  /** A CommonJS module: its exports come as one object. */
  const parquet: {
    readonly ParquetSchema: typeof ParquetSchema;
    readonly ParquetWriter: typeof ParquetWriter;
  };
  export default parquet;
}
