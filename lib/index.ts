/**
 * The public surface of the stream-processing library: what is not exported here is private.
 * Start at StreamBuilder (topology), run it with StreamsApp (runtime), test it with TestDriver (testing).
 */
export * from './config/index.ts';
export * from './kafka/index.ts';
export * from './objectstore/index.ts';
export * from './replay/index.ts';
export * from './resources/index.ts';
export * from './runtime/index.ts';
export * from './serde/index.ts';
export * from './state/index.ts';
export * from './telemetry/index.ts';
export * from './testing/index.ts';
export * from './topology/index.ts';
