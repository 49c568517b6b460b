/** The world streamer producer for other apps and tests: the service, its cursors and its codes. */
export { CRASH_STEPS, type CrashStep } from './crash-point.ts';
export { decodeCursorRecord, isControl, type RunCursor, type RunState } from './run-cursor.ts';
export type { RunControl } from './run-control.ts';
export { RETRIABLE_CODES, StreamError, TERMINAL_CODES, type StreamErrorCode } from './stream-error.ts';
export { type StreamerContext } from './streamer-context.ts';
export { WorldStreamer } from './world-streamer.ts';
