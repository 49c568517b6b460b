/** What every part of a running streamer shares: its servers, topics, policy, and the options given at its start. */
import {
  type ClientConfig,
  type KafkaClient,
  type ObjectStore,
  type PacerOptions,
  type SchemaSource,
} from '../../lib/index.ts';
import type { Partitioning } from '../rails/index.ts';
import type { Ready } from './ready.ts';
import type { RunCursor, StreamOptions } from './run-cursor.ts';

/** Given on the command line or in the environment: wins over READY and policy, and is recorded in stream.started. */
export interface StreamOverrides {
  readonly speedup?: number;
  readonly maxEvents?: number;
  readonly maxEventsPerOutput?: number;
}

export interface StreamerContext {
  readonly client: KafkaClient;
  /** Connection settings of every Kafka client made here (`bootstrap.servers`). */
  readonly kafkaConfig: ClientConfig;
  readonly store: ObjectStore;
  readonly schemas: SchemaSource;
  readonly partitioning: Partitioning;
  readonly topics: { readonly ingress: string; readonly control: string; readonly cursors: string };
  readonly group: string;
  readonly producerId: string;
  /** Who may put engine rows into the front door, by policy. */
  readonly producerAllowlist: readonly string[];
  readonly schemaVersion: string;
  readonly laneCount: number;
  /** What applies where neither the overrides nor READY say otherwise. */
  readonly policy: StreamOptions;
  readonly overrides: StreamOverrides;
  /** Rate plan, campaign start and gap cap of every run. */
  readonly pacing: Omit<PacerOptions, 'speedup' | 'now'>;
  /** Milliseconds to wait for Kafka to answer one call. */
  readonly timeoutMs: number;
  /** Rows between progress facts. Default 100000. */
  readonly progressEvery?: number;
  /** Told each cursor as its transaction is handed over, for displays: at most every 100 ms or 16,384 events. */
  readonly onCursor?: (cursor: RunCursor) => void;
}

/** The options a run is accepted with. */
export function streamOptions(context: StreamerContext, ready: Ready): StreamOptions {
  const { overrides, policy } = context;
  return {
    speedup: overrides.speedup ?? ready.speedup ?? policy.speedup,
    max_events: overrides.maxEvents ?? ready.max_events ?? policy.max_events,
    max_events_per_output:
      overrides.maxEventsPerOutput ?? ready.max_events_per_output ?? policy.max_events_per_output,
  };
}
