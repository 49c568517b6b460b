/**
 * A run's documents in the object store: write-once ones (plan, facts view, ready signal) and projections of the
 * authority (status, record, quarantine note). All are written from what Postgres holds, so writing them again after
 * a crash changes nothing.
 */
import { isObjectStoreError, readJson, writeOnceJson, type Bucket } from '../../lib/index.ts';
import {
  canonicalJson,
  objectRef,
  runObjects,
  type CanonicalValue,
  type RunReadyPayload,
} from '../rails/index.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { RunFactsView, RunPlan, RunStatus } from './run-artifacts.ts';
import type { RecordLine, RunKey } from './run-record.ts';
import type { Run } from './run-store.ts';

/** `s3://…` of everything a run writes. */
export interface RunRefs {
  readonly plan: string;
  readonly status: string;
  readonly record: string;
  readonly factsView: string;
  readonly readySignal: string;
  readonly quarantine: string;
}

export class RunObjectStore {
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  refs(key: RunKey): RunRefs {
    const { sr } = runObjects(key.platformRunId);
    const ref = (objectKey: string): string => objectRef(this.#bucket.name, objectKey);
    return {
      plan: ref(sr.runPlan(key.runId)),
      status: ref(sr.runStatus(key.runId)),
      record: ref(sr.runRecord(key.runId)),
      factsView: ref(sr.runFactsView(key.runId)),
      readySignal: ref(sr.readySignal(key.runId)),
      quarantine: ref(sr.quarantine(key.runId)),
    };
  }

  async writePlan(key: RunKey, plan: RunPlan): Promise<void> {
    await this.#writeOnce(runObjects(key.platformRunId).sr.runPlan(key.runId), plan, 'PLAN_DRIFT');
  }

  async writeFactsView(facts: RunFactsView): Promise<void> {
    const { sr } = runObjects(facts.platform_run_id);
    await this.#writeOnce(sr.runFactsView(facts.run_id), facts, 'FACTS_VIEW_DRIFT');
  }

  async writeReadySignal(signal: RunReadyPayload): Promise<void> {
    const { sr } = runObjects(signal.platform_run_id);
    await this.#writeOnce(sr.readySignal(signal.run_id), signal, 'READY_SIGNAL_DRIFT');
  }

  /** Throws FACTS_VIEW_MISSING when the run has none. */
  async readFactsView(key: RunKey): Promise<RunFactsView> {
    const objectKey = runObjects(key.platformRunId).sr.runFactsView(key.runId);
    try {
      return await readJson<RunFactsView>(this.#bucket, objectKey);
    } catch (error) {
      if (!isObjectStoreError(error, 'OBJECT_MISSING')) throw error;
      throw new ScenarioRunnerError(
        'FACTS_VIEW_MISSING',
        `${this.#bucket.uri(objectKey)} does not exist; a run has a facts view once its evidence is complete`,
        { cause: error },
      );
    }
  }

  /** Rewrites the projections of a run: its record, its status, and for a quarantined run the note about it. */
  async project(run: Run, record: readonly RecordLine[]): Promise<void> {
    const { sr } = runObjects(run.platformRunId);
    const lines = record.map((line) => canonicalJson(json(line)) + '\n').join('');
    await this.#put(sr.runRecord(run.runId), lines, 'application/x-ndjson');
    if (run.state === 'QUARANTINED') {
      const note = { ...this.statusOf(run), reason: run.reason, pins: pinsOf(run) };
      await this.#put(sr.quarantine(run.runId), canonicalJson(json(note)), 'application/json');
    }
    await this.#put(sr.runStatus(run.runId), canonicalJson(json(this.statusOf(run))), 'application/json');
  }

  statusOf(run: Run): RunStatus {
    return {
      run_id: run.runId,
      state: run.state,
      updated_at_utc: run.updatedAtUtc,
      record_ref: this.refs(run).record,
      ...(run.reasonCode === null ? {} : { reason_code: run.reasonCode }),
      ...(run.factsViewRef === null ? {} : { facts_view_ref: run.factsViewRef }),
    };
  }

  async #put(objectKey: string, text: string, contentType: string): Promise<void> {
    await this.#bucket.put(objectKey, Buffer.from(text), { contentType });
  }

  async #writeOnce(objectKey: string, document: object, drift: ReasonCode): Promise<void> {
    try {
      await writeOnceJson(this.#bucket, objectKey, json(document), { serialize: canonicalJson });
    } catch (error) {
      if (!isObjectStoreError(error, 'CONTENT_DRIFT')) throw error;
      throw new ScenarioRunnerError(
        drift,
        `${this.#bucket.uri(objectKey)} was written before with other content, and is never overwritten; ` +
          'start over in a new platform run (`fp run new`)',
        { cause: error },
      );
    }
  }
}

function pinsOf(run: Run): Readonly<Record<string, string>> {
  const { manifest_fingerprint, parameter_hash, seed, scenario_id } = run.request;
  return { manifest_fingerprint, parameter_hash, seed, scenario_id, platform_run_id: run.platformRunId };
}

/** The document as a canonical value: its types hold JSON only, which an interface cannot say. */
function json(document: object): CanonicalValue {
  return document as CanonicalValue;
}
