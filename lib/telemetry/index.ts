export { ConsumerLag, COUNTED_GAP, type PartitionLag } from './consumer-lag.ts';
export * from './lag-history.ts';
export * from './logger.ts';
export * from './metrics.ts';
export * from './run-logs.ts';
