/**
 * The partition key of each event type: which fields may give it, in which order, and which bus topic carries
 * the type. Compiled from policy into one extractor per profile.
 */
import { ConfigError, type ConfigProblem } from '../../lib/index.ts';
import { ENVELOPE_FIELDS, type Envelope } from './envelope.ts';
import { partitionKey } from './identifiers.ts';

/** The bus topics by their part in the platform; settings give the names. */
export type BusTopic = 'traffic' | 'control' | 'audit';

/** The partitioning policy as it stands in its file. */
export interface PartitioningPolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly profiles: Readonly<
    Record<string, { readonly bus: BusTopic; readonly key_precedence: readonly string[] }>
  >;
  readonly event_types: Readonly<Record<string, string>>;
}

export interface PartitioningProfile {
  readonly id: string;
  readonly bus: BusTopic;
  readonly keyPrecedence: readonly string[];
  /** The first value of the precedence list as text; undefined when the record has none of them. */
  keySource(envelope: Envelope): string | undefined;
  /**
   * The key text: sha256 of the source, 64 hex digits, and as UTF-8 the Kafka key. Undefined when the record has
   * no source (PARTITION_KEY_MISSING).
   */
  key(envelope: Envelope): string | undefined;
}

export interface Partitioning {
  /** The profile of an event type; the default profile for types that the policy does not list. */
  profileOf(eventType: string): PartitioningProfile;
  readonly profiles: ReadonlyMap<string, PartitioningProfile>;
  readonly eventTypes: readonly string[];
}

/** Throws ConfigError for a profile that is named and not defined, or a field that no envelope has. */
export function compilePartitioning(
  policy: PartitioningPolicy,
  defaultProfileId: string,
  file = policy.policy_id,
): Partitioning {
  const problems: ConfigProblem[] = [];
  const profiles = new Map<string, PartitioningProfile>();
  for (const [id, profile] of Object.entries(policy.profiles)) {
    profile.key_precedence.forEach((path, i) => {
      if (!isKeyPath(path)) {
        const at = `profiles.${id}.key_precedence[${i}]`;
        problems.push({
          file,
          path: at,
          message: `${JSON.stringify(path)} is neither an envelope field nor payload.…`,
        });
      }
    });
    profiles.set(id, compileProfile(id, profile.bus, profile.key_precedence));
  }
  const byType = new Map<string, PartitioningProfile>();
  const assign = (path: string, profileId: string): PartitioningProfile | undefined => {
    const profile = profiles.get(profileId);
    if (profile === undefined) {
      problems.push({ file, path, message: `no partitioning profile ${JSON.stringify(profileId)}` });
    }
    return profile;
  };
  for (const [eventType, profileId] of Object.entries(policy.event_types)) {
    const profile = assign(`event_types.${eventType}`, profileId);
    if (profile !== undefined) byType.set(eventType, profile);
  }
  const fallback = assign('partitioning_profile_id', defaultProfileId);
  if (fallback === undefined || problems.length > 0) throw new ConfigError(problems);
  return {
    profileOf: (eventType) => byType.get(eventType) ?? fallback,
    profiles,
    eventTypes: [...byType.keys()],
  };
}

function isKeyPath(path: string): boolean {
  if (path.startsWith('payload.')) return path.length > 'payload.'.length;
  return path !== 'payload' && (ENVELOPE_FIELDS as readonly string[]).includes(path);
}

type Reader = (envelope: Envelope) => unknown;

function compileProfile(id: string, bus: BusTopic, keyPrecedence: readonly string[]): PartitioningProfile {
  const readers = keyPrecedence.map(compileReader);
  const keySource = (envelope: Envelope): string | undefined => {
    for (const read of readers) {
      const value = read(envelope);
      if (typeof value === 'string') {
        if (value !== '') return value;
      } else if (typeof value === 'number' || typeof value === 'bigint') {
        return value.toString();
      }
    }
    return undefined;
  };
  return {
    id,
    bus,
    keyPrecedence,
    keySource,
    key(envelope) {
      const source = keySource(envelope);
      return source === undefined ? undefined : partitionKey(source);
    },
  };
}

function compileReader(path: string): Reader {
  const steps = path.split('.');
  if (steps[0] !== 'payload') return (envelope) => envelope[path as keyof Envelope];
  const [, first, ...deeper] = steps as [string, string, ...string[]];
  if (deeper.length === 0) return (envelope) => envelope.payload[first];
  return (envelope) => {
    let value: unknown = envelope.payload[first];
    for (const step of deeper) {
      if (typeof value !== 'object' || value === null) return undefined;
      value = (value as Readonly<Record<string, unknown>>)[step];
    }
    return value;
  };
}
