/** The world streamer producer for other apps and tests: the service, its cursors and its codes. */
export { CRASH_STEPS, type CrashStep } from './crash-point.ts';
export { decodeRunCursor, type RunCursor, type RunState, type StopReason } from './run-cursor.ts';
export { RETRIABLE_CODES, StreamError, TERMINAL_CODES, type StreamErrorCode } from './stream-error.ts';
export { type StreamerContext } from './streamer-context.ts';
export { WorldStreamer } from './world-streamer.ts';
