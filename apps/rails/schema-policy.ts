/** Which schema versions the gate admits of each event type. Compiled from policy. */

/** The schema policy as it stands in its file. */
export interface SchemaPolicyDocument {
  readonly policy_id: string;
  readonly revision: number;
  readonly default_action: 'quarantine';
  readonly event_types: Readonly<
    Record<string, { readonly required: boolean; readonly versions: readonly string[] }>
  >;
}

export type SchemaPolicyRefusal =
  'SCHEMA_POLICY_MISSING' | 'SCHEMA_VERSION_REQUIRED' | 'SCHEMA_VERSION_NOT_ALLOWED';

export interface SchemaPolicy {
  /** Why the gate must refuse a record of this type and version; null when it may be admitted. */
  refusal(eventType: string, schemaVersion: string | null): SchemaPolicyRefusal | null;
}

export function compileSchemaPolicy(policy: SchemaPolicyDocument): SchemaPolicy {
  const rules = new Map(Object.entries(policy.event_types));
  return {
    refusal(eventType, schemaVersion) {
      const rule = rules.get(eventType);
      if (rule === undefined) return 'SCHEMA_POLICY_MISSING';
      if (schemaVersion === null) return rule.required ? 'SCHEMA_VERSION_REQUIRED' : null;
      return rule.versions.includes(schemaVersion) ? null : 'SCHEMA_VERSION_NOT_ALLOWED';
    },
  };
}
