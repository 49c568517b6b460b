export { systemClock, type Clock } from './clock.ts';
export { DEAD_LETTER_HEADERS } from './dead-letters.ts';
export { takeInstanceSlot, type InstanceSlot } from './instance-slot.ts';
export { StreamsApp, type InstanceState, type StreamsOptions } from './streams-app.ts';
export { StreamsMetrics } from './streams-metrics.ts';
export { ProcessingError } from './task.ts';
export { COMMIT_STEPS, type CommitStep } from './transaction.ts';
export { exposeInstance, type ExposedInstance } from './streams-exposition.ts';
