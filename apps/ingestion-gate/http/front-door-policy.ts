/** The policy of the HTTP front door: which principal may push which event types, and how much. */
import { fileURLToPath } from 'node:url';
import { assertPolicyOnly, ConfigError, loadConfig, readYamlFile } from '../../../lib/index.ts';
import { configSchema } from '../../rails/index.ts';

export interface FrontDoorLimits {
  /** Longest event in bytes, as JSON and as Avro. */
  readonly max_event_bytes: number;
  /** Longest body of a batch in bytes. */
  readonly max_batch_bytes: number;
  readonly max_batch_events: number;
  /** Of one process; 0 is no limit. */
  readonly requests_per_minute: number;
  /** Events whose outcome is waited for, over all requests. */
  readonly max_in_flight_events: number;
  readonly outcome_timeout_ms: number;
}

export interface FrontDoorPolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly producers: Readonly<Record<string, { readonly event_types: readonly string[] }>>;
  readonly limits: FrontDoorLimits;
}

const DEFAULT_FILE = fileURLToPath(new URL('../../../config/policies/front_door.yaml', import.meta.url));

/**
 * Reads and checks the policy. Throws ConfigError with every problem; `eventTypes` are those of the class map, so
 * that a rule about a type that nobody knows is found at start.
 */
export function loadFrontDoorPolicy(eventTypes: readonly string[], file = DEFAULT_FILE): FrontDoorPolicy {
  assertPolicyOnly(readYamlFile(file), file);
  const policy = loadConfig<FrontDoorPolicy>({
    files: [file],
    schema: configSchema('front_door'),
    env: null,
  });
  const known = new Set(eventTypes);
  const problems = Object.entries(policy.producers).flatMap(([producer, rule]) =>
    rule.event_types
      .filter((eventType) => !known.has(eventType))
      .map((eventType) => ({
        file,
        path: `producers.${producer}.event_types`,
        message: `the class map has no event type ${JSON.stringify(eventType)}`,
      })),
  );
  if (problems.length > 0) throw new ConfigError(problems);
  return policy;
}
