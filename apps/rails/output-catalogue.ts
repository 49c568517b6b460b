/**
 * What the data engine writes: every output the platform knows, its role, primary key, order, columns and place
 * in an engine run. Truth outputs are listed so that they can be refused by name.
 */
import type { WorldKey } from './pins.ts';

/** One traffic mode per run decides which flow outputs are streamed. */
export type TrafficMode = 'baseline' | 'fraud';

export type OutputRole =
  /** Streamed; decisions are made on it. */
  | 'business_traffic'
  /** Streamed beside the traffic, to join with. */
  | 'context'
  /** Ground truth: offline only, never streamed. */
  | 'truth'
  /** Contains the future: batch only, never streamed. */
  | 'batch';

/** Parquet types of the engine's columns. `uint64` ids and `int64` counters travel differently (Avro string, long). */
export type ColumnType = 'id64' | 'int64' | 'string' | 'boolean' | 'double' | 'amount' | 'micros';

export interface OutputColumn {
  readonly name: string;
  readonly type: ColumnType;
  readonly nullable: boolean;
  /** False for columns that exist in the engine's files and never in an online payload. */
  readonly online: boolean;
}

export interface OutputDefinition {
  readonly output_id: string;
  readonly role: OutputRole;
  /** `always`, or the traffic mode in which it is streamed; null when it is never streamed. */
  readonly streamed: 'always' | TrafficMode | null;
  /** Full primary key in catalogue order: lineage columns first. */
  readonly primary_key: readonly string[];
  /** The part of the primary key that lies in the row rather than in the lineage. */
  readonly row_key: readonly string[];
  /** Order of the stream view; ties are broken by `row_key`. */
  readonly sort_keys: readonly string[];
  /** Engine path with `{token}` places, relative to the engine run's root; ends in a part file pattern. */
  readonly path_template: string;
  /** The gate that authorizes the output; its upstream gates must pass too (gate map). */
  readonly gate_id: string;
  /** Columns besides lineage, in schema order. */
  readonly columns: readonly OutputColumn[];
}

/** Lineage columns in every engine row. In an event they are pins, not payload. */
export const LINEAGE_COLUMNS = ['seed', 'manifest_fingerprint', 'parameter_hash', 'scenario_id'] as const;

const column = (name: string, type: ColumnType): OutputColumn => ({
  name,
  type,
  nullable: false,
  online: true,
});
const nullable = (name: string, type: ColumnType): OutputColumn => ({
  ...column(name, type),
  nullable: true,
});
const offline = (name: string, type: ColumnType, isNullable: boolean): OutputColumn => ({
  name,
  type,
  nullable: isNullable,
  online: false,
});

const LINEAGE_KEY = ['seed', 'manifest_fingerprint', 'scenario_id'];

interface Entry {
  output_id: string;
  folder?: string;
  role: OutputRole;
  streamed?: 'always' | TrafficMode;
  row_key: readonly string[];
  sort_keys?: readonly string[];
  segment?: '5B' | '6B';
  columns: readonly OutputColumn[];
}

function define(entry: Entry): OutputDefinition {
  const segment = entry.segment ?? '6B';
  const parameterHash = segment === '6B' ? 'parameter_hash={parameter_hash}/' : '';
  const layer = segment === '6B' ? 3 : 2;
  return {
    output_id: entry.output_id,
    role: entry.role,
    streamed: entry.streamed ?? null,
    primary_key: [...LINEAGE_KEY, ...entry.row_key],
    row_key: entry.row_key,
    sort_keys: entry.sort_keys ?? ['ts_utc'],
    path_template:
      `data/layer${layer}/${segment}/${entry.folder ?? entry.output_id}/seed={seed}/${parameterHash}` +
      'manifest_fingerprint={manifest_fingerprint}/scenario_id={scenario_id}/part-*.parquet',
    gate_id: `gate.layer${layer}.${segment}.validation`,
    columns: entry.columns,
  };
}

const FLOW_ANCHOR = [
  column('flow_id', 'id64'),
  column('arrival_seq', 'int64'),
  column('merchant_id', 'id64'),
  column('party_id', 'id64'),
  column('account_id', 'id64'),
  column('instrument_id', 'id64'),
  column('device_id', 'id64'),
  column('ip_id', 'id64'),
  column('ts_utc', 'micros'),
  column('amount', 'amount'),
];

const FLOW_EVENT = [
  column('flow_id', 'id64'),
  column('event_seq', 'int64'),
  column('event_type', 'string'),
  column('ts_utc', 'micros'),
  column('amount', 'amount'),
];

const FRAUD = [offline('fraud_flag', 'boolean', false), offline('campaign_id', 'string', true)];

