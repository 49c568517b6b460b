export * from './serde.ts';
