export * from './lag-history.ts';
export * from './logger.ts';
export * from './metrics.ts';
