/**
 * The policies a process runs under: read from the files its profile names, checked, compiled and digested. The
 * digest covers content only, so it is the same wherever the files lie.
 */
import { readFileSync } from 'node:fs';
import {
  ConfigError,
  assertPolicyOnly,
  loadConfig,
  readYamlFile,
  type SchemaObject,
} from '../../lib/index.ts';
import { canonicalJson, type CanonicalValue } from './canonical-json.ts';
import { compileClassMap, type ClassMap, type ClassMapPolicy } from './class-map.ts';
import { sha256Hex } from './digest.ts';
import type { TrafficMode } from './output-catalogue.ts';
import { compilePartitioning, type Partitioning, type PartitioningPolicy } from './partitioning.ts';
import { compileSchemaPolicy, type SchemaPolicy, type SchemaPolicyDocument } from './schema-policy.ts';

/** A policy revision as it is stamped on plans, READY, receipts and audit facts. */
export interface PolicyRev {
  readonly policy_id: string;
  readonly revision: string;
  /** sha256 of the content, 64 hex digits. */
  readonly content_digest: string;
}

export interface IngestionGatePolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly dedupe_ttl_days: number;
  /** Longest ingress record value in bytes. */
  readonly max_record_bytes: number;
  readonly quarantine_spike: { readonly count: number; readonly window_seconds: number };
}

export interface ScenarioRunnerPolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly require_gate_pass: true;
  readonly require_sealed_pack: true;
  readonly reuse_policy: 'ALLOW' | 'DENY';
  readonly evidence_wait_seconds: number;
  readonly attempt_limit: number;
  readonly lease_ttl_seconds: number;
  readonly default_traffic_mode: TrafficMode;
  readonly traffic_modes: Readonly<
    Record<TrafficMode, { readonly business_traffic: readonly string[]; readonly context: readonly string[] }>
  >;
  readonly reemit: {
    readonly lease_ttl_seconds: number;
    readonly max_per_window: number;
    readonly window_seconds: number;
    readonly cross_run_override_reasons: readonly string[];
  };
}

export interface WorldStreamerPolicy {
  readonly policy_id: string;
  readonly revision: number;
  readonly producer_id: string;
  /** Who may put engine rows into the front door. */
  readonly producer_allowlist: readonly string[];
  readonly schema_version: string;
  readonly require_gate_pass: true;
  readonly require_sealed_pack: true;
  readonly default_traffic_mode: TrafficMode;
  /** Event seconds per wall second; 0 is as fast as possible. */
  readonly stream_speedup: number;
  readonly max_events: number | null;
  readonly max_events_per_output: number | null;
}

/** Absolute paths of the policy files, and the profile of event types that the partitioning policy leaves out. */
export interface PolicyRefs {
  readonly classMapRef: string;
  readonly partitioningProfilesRef: string;
  readonly partitioningProfileId: string;
  readonly schemaPolicyRef: string;
  readonly ingestionGateRef: string;
  readonly scenarioRunnerRef: string;
  readonly worldStreamerProducerRef: string;
}

export interface Policies {
  readonly classMap: ClassMap;
  readonly partitioning: Partitioning;
  readonly schemaPolicy: SchemaPolicy;
  readonly gate: IngestionGatePolicy;
  /**
   * What the gate stamps: one revision over its four policies. `revision` is gate.classes.partitioning.schemas,
   * so that raising any of them changes it.
   */
  readonly gateRev: PolicyRev;
  readonly scenarioRunner: ScenarioRunnerPolicy;
  readonly scenarioRunnerRev: PolicyRev;
  readonly worldStreamer: WorldStreamerPolicy;
  readonly worldStreamerRev: PolicyRev;
}

interface PolicyDocument {
  readonly policy_id: string;
  readonly revision: number;
}

/**
 * The digest of policies by content: order and place of the files do not matter, nor do comments and layout. A
 * change of any value does.
 */
export function policyDigest(documents: readonly PolicyDocument[]): string {
  const entries = documents.map((document) => ({
    policy_id: document.policy_id,
    content_digest: sha256Hex(canonicalJson(document as unknown as CanonicalValue)),
  }));
  entries.sort((a, b) => (a.policy_id < b.policy_id ? -1 : a.policy_id > b.policy_id ? 1 : 0));
  return sha256Hex(canonicalJson(entries));
}

