/**
 * The engine's outputs as queries over the staged flows and events. 64-bit ids are a bijection of small indexes
 * (index · odd constant + odd salt, modulo 2^64), so they never collide and use all 64 bits.
 */
import type { DuckDBConnection } from '@duckdb/node-api';
import { LINEAGE_COLUMNS, outputDefinition, type WorldKey } from '../../rails/index.ts';
import { CAMPAIGN_KINDS, type CampaignPlan } from './campaigns.ts';
import { EVENT_TYPES } from './flow-shape.ts';
import { CATEGORIES, ZONES, type Population } from './population.ts';
import { Prng } from './prng.ts';
import { activityAt, HOUR_MICROS } from './rhythm.ts';

const TWO_64 = 18_446_744_073_709_551_616n;
const ID_MULTIPLIER = 0x9e3779b97f4a7c15n;

const ID_KINDS = [
  'flow',
  'merchant',
  'party',
  'account',
  'instrument',
  'device',
  'ip',
  'session',
  'site',
  'edge',
  'case',
] as const;

function text(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function list(values: readonly (string | number)[]): string {
  return `[${values.map((value) => (typeof value === 'string' ? text(value) : String(value))).join(', ')}]`;
}

/** Defines the macros and the small tables that the queries use. */
export async function prepareQueries(
  connection: DuckDBConnection,
  seed: bigint,
  population: Population,
  campaigns: CampaignPlan,
): Promise<void> {
  const random = new Prng(seed, 'ids');
  for (const kind of ID_KINDS) {
    // Odd plus even stays odd: no id is ever 0.
    const salt = (BigInt(random.uint32()) << 32n) | BigInt(random.uint32()) | 1n;
    await connection.run(
      `CREATE MACRO ${kind}_id(i) AS ` +
        `((i::HUGEINT * ${(2n * ID_MULTIPLIER) % TWO_64} + ${salt}) % ${TWO_64})::UBIGINT`,
    );
  }
  await connection.run(
    `CREATE MACRO micros(us) AS strftime(make_timestamp(us::BIGINT), '%Y-%m-%dT%H:%M:%S.%fZ')`,
  );
  await connection.run(
    'CREATE MACRO local_micros(us, tz) AS ' +
      `strftime(timezone(tz, timezone('UTC', make_timestamp(us::BIGINT))), '%Y-%m-%dT%H:%M:%S.%fZ')`,
  );

  await connection.run(
    'CREATE TABLE merchants (merchant INTEGER, zone INTEGER, category INTEGER, is_virtual BOOLEAN, share DOUBLE)',
  );
  const merchants = await connection.createAppender('merchants');
  for (let m = 0; m < population.merchants; m += 1) {
    merchants.appendInteger(m);
    merchants.appendInteger(population.merchantZone[m]!);
    merchants.appendInteger(population.merchantCategory[m]!);
    merchants.appendBoolean(population.merchantVirtual[m] === 1);
    merchants.appendDouble(population.merchantShare[m]!);
    merchants.endRow();
  }
  merchants.closeSync();

  await connection.run('CREATE TABLE campaigns (campaign INTEGER, campaign_id VARCHAR, label VARCHAR)');
  const table = await connection.createAppender('campaigns');
  campaigns.kinds.forEach((kind, campaign) => {
    table.appendInteger(campaign);
    table.appendVarchar(`CAMP-${String(campaign + 1).padStart(6, '0')}`);
    table.appendVarchar(CAMPAIGN_KINDS[kind]!);
    table.endRow();
  });
  table.closeSync();
}

export interface QueryContext {
  readonly world: WorldKey;
  readonly startMicros: number;
  readonly flows: number;
  readonly days: number;
}

/** `SELECT` of an output's columns in the engine's file order. */
export function outputQuery(outputId: string, context: QueryContext): string {
  const body = BODIES[outputId];
  if (body === undefined) throw new RangeError(`the sample world has no ${outputId}`);
  const { world } = context;
  const lineage =
    `${world.seed}::UBIGINT AS seed, ${text(world.manifest_fingerprint)} AS manifest_fingerprint, ` +
    `${text(world.parameter_hash)} AS parameter_hash, ${text(world.scenario_id)} AS scenario_id`;
  const { columns, row_key } = outputDefinition(outputId);
  const names = [...LINEAGE_COLUMNS, ...columns.map((column) => column.name)];
  const order = outputId === 'arrival_events_5B' ? ['merchant_id', 'ts_utc', 'arrival_seq'] : row_key;
  return `SELECT ${names.join(', ')} FROM (SELECT ${lineage}, ${body(context)}) ORDER BY ${order.join(', ')}`;
}

/** The outputs of a sample world. */
export function sampleOutputs(): readonly string[] {
  return Object.keys(BODIES);
}

const anchor = (amount: string): string => `
  flow_id(ordinal) AS flow_id, arrival_seq::BIGINT AS arrival_seq, merchant_id(merchant) AS merchant_id,
  party_id(party) AS party_id, account_id(account) AS account_id, instrument_id(instrument) AS instrument_id,
  device_id(device) AS device_id, ip_id(ip) AS ip_id, micros(at_us) AS ts_utc, ${amount} AS amount`;

const event = `
  flow_id(events.ordinal) AS flow_id, seq::BIGINT AS event_seq,
  ${list(EVENT_TYPES)}[type + 1] AS event_type, micros(events.at_us) AS ts_utc, events.amount AS amount`;

const BODIES: Readonly<Record<string, (context: QueryContext) => string>> = {
  arrival_events_5B: ({ startMicros, flows, days, world }) => `
    merchant_id(flows.merchant) AS merchant_id,
    ${list(ZONES.map((zone) => zone.country))}[zone + 1] || '-' || ${list(ZONES.map((zone) => zone.tzid))}[zone + 1]
      AS zone_representation,
    ((at_us - ${startMicros}) // ${HOUR_MICROS})::BIGINT AS bucket_index,
    arrival_seq::BIGINT AS arrival_seq, micros(at_us) AS ts_utc,
    ${list(ZONES.map((zone) => zone.tzid))}[zone + 1] AS tzid_primary,
    local_micros(at_us, ${list(ZONES.map((zone) => zone.tzid))}[zone + 1]) AS ts_local_primary,
    is_virtual,
    CASE WHEN is_virtual THEN 'ECOM' ELSE 'POS' END AS channel_group,
    CASE WHEN is_virtual THEN 'Europe/London' END AS tzid_settlement,
    CASE WHEN is_virtual THEN local_micros(at_us, 'Europe/London') END AS ts_local_settlement,
    ${list(ZONES.map((zone) => zone.tzid))}[zone + 1] AS tzid_operational,
    local_micros(at_us, ${list(ZONES.map((zone) => zone.tzid))}[zone + 1]) AS ts_local_operational,
    'mcc-' || ${list(CATEGORIES.map((category) => category.mcc))}[category + 1] AS tz_group_id,
    CASE WHEN NOT is_virtual THEN site_id(flows.merchant * 8 + arrival_seq % 5) END AS site_id,
    CASE WHEN is_virtual THEN edge_id(flows.merchant * 4 + arrival_seq % 3) END AS edge_id,
    sha256(${text(`routing|${world.manifest_fingerprint}`)}) AS routing_universe_hash,
    round(share * ${flows / (days * 24)} *
      ${list(Array.from({ length: 24 }, (_, hour) => activityAt(hour * HOUR_MICROS)))}[
        ((at_us - ${startMicros}) // ${HOUR_MICROS})::BIGINT % 24 + 1], 6) AS lambda_realised,
    'synthetic.v1' AS s4_spec_version
    FROM flows JOIN merchants USING (merchant)`,
  s1_arrival_entities_6B: () => `
    arrival_seq::BIGINT AS arrival_seq, merchant_id(merchant) AS merchant_id, micros(at_us) AS ts_utc,
    party_id(party) AS party_id, account_id(account) AS account_id, instrument_id(instrument) AS instrument_id,
    device_id(device) AS device_id, ip_id(ip) AS ip_id, session_id(session) AS session_id
    FROM flows`,
  s1_session_index_6B: () => `
    session_id(session) AS session_id, count(*)::BIGINT AS arrival_count,
    micros(min(at_us)) AS session_start_utc, micros(max(at_us)) AS session_end_utc,
    party_id(arg_min(party, ordinal)) AS party_id, device_id(min(device)) AS device_id,
    account_id(arg_min(account, ordinal)) AS account_id,
    instrument_id(arg_min(instrument, ordinal)) AS instrument_id,
    merchant_id(arg_min(merchant, ordinal)) AS merchant_id
    FROM flows GROUP BY session`,
  s2_flow_anchor_baseline_6B: () => `${anchor('baseline_amount')} FROM flows`,
  s2_event_stream_baseline_6B: () => `${event} FROM events WHERE modes IN (1, 3)`,
  s3_flow_anchor_with_fraud_6B: () => `${anchor('amount')},
    campaign >= 0 AS fraud_flag, campaign_id FROM flows LEFT JOIN campaigns USING (campaign)`,
  s3_event_stream_with_fraud_6B: () => `${event}, campaign >= 0 AS fraud_flag, campaign_id
    FROM events JOIN flows USING (ordinal) LEFT JOIN campaigns USING (campaign) WHERE modes IN (2, 3)`,
  s3_campaign_catalogue_6B: ({ flows }) => `
    campaign_id, label AS campaign_label,
    round((SELECT count(*) FROM flows WHERE flows.campaign = campaigns.campaign) / ${flows}, 9) AS fraud_rate
    FROM campaigns`,
  s4_event_labels_6B: () => `
    flow_id(ordinal) AS flow_id, seq::BIGINT AS event_seq, campaign >= 0 AS is_fraud_truth,
    bank_view = 1 AS is_fraud_bank_view FROM events JOIN flows USING (ordinal) WHERE modes IN (2, 3)`,
  s4_flow_truth_labels_6B: () => `
    flow_id(ordinal) AS flow_id, campaign >= 0 AS is_fraud_truth, label AS fraud_label
    FROM flows LEFT JOIN campaigns USING (campaign)`,
  s4_flow_bank_view_6B: () => `
    flow_id(ordinal) AS flow_id, bank_view = 1 AS is_fraud_bank_view,
    CASE WHEN bank_view = 1 THEN CASE WHEN ordinal % 3 = 0 THEN 'CHARGEBACK' ELSE 'CONFIRMED_FRAUD' END END
      AS bank_label FROM flows`,
  s4_case_timeline_6B: () => `
    case_id(ordinal) AS case_id, (step + 1)::BIGINT AS case_event_seq, flow_id(ordinal) AS flow_id,
    ['CASE_OPENED', 'CUSTOMER_CONTACTED', CASE WHEN campaign >= 0 THEN 'FRAUD_CONFIRMED' ELSE 'FALSE_ALARM' END,
      'CASE_CLOSED'][step + 1] AS case_event_type,
    micros(bank_at + step * (5400000000 + ordinal % 977 * 1000003)) AS ts_utc
    FROM flows, (SELECT unnest(range(4)) AS step) WHERE bank_view = 1`,
};
