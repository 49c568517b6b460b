export * from './serde.ts';
export {
  avroAnyReader,
  avroAnySerde,
  AvroReader,
  avroSerde,
  type AvroSerdeOptions,
  type AvroValue,
} from './avro.ts';
export type { AvroLogicalType, AvroOptions, AvroSchemaJson, AvroSchemaObject } from './compile-avro.ts';
export { CompiledSchema } from './compiled-schema.ts';
export { OfflineSchemas } from './offline-schemas.ts';
export {
  COMPATIBILITY_LEVELS,
  SchemaRegistryError,
  type Compatibility,
  type SchemaRegistryErrorCode,
} from './registry-client.ts';
export { SchemaRegistry, type SchemaRegistryOptions, type SchemaSource } from './schema-registry.ts';
export { WIRE_HEADER_BYTES, wireSchemaId, writeWireHeader } from './wire-format.ts';
