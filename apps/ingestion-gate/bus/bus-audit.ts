/**
 * The proof by reading: counts a run's records on the bus, partition by partition, and checks the two promises of
 * order: per key `ts_utc` never goes back, and no event stands before its flow's anchor.
 */
import { avroAnyReader, Bytes, HeaderBlock, SchemaRegistry } from '../../../lib/index.ts';
import { PLATFORM_RUN_ID_HEADER, type Envelope, type Settings } from '../../rails/index.ts';
import { moveTo } from './bus-archive.ts';
import { readTopic } from './topic-reader.ts';

export interface BusPartitionCount {
  readonly topic: string;
  readonly partition: number;
  readonly first_offset: number;
  readonly last_offset: number;
  /** Counted, not subtracted: transaction markers take offsets too. */
  readonly records: number;
}

export interface BusAudit {
  readonly bus: readonly BusPartitionCount[];
  /** Records by event type. */
  readonly types: Readonly<Record<string, number>>;
  /** Records that stand behind a later one of their key, and events that stand before their flow's anchor. */
  readonly order_violations: number;
  /** The first few violations, for people. */
  readonly examples: readonly string[];
}

const MOST_EXAMPLES = 5;
const ANCHOR = /^s[23]_flow_anchor_/;
const EVENT = /^s[23]_event_stream_/;

/** Reads every record of a run that its bus topics hold. */
export async function auditBus(settings: Settings, platformRunId: string): Promise<BusAudit> {
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const { traffic, control, audit } = settings.topics;
  const counts = new Map<string, { -readonly [K in keyof BusPartitionCount]: BusPartitionCount[K] }>();
  const types: Record<string, number> = {};
  const order = new OrderCheck();
  const reader = avroAnyReader(registry);
  for (const topic of [traffic, control, audit]) {
    const value = new Bytes();
    const headers = new HeaderBlock();
    await readTopic({ bootstrapServers: settings.kafka.bootstrapServers, topic }, (batch, i) => {
      moveTo(headers, batch, i);
      if (headers.text(PLATFORM_RUN_ID_HEADER) !== platformRunId) return true;
      value.buffer = batch.data;
      value.start = batch.valueStart[i]!;
      value.length = batch.valueLength[i]!;
      // First, because it may have to wait for a schema and be called again.
      const envelope = reader.schemaOf(value).decode(value) as Envelope;
      const partition = batch.partition[i]!;
      const offset = batch.offset[i]!;
      const count = counts.get(`${topic}/${partition}`);
      if (count === undefined) {
        counts.set(`${topic}/${partition}`, {
          topic,
          partition,
          first_offset: offset,
          last_offset: offset,
          records: 1,
        });
      } else {
        count.last_offset = offset;
        count.records += 1;
      }
      types[envelope.event_type] = (types[envelope.event_type] ?? 0) + 1;
      const keyStart = batch.keyStart[i]!;
      const key = batch.data.toString('latin1', keyStart, keyStart + batch.keyLength[i]!);
      if (topic === traffic) order.see(key, envelope, `${topic}/${partition}/${offset}`);
      return true;
    });
  }
  return {
    bus: [...counts.values()].sort(byPlace),
    types,
    order_violations: order.violations,
    examples: order.examples,
  };
}

class OrderCheck {
  violations = 0;
  readonly examples: string[] = [];
  readonly #latest = new Map<string, string>();
  readonly #anchored = new Set<string>();

  see(key: string, envelope: Envelope, where: string): void {
    const latest = this.#latest.get(key);
    // `micros` text: text order is time order.
    if (latest !== undefined && envelope.ts_utc < latest)
      this.#report(`${where}: ${envelope.ts_utc} behind ${latest}`);
    else this.#latest.set(key, envelope.ts_utc);
    if (ANCHOR.test(envelope.event_type)) this.#anchored.add(key);
    else if (EVENT.test(envelope.event_type) && !this.#anchored.has(key))
      this.#report(`${where}: an event before its anchor`);
  }

  #report(what: string): void {
    this.violations += 1;
    if (this.examples.length < MOST_EXAMPLES) this.examples.push(what);
  }
}

function byPlace(a: BusPartitionCount, b: BusPartitionCount): number {
  return a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition;
}
