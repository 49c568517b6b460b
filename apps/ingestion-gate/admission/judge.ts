/**
 * The judgement over one record, rule by rule in the order of the contract: readable, envelope, event type, pins,
 * schema policy, event id, partition key, partition, seen before. The first rule that fails decides; the store is
 * written last, so that a refusal leaves no trace in it.
 */
import {
  NotReady,
  partitionOf,
  SerdeError,
  type AvroReader,
  type Bytes,
  type DedupeStore,
  type ProcessorContext,
  type ProcessorSupplier,
  type StoreSpec,
  type StreamRecord,
} from '../../../lib/index.ts';
import {
  dedupeKey,
  envelopeProblems,
  missingPins,
  type Envelope,
  type Policies,
  type WorldKey,
} from '../../rails/index.ts';
import type { Admission, Decision } from './decision.ts';
import { EventKinds, type EventKind } from './event-kind.ts';
import { Refusals } from './refusals.ts';

export interface GateRules {
  readonly policies: Policies;
  readonly reader: AvroReader;
  /** Of ingress and of every bus topic. */
  readonly partitions: number;
  /** How long an event is remembered, milliseconds of wall time. */
  readonly dedupeTtlMs: number;
}

type Judged = StreamRecord<string | null, Decision>;

export function judge(
  rules: GateRules,
  seen: StoreSpec<DedupeStore>,
): ProcessorSupplier<null, Bytes | null, string | null, Decision> {
  return () => {
    let task: TaskJudge;
    return {
      init(context) {
        task = new TaskJudge(rules, context, context.store(seen));
      },
      process: (record) => task.process(record),
    };
  };
}

class TaskJudge {
  readonly #rules: GateRules;
  readonly #context: ProcessorContext<string | null, Decision>;
  readonly #seen: DedupeStore;
  readonly #kinds: EventKinds;
  readonly #refusals: Refusals;
  /** Partition keys and digests are hex of 64 characters. */
  readonly #keyText = Buffer.alloc(64);
  readonly #keyDigest = Buffer.alloc(32);
  readonly #valueDigest = Buffer.alloc(32);
  /** Reused for every record; the bytes and the key are read before the next one comes. */
  readonly #admission: Admission;
  readonly #out: Judged;

