/** Which class an event type belongs to, and which pins a record of the class must carry. Compiled from policy. */
import { ConfigError, type ConfigProblem } from '../../lib/index.ts';
import type { PinName } from './pins.ts';
import { PIN_NAMES } from './pins.ts';

/** The class map policy as it stands in its file. */
export interface ClassMapPolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly classes: Readonly<Record<string, { readonly required_pins: readonly PinName[] }>>;
  readonly event_types: Readonly<Record<string, string>>;
}

export interface EventClass {
  readonly name: string;
  readonly requiredPins: readonly PinName[];
}

/** The class of types that the policy does not list: every pin is required, and no schema policy admits them. */
export const UNMAPPED: EventClass = { name: 'unmapped', requiredPins: PIN_NAMES };

export interface ClassMap {
  /** The class of an event type; UNMAPPED when the policy does not list it. */
  classOf(eventType: string): EventClass;
  readonly eventTypes: readonly string[];
}

/** Throws ConfigError when an event type names a class that is not defined. */
export function compileClassMap(policy: ClassMapPolicy, file = policy.policy_id): ClassMap {
  const classes = new Map<string, EventClass>(
    Object.entries(policy.classes).map(([name, { required_pins }]) => [
      name,
      { name, requiredPins: required_pins },
    ]),
  );
  const byType = new Map<string, EventClass>();
  const problems: ConfigProblem[] = [];
  for (const [eventType, className] of Object.entries(policy.event_types)) {
    const eventClass = classes.get(className);
    if (eventClass === undefined) {
      problems.push({
        file,
        path: `event_types.${eventType}`,
        message: `no class ${JSON.stringify(className)}`,
      });
    } else {
      byType.set(eventType, eventClass);
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    classOf: (eventType) => byType.get(eventType) ?? UNMAPPED,
    eventTypes: [...byType.keys()],
  };
}
