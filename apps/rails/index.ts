/**
 * The platform's own kernel: pins, envelope, identifiers, canonical JSON, policies, layout. Every app imports this
 * file and none of its neighbours.
 */
export * from './artifact-schemas.ts';
export * from './canonical-avro.ts';
export * from './canonical-json.ts';
export * from './class-map.ts';
export * from './control-facts.ts';
export * from './decision-header.ts';
export * from './desired-resources.ts';
export * from './digest.ts';
export * from './envelope.ts';
export * from './event-schemas.ts';
export * from './front-door.ts';
export * from './gate-map.ts';
export * from './identifiers.ts';
export * from './object-layout.ts';
export * from './outcome.ts';
export * from './output-catalogue.ts';
export * from './partitioning.ts';
export * from './pins.ts';
export * from './policies.ts';
export * from './reason-codes.ts';
export * from './run-id.ts';
export * from './run-logs.ts';
export * from './scalars.ts';
export * from './schema-policy.ts';
export * from './settings.ts';
export * from './timestamps.ts';
