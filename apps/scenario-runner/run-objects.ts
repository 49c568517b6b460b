/**
 * A run's documents in the object store: write-once ones (plan, facts view, ready signal) and projections of the
 * authority (status, record, quarantine note). All are written from what Postgres holds, so writing them again after
 * a crash changes nothing.
 */
import { isObjectStoreError, readJson, writeOnceJson, type Bucket } from '../../lib/index.ts';
import {
  artifactProblems,
  canonicalJson,
  outputDefinition,
  objectRef,
  parseObjectRef,
  runObjects,
  sha256Hex,
  type CanonicalValue,
  type RunReadyPayload,
} from '../rails/index.ts';
import { ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
import type { GovernanceFact } from './governance.ts';
import { pathTokens } from './locator-check.ts';
import type {
  EngineAttempt,
  InstanceProof,
  OutputLocator,
  RunFactsView,
  RunPlan,
  RunStatus,
} from './run-artifacts.ts';
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

  /** The platform's own bucket. */
  get bucket(): Bucket {
    return this.#bucket;
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
    await this.#writeOnce(
      runObjects(key.platformRunId).sr.runPlan(key.runId),
      'run_plan',
      plan,
      'PLAN_DRIFT',
    );
  }

  async writeFactsView(facts: RunFactsView): Promise<void> {
    const { sr } = runObjects(facts.platform_run_id);
    await this.#writeOnce(sr.runFactsView(facts.run_id), 'run_facts_view', facts, 'FACTS_VIEW_DRIFT');
  }

  async writeReadySignal(signal: RunReadyPayload): Promise<void> {
    const { sr } = runObjects(signal.platform_run_id);
    await this.#writeOnce(sr.readySignal(signal.run_id), 'run_ready_signal', signal, 'READY_SIGNAL_DRIFT');
  }

  /** Where the proof of an output lies: by its world, so that every run of a platform run meets the same one. */
  instanceProofRef(key: RunKey, locator: OutputLocator): string {
    return objectRef(this.#bucket.name, this.#instanceProofKey(key, locator));
  }

  /** Throws INSTANCE_RECEIPT_DRIFT when another content of the same output was proven before. */
  async writeInstanceProof(key: RunKey, proof: InstanceProof): Promise<void> {
    const objectKey = this.#instanceProofKey(key, proof.target_ref);
    await this.#writeOnce(objectKey, 'instance_proof', proof, 'INSTANCE_RECEIPT_DRIFT');
  }

  #instanceProofKey(key: RunKey, locator: OutputLocator): string {
    const tokens = pathTokens(outputDefinition(locator.output_id)).map(
      (name) => [name, locator[name]] as const,
    );
    return runObjects(key.platformRunId).sr.instanceReceipt(locator.output_id, tokens);
  }

  /** Stores what an attempt printed. An attempt that a crash cut off and that is made again replaces it. */
  async writeEngineLogs(
    key: RunKey,
    attemptNumber: number,
    printed: { readonly stdout: string; readonly stderr: string },
  ): Promise<EngineAttempt['logs_ref']> {
    const { sr } = runObjects(key.platformRunId);
    const write = async (stream: 'stdout' | 'stderr'): Promise<string> => {
      const objectKey = sr.engineAttemptLog(key.runId, attemptNumber, stream);
      await this.#put(objectKey, printed[stream], 'text/plain; charset=utf-8');
      return objectRef(this.#bucket.name, objectKey);
    };
    return { stdout_ref: await write('stdout'), stderr_ref: await write('stderr') };
  }

  async writeEngineAttempt(key: RunKey, attempt: EngineAttempt): Promise<void> {
    const objectKey = runObjects(key.platformRunId).sr.engineAttempt(key.runId, attempt.attempt_no);
    this.#check('engine_attempt', attempt, objectKey);
    await this.#put(objectKey, canonicalJson(json(attempt)), 'application/json');
  }

  async writeGovernanceFact(fact: GovernanceFact): Promise<void> {
    const objectKey = runObjects(fact.pins.platform_run_id).obs.governanceEvent(fact.event_id);
    await this.#writeOnce(objectKey, 'governance_fact', fact, 'ARTIFACT_SCHEMA_INVALID');
  }

  /** Rewrites the projection of a platform run's governance facts. */
  async projectGovernance(platformRunId: string, facts: readonly GovernanceFact[]): Promise<void> {
    const lines = facts.map((fact) => canonicalJson(json(fact)) + '\n').join('');
    await this.#put(runObjects(platformRunId).obs.governanceEvents, lines, 'application/x-ndjson');
  }

  /** The sha256 of an object's bytes, or undefined when there is no such object in this bucket. */
  async digestOf(ref: string): Promise<string | undefined> {
    const { bucket, key } = parseObjectRef(ref);
    if (bucket !== this.#bucket.name) return undefined;
    try {
      return sha256Hex(await this.#bucket.get(key));
    } catch (error) {
      if (isObjectStoreError(error, 'OBJECT_MISSING')) return undefined;
      throw error;
    }
  }

  /** Throws FACTS_VIEW_MISSING when the run has none, ARTIFACT_SCHEMA_INVALID when it is not one. */
  async readFactsView(key: RunKey): Promise<RunFactsView> {
    const objectKey = runObjects(key.platformRunId).sr.runFactsView(key.runId);
    try {
      const facts = await readJson<RunFactsView>(this.#bucket, objectKey);
      this.#check('run_facts_view', facts, objectKey);
      return facts;
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
    for (const line of record) this.#check('run_record_line', line, sr.runRecord(run.runId));
    const lines = record.map((line) => canonicalJson(json(line)) + '\n').join('');
    await this.#put(sr.runRecord(run.runId), lines, 'application/x-ndjson');
    if (run.state === 'QUARANTINED') {
      const note = { ...this.statusOf(run), reason: run.reason, pins: pinsOf(run) };
      this.#check('run_quarantine', note, sr.quarantine(run.runId));
      await this.#put(sr.quarantine(run.runId), canonicalJson(json(note)), 'application/json');
    }
    const status = this.statusOf(run);
    this.#check('run_status', status, sr.runStatus(run.runId));
    await this.#put(sr.runStatus(run.runId), canonicalJson(json(status)), 'application/json');
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

  #check(artifact: string, document: object, objectKey: string): void {
    const problems = artifactProblems(artifact, document);
    if (problems.length === 0) return;
    throw new ScenarioRunnerError(
      'ARTIFACT_SCHEMA_INVALID',
      `${this.#bucket.uri(objectKey)} is not a valid ${artifact}: ${problems.join('; ')}`,
    );
  }

  async #put(objectKey: string, text: string, contentType: string): Promise<void> {
    await this.#bucket.put(objectKey, Buffer.from(text), { contentType });
  }

  async #writeOnce(objectKey: string, artifact: string, document: object, drift: ReasonCode): Promise<void> {
    this.#check(artifact, document, objectKey);
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
