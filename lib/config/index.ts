export * from './config-error.ts';
export * from './load-config.ts';
export * from './placeholders.ts';
export * from './separation.ts';