const OUTPUTS = [
  define({
    output_id: 'arrival_events_5B',
    folder: 'arrival_events',
    role: 'context',
    streamed: 'always',
    segment: '5B',
    row_key: ['merchant_id', 'arrival_seq'],
    columns: [
      column('merchant_id', 'id64'),
      column('zone_representation', 'string'),
      column('bucket_index', 'int64'),
      column('arrival_seq', 'int64'),
      column('ts_utc', 'micros'),
      column('tzid_primary', 'string'),
      column('ts_local_primary', 'micros'),
      column('is_virtual', 'boolean'),
      nullable('channel_group', 'string'),
      nullable('tzid_settlement', 'string'),
      nullable('ts_local_settlement', 'micros'),
      nullable('tzid_operational', 'string'),
      nullable('ts_local_operational', 'micros'),
      nullable('tz_group_id', 'string'),
      nullable('site_id', 'id64'),
      nullable('edge_id', 'id64'),
      nullable('routing_universe_hash', 'string'),
      nullable('lambda_realised', 'double'),
      nullable('s4_spec_version', 'string'),
    ],
  }),
  define({
    output_id: 's1_arrival_entities_6B',
    role: 'context',
    streamed: 'always',
    row_key: ['merchant_id', 'arrival_seq'],
    columns: [
      column('arrival_seq', 'int64'),
      column('merchant_id', 'id64'),
      column('ts_utc', 'micros'),
      column('party_id', 'id64'),
      column('account_id', 'id64'),
      column('instrument_id', 'id64'),
      column('device_id', 'id64'),
      column('ip_id', 'id64'),
      column('session_id', 'id64'),
    ],
  }),
  define({
    output_id: 's2_flow_anchor_baseline_6B',
    role: 'context',
    streamed: 'baseline',
    row_key: ['flow_id'],
    columns: FLOW_ANCHOR,
  }),
  define({
    output_id: 's3_flow_anchor_with_fraud_6B',
    role: 'context',
    streamed: 'fraud',
    row_key: ['flow_id'],
    columns: [...FLOW_ANCHOR, ...FRAUD],
  }),
  define({
    output_id: 's2_event_stream_baseline_6B',
    role: 'business_traffic',
    streamed: 'baseline',
    row_key: ['flow_id', 'event_seq'],
    columns: FLOW_EVENT,
  }),
  define({
    output_id: 's3_event_stream_with_fraud_6B',
    role: 'business_traffic',
    streamed: 'fraud',
    row_key: ['flow_id', 'event_seq'],
    columns: [...FLOW_EVENT, ...FRAUD],
  }),
  define({
    output_id: 's1_session_index_6B',
    role: 'batch',
    row_key: ['session_id'],
    sort_keys: ['session_start_utc'],
    columns: [
      column('session_id', 'id64'),
      column('arrival_count', 'int64'),
      column('session_start_utc', 'micros'),
      column('session_end_utc', 'micros'),
      column('party_id', 'id64'),
      column('device_id', 'id64'),
      column('account_id', 'id64'),
      column('instrument_id', 'id64'),
      column('merchant_id', 'id64'),
    ],
  }),
  define({
    output_id: 's3_campaign_catalogue_6B',
    role: 'truth',
    row_key: ['campaign_id'],
    sort_keys: ['campaign_id'],
    columns: [
      column('campaign_id', 'string'),
      column('campaign_label', 'string'),
      column('fraud_rate', 'double'),
    ],
  }),
  define({
    output_id: 's4_event_labels_6B',
    role: 'truth',
    row_key: ['flow_id', 'event_seq'],
    sort_keys: ['flow_id', 'event_seq'],
    columns: [
      column('flow_id', 'id64'),
      column('event_seq', 'int64'),
      column('is_fraud_truth', 'boolean'),
      column('is_fraud_bank_view', 'boolean'),
    ],
  }),
  define({
    output_id: 's4_flow_truth_labels_6B',
    role: 'truth',
    row_key: ['flow_id'],
    sort_keys: ['flow_id'],
    columns: [
      column('flow_id', 'id64'),
      column('is_fraud_truth', 'boolean'),
      nullable('fraud_label', 'string'),
    ],
  }),
  define({
    output_id: 's4_flow_bank_view_6B',
    role: 'truth',
    row_key: ['flow_id'],
    sort_keys: ['flow_id'],
    columns: [
      column('flow_id', 'id64'),
      column('is_fraud_bank_view', 'boolean'),
      nullable('bank_label', 'string'),
    ],
  }),
  define({
    output_id: 's4_case_timeline_6B',
    role: 'truth',
    row_key: ['case_id', 'case_event_seq'],
    columns: [
      column('case_id', 'id64'),
      column('case_event_seq', 'int64'),
      column('flow_id', 'id64'),
      column('case_event_type', 'string'),
      column('ts_utc', 'micros'),
    ],
  }),
];

/** Every output by its id. */
export const OUTPUT_CATALOGUE: ReadonlyMap<string, OutputDefinition> = new Map(
  OUTPUTS.map((output) => [output.output_id, output]),
);

/** The outputs a run of this mode streams, in catalogue order: context first, then the event stream. */
export function streamedOutputs(mode: TrafficMode): readonly OutputDefinition[] {
  return OUTPUTS.filter((output) => output.streamed === 'always' || output.streamed === mode);
}

/** Throws when the catalogue has no such output; the message lists those it has. */
export function outputDefinition(outputId: string): OutputDefinition {
  const output = OUTPUT_CATALOGUE.get(outputId);
  if (output === undefined) {
    const known = [...OUTPUT_CATALOGUE.keys()].join(', ');
    throw new RangeError(`the output catalogue has no ${JSON.stringify(outputId)}; it has ${known}`);
  }
  return output;
}

/** The output's path in an engine run of this world, relative to the run's root, with `part-*` still in it. */
export function outputPath(output: OutputDefinition, world: WorldKey): string {
  return renderTemplate(output.path_template, world);
}

/** Fills `{token}` places of an engine path. Throws for a token that the world key does not have. */
export function renderTemplate(template: string, world: WorldKey): string {
  const values: Readonly<Record<string, string>> = { ...world };
  return template.replace(/\{([a-z_]+)\}/g, (_place, token: string) => {
    const value = values[token];
    if (value === undefined) throw new RangeError(`no value for {${token}} in the path template ${template}`);
    return value;
  });
}