/** Reads, checks and compiles all policies. Throws ConfigError with every problem of the file at fault. */
export function loadPolicies(refs: PolicyRefs): Policies {
  const classMapPolicy = loadConfig<ClassMapPolicy>(policyFile(refs.classMapRef, 'class_map'));
  const partitioningPolicy = loadConfig<PartitioningPolicy>(
    policyFile(refs.partitioningProfilesRef, 'partitioning_profiles'),
  );
  const schemaDocument = loadConfig<SchemaPolicyDocument>(policyFile(refs.schemaPolicyRef, 'schema_policy'));
  const gate = loadConfig<IngestionGatePolicy>(policyFile(refs.ingestionGateRef, 'ingestion_gate'));
  const scenarioRunner = loadConfig<ScenarioRunnerPolicy>(
    policyFile(refs.scenarioRunnerRef, 'scenario_runner'),
  );
  const worldStreamer = loadConfig<WorldStreamerPolicy>(
    policyFile(refs.worldStreamerProducerRef, 'world_streamer_producer'),
  );

  const classMap = compileClassMap(classMapPolicy, refs.classMapRef);
  const partitioning = compilePartitioning(
    partitioningPolicy,
    refs.partitioningProfileId,
    refs.partitioningProfilesRef,
  );
  assertAligned(classMapPolicy, partitioningPolicy, schemaDocument, refs);

  const gateDocuments = [gate, classMapPolicy, partitioningPolicy, schemaDocument];
  return {
    classMap,
    partitioning,
    schemaPolicy: compileSchemaPolicy(schemaDocument),
    gate,
    gateRev: {
      policy_id: gate.policy_id,
      revision: gateDocuments.map((document) => document.revision).join('.'),
      content_digest: policyDigest(gateDocuments),
    },
    scenarioRunner,
    scenarioRunnerRev: revisionOf(scenarioRunner),
    worldStreamer,
    worldStreamerRev: revisionOf(worldStreamer),
  };
}

function revisionOf(document: PolicyDocument): PolicyRev {
  return {
    policy_id: document.policy_id,
    revision: String(document.revision),
    content_digest: policyDigest([document]),
  };
}

/** How a policy file is loaded: it may hold no wiring, and nothing in it comes from the environment. */
function policyFile(file: string, schemaName: string): { files: [string]; schema: SchemaObject; env: null } {
  assertPolicyOnly(readYamlFile(file), file);
  return { files: [file], schema: configSchema(schemaName), env: null };
}

/** A JSON schema of config/schemas by its name. */
export function configSchema(name: string): SchemaObject {
  let schema = schemas.get(name);
  if (schema === undefined) {
    const file = new URL(`../../config/schemas/${name}.schema.json`, import.meta.url);
    schema = JSON.parse(readFileSync(file, 'utf8')) as SchemaObject;
    schemas.set(name, schema);
  }
  return schema;
}

const schemas = new Map<string, SchemaObject>();

/** Event types about decisions: versioned from the first day, and never of the engine's run. */
const RTDL_EVENT_TYPES = ['decision_response', 'action_intent', 'action_outcome'];

/**
 * The three admission policies must speak of the same event types, and the decision types must require version v1
 * and no engine run: a gate that disagrees with itself must not start.
 */
function assertAligned(
  classes: ClassMapPolicy,
  partitioning: PartitioningPolicy,
  schemaPolicy: SchemaPolicyDocument,
  refs: PolicyRefs,
): void {
  const problems: { file: string; path: string; message: string }[] = [];
  const all = new Set([
    ...Object.keys(classes.event_types),
    ...Object.keys(partitioning.event_types),
    ...Object.keys(schemaPolicy.event_types),
  ]);
  const expectIn = (types: object, file: string, eventType: string): void => {
    if (eventType in types) return;
    problems.push({
      file,
      path: 'event_types',
      message: `${eventType} is missing, and another policy lists it`,
    });
  };
  for (const eventType of all) {
    expectIn(classes.event_types, refs.classMapRef, eventType);
    expectIn(partitioning.event_types, refs.partitioningProfilesRef, eventType);
    expectIn(schemaPolicy.event_types, refs.schemaPolicyRef, eventType);
  }
  for (const eventType of RTDL_EVENT_TYPES) {
    const rule = schemaPolicy.event_types[eventType];
    const pins = classes.classes[classes.event_types[eventType] ?? '']?.required_pins ?? [];
    if (rule === undefined) continue;
    if (!rule.required || !rule.versions.includes('v1')) {
      problems.push({
        file: refs.schemaPolicyRef,
        path: `event_types.${eventType}`,
        message: 'IG_RTDL_POLICY_ALIGNMENT_FAILED: it must require schema version v1',
      });
    }
    if (pins.includes('run_id')) {
      problems.push({
        file: refs.classMapRef,
        path: `event_types.${eventType}`,
        message: 'IG_RTDL_POLICY_ALIGNMENT_FAILED: its class must not require run_id',
      });
    }
  }
  if (problems.length > 0) throw new ConfigError(problems);
}