  constructor(rules: GateRules, context: ProcessorContext<string | null, Decision>, seen: DedupeStore) {
    this.#rules = rules;
    this.#context = context;
    this.#seen = seen;
    this.#kinds = new EventKinds(rules.policies);
    this.#refusals = new Refusals(rules.policies, context);
    this.#admission = {
      decision: 'ADMIT',
      bus: 'traffic',
      bytes: context.source.value,
      eventId: '',
      eventType: '',
      eventClass: '',
      platformRunId: '',
      scenarioRunId: '',
      payloadHash: '',
      profileId: '',
    };
    this.#out = { key: null, value: this.#admission, timestamp: -1, headers: context.source.headers };
  }

  process(record: StreamRecord<null, Bytes | null>): void {
    const out = this.#out;
    out.timestamp = record.timestamp;
    out.key = null;
    out.value = this.#decide(record.value);
    this.#context.forward(out);
  }

  #decide(bytes: Bytes | null): Decision {
    const refusals = this.#refusals;
    refusals.begin();
    try {
      return this.#judge(bytes);
    } catch (error) {
      if (error instanceof NotReady) throw error;
      if (error instanceof SerdeError) return refusals.unreadable(error);
      // A record must never stop the gate for those behind it; the evidence says what to mend in the gate.
      return refusals.quarantine('INTERNAL_ERROR', (error as Error).stack ?? String(error));
    }
  }

  #judge(bytes: Bytes | null): Decision {
    const { policies, reader } = this.#rules;
    const refusals = this.#refusals;
    if (bytes === null) return refusals.quarantine('VALUE_MISSING', 'the record has no value');
    const most = policies.gate.max_record_bytes;
    if (bytes.length > most) {
      return refusals.quarantine('RECORD_TOO_LARGE', `${bytes.length} bytes; the limit is ${most}`);
    }
    const kind = this.#kinds.of(reader.schemaOf(bytes));
    refusals.kind = kind;
    if (!kind.isEnvelope) return refusals.quarantine('ENVELOPE_INVALID', `${kind.eventType} has no envelope`);
    const envelope = kind.schema.decode(bytes) as Envelope;
    refusals.envelope = envelope;
    const problems = envelopeProblems(envelope);
    if (problems.length > 0) return refusals.quarantine('ENVELOPE_INVALID', problems.join('; '));
    if (envelope.event_type !== kind.eventType) {
      const detail = `event_type is ${envelope.event_type}, the record's schema ${kind.eventType}`;
      return refusals.quarantine('EVENT_TYPE_MISMATCH', detail);
    }
    const missing = missingPins(envelope, kind.eventClass.requiredPins);
    if (missing.length > 0) {
      return refusals.quarantine(
        'PINS_MISSING',
        `class ${kind.eventClass.name} requires ${missing.join(', ')}`,
      );
    }
    const refusal = policies.schemaPolicy.refusal(kind.eventType, envelope.schema_version);
    if (refusal !== null) {
      return refusals.quarantine(
        refusal,
        `${kind.eventType}, schema_version ${envelope.schema_version ?? 'absent'}`,
      );
    }
    // Engine rows must carry the id that their primary key gives, so that duplicates of one meet on one partition.
    const eventId = kind.engineEventId?.(envelope as WorldKey & Envelope, envelope.payload);
    if (eventId !== undefined && eventId !== envelope.event_id) {
      const detail = `event_id is ${envelope.event_id}, its primary key gives ${eventId}`;
      return refusals.quarantine('EVENT_ID_MISMATCH', detail);
    }
    const payloadHash = kind.payloadHash(envelope);
    refusals.payloadHash = payloadHash;
    const key = kind.profile.key(envelope);
    if (key === undefined) {
      const detail = `${kind.profile.id} needs one of ${kind.profile.keyPrecedence.join(', ')}`;
      return refusals.quarantine('PARTITION_KEY_MISSING', detail);
    }
    refusals.partitionKey = key;
    return this.#misplaced(key) ?? this.#admitOnce(envelope, kind, payloadHash, key);
  }

  /** Order per key holds only while ingress partition p feeds bus partition p. */
  #misplaced(key: string): Decision | null {
    this.#keyText.write(key, 0, 'latin1');
    const expected = partitionOf(this.#keyText, 0, key.length, this.#rules.partitions);
    const { partition } = this.#context.source;
    if (partition === expected) return null;
    return this.#refusals.quarantine(
      'WRONG_PARTITION',
      `on partition ${partition}; its key belongs on ${expected} by murmur2, Java's default partitioner ` +
        '(librdkafka clients: partitioner=murmur2_random)',
    );
  }

  #admitOnce(envelope: Envelope, kind: EventKind, payloadHash: string, key: string): Decision {
    // The class map requires both of every class.
    const platformRunId = envelope.platform_run_id!;
    const scenarioRunId = envelope.scenario_run_id!;
    const dedupe = dedupeKey(platformRunId, kind.eventClass.name, envelope.event_id);
    this.#refusals.dedupeKey = dedupe;
    this.#keyDigest.write(dedupe, 0, 'hex');
    this.#valueDigest.write(payloadHash, 0, 'hex');
    const seen = this.#seen;
    const known = seen.find(this.#keyDigest);
    if (known >= 0) {
      const original = seen.sourceOffset(known);
      if (seen.valueEquals(known, this.#valueDigest)) return this.#refusals.duplicate(original);
      const detail = `${envelope.event_id} was admitted with another payload, from offset ${original} of this partition`;
      return this.#refusals.quarantine('PAYLOAD_HASH_MISMATCH', detail);
    }
    seen.insert(this.#keyDigest, this.#valueDigest, this.#context.source.offset);
    const admission = this.#admission;
    admission.bus = kind.profile.bus;
    admission.eventId = envelope.event_id;
    admission.eventType = kind.eventType;
    admission.eventClass = kind.eventClass.name;
    admission.platformRunId = platformRunId;
    admission.scenarioRunId = scenarioRunId;
    admission.payloadHash = payloadHash;
    admission.profileId = kind.profile.id;
    this.#out.key = key;
    return admission;
  }
}
