/**
 * Where objects lie. The platform's bucket has one folder per platform run; the oracle bucket holds engine runs in
 * the engine's own layout with the pack's markers and stream views beside it. Keys never start with a bucket
 * name or a second run id.
 */
import { parsePlatformRunId } from './run-id.ts';
import { isToken } from './scalars.ts';

/** A part of a key that came from outside. Throws a RangeError unless it is a token and no step upwards. */
function part(name: string, value: string): string {
  if (!isToken(value) || value === '.' || value === '..') {
    throw new RangeError(
      `${name} ${JSON.stringify(value)} cannot be part of an object key: use 1-128 of A-Z a-z 0-9 _ . -`,
    );
  }
  return value;
}

function index(name: string, value: number, width: number): string {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`${name} ${value} is not a whole number from 0`);
  return String(value).padStart(width, '0');
}

/** Segments of receipts and archives are cut at multiples of this many offsets, so a rebuild cuts alike. */
export const SEGMENT_OFFSETS = 65_536;

/** The segment an offset belongs to. */
export function segmentOf(offset: number): number {
  return Math.floor(offset / SEGMENT_OFFSETS);
}

export interface RunObjects {
  /** `<platform_run_id>/`. */
  readonly root: string;
  readonly sr: {
    runPlan(runId: string): string;
    runStatus(runId: string): string;
    runFactsView(runId: string): string;
    readySignal(runId: string): string;
    runRecordIndex(runId: string): string;
    runRecord(runId: string): string;
    quarantine(runId: string): string;
    /** `tokens` are the output's partition values in catalogue order, as `name=value`. */
    instanceReceipt(outputId: string, tokens: readonly (readonly [name: string, value: string])[]): string;
    engineAttemptLog(runId: string, attemptNumber: number, stream: 'stdout' | 'stderr'): string;
    engineAttempt(runId: string, attemptNumber: number): string;
  };
  readonly wsp: { readyRun(messageId: string): string };
  readonly ig: {
    /** Parquet segment of receipts, by the topic whose records they are about. */
    receipts(topic: string, partition: number, segment: number): string;
    /** Parquet segment of quarantine evidence. */
    quarantine(topic: string, partition: number, segment: number): string;
    readonly activePolicy: string;
    readonly lastHealthProbe: string;
  };
  readonly obs: {
    /** One governance fact. */
    governanceEvent(eventId: string): string;
    /** All of them, a projection. */
    readonly governanceEvents: string;
  };
  /** Parquet segment of the bus archive. */
  eb(topic: string, partition: number, segment: number): string;
}

/** The keys of one platform run in the platform's bucket. Throws a RangeError for anything but a run id. */
export function runObjects(platformRunId: string): RunObjects {
  parsePlatformRunId(platformRunId);
  const root = `${platformRunId}/`;
  const sr = (kind: string, runId: string, extension = 'json'): string =>
    `${root}sr/${kind}/${part('run id', runId)}.${extension}`;
  const segment = (folder: string, topic: string, partition: number, number: number): string =>
    `${root}${folder}/topic=${part('topic', topic)}/partition=${index('partition', partition, 1)}/` +
    `segment-${index('segment', number, 12)}.parquet`;
  return {
    root,
    sr: {
      runPlan: (runId) => sr('run_plan', runId),
      runStatus: (runId) => sr('run_status', runId),
      runFactsView: (runId) => sr('run_facts_view', runId),
      readySignal: (runId) => sr('ready_signal', runId),
      runRecordIndex: (runId) => sr('run_record_index', runId),
      runRecord: (runId) => sr('run_record', runId, 'jsonl'),
      quarantine: (runId) => sr('quarantine', runId),
      instanceReceipt: (outputId, tokens) =>
        `${root}sr/instance_receipts/output_id=${part('output id', outputId)}/` +
        tokens.map(([name, value]) => `${part('token name', name)}=${part(name, value)}/`).join('') +
        'instance_receipt.json',
      engineAttemptLog: (runId, attempt, stream) =>
        `${root}sr/engine_attempt_logs/run_id=${part('run id', runId)}/` +
        `attempt_no=${index('attempt number', attempt, 1)}/${stream}.log`,
      engineAttempt: (runId, attempt) =>
        `${root}sr/engine_attempts/${part('run id', runId)}/attempt_no=${index('attempt number', attempt, 1)}.json`,
    },
    wsp: { readyRun: (messageId) => `${root}wsp/ready_runs/${part('message id', messageId)}.jsonl` },
    ig: {
      receipts: (topic, partition, number) => segment('ig/receipts', topic, partition, number),
      quarantine: (topic, partition, number) => segment('ig/quarantine', topic, partition, number),
      activePolicy: `${root}ig/policy/active.json`,
      lastHealthProbe: `${root}ig/health/last_probe.json`,
    },
    obs: {
      governanceEvent: (eventId) => `${root}obs/governance/events/${part('event id', eventId)}.json`,
      governanceEvents: `${root}obs/governance/events.jsonl`,
    },
    eb: (topic, partition, number) => segment('eb', topic, partition, number),
  };
}

export interface PackObjects {
  /** The engine run's root with a slash at its end. */
  readonly root: string;
  readonly runReceipt: string;
  readonly manifest: string;
  readonly seal: string;
  /** Folder of one output's stream view; ends in `/`. */
  streamView(outputId: string): string;
  streamViewPart(outputId: string, partNumber: number): string;
  streamViewManifest(outputId: string): string;
  /** Written last: a view without it does not exist. */
  streamViewReceipt(outputId: string): string;
}

/** The keys of a pack, from its engine run's root in the oracle bucket (`<run set>/<engine run id>`). */
export function packObjects(engineRunRoot: string): PackObjects {
  const steps = engineRunRoot.replace(/\/+$/, '').split('/');
  const root = steps.map((step) => `${part('engine run root', step)}/`).join('');
  const view = (outputId: string): string =>
    `${root}stream_view/ts_utc/output_id=${part('output id', outputId)}/`;
  return {
    root,
    runReceipt: `${root}run_receipt.json`,
    manifest: `${root}_oracle_pack_manifest.json`,
    seal: `${root}_SEALED.json`,
    streamView: view,
    streamViewPart: (outputId, partNumber) => `${view(outputId)}part-${index('part', partNumber, 6)}.arrow`,
    streamViewManifest: (outputId) => `${view(outputId)}_stream_view_manifest.json`,
    streamViewReceipt: (outputId) => `${view(outputId)}_stream_sort_receipt.json`,
  };
}

/** `s3://bucket/key`. */
export function objectRef(bucket: string, key: string): string {
  if (key.startsWith('/') || key.startsWith(`${bucket}/`)) {
    throw new RangeError(
      `the key ${JSON.stringify(key)} already has a root; give it relative to the bucket ${bucket}`,
    );
  }
  return `s3://${bucket}/${key}`;
}

/** The parts of an `s3://bucket/key` reference. Throws a RangeError for anything else. */
export function parseObjectRef(ref: string): { readonly bucket: string; readonly key: string } {
  const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.+)$/.exec(ref);
  if (match === null) throw new RangeError(`${JSON.stringify(ref)} is not an s3://bucket/key reference`);
  return { bucket: match[1]!, key: match[2]! };
}
