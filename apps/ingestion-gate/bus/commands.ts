/** `fp bus tail`: what is on the bus, one record a line. */
import type { Command } from 'commander';
import { avroAnyReader, Bytes, HeaderBlock, SchemaRegistry, type RecordBatch } from '../../../lib/index.ts';
import { EVENT_TYPE_HEADER, loadSettings, PLATFORM_RUN_ID_HEADER, type BusTopic } from '../../rails/index.ts';
import { readTopic } from './topic-reader.ts';

interface TailOptions {
  readonly topic: BusTopic;
  readonly from: string;
  readonly eventType?: string;
  readonly run?: string;
  readonly max: number;
  readonly json?: boolean;
  readonly follow?: boolean;
}

export function registerBus(program: Command): void {
  const bus = program.command('bus').description('a look at the bus');
  bus
    .command('tail')
    .description('print committed records of a bus topic, decoded from the registry')
    .option('--topic <name>', 'traffic, control or audit', 'traffic')
    .option(
      '--from <start>',
      '"beginning", or a time such as 2026-01-31T12:00:00Z (admission time)',
      'beginning',
    )
    .option('--event-type <type>', 'only this event type')
    .option('--run <platform_run_id>', 'only this platform run')
    .option('--max <n>', 'stop after this many', Number, 20)
    .option('--json', 'whole envelopes as JSON lines')
    .option('--follow', 'go on at the end, until Ctrl-C')
    .action(tail);
}

async function tail(options: TailOptions): Promise<void> {
  const settings = loadSettings();
  const topic = settings.topics[options.topic] as string | undefined;
  if (topic === undefined)
    throw new Error(`--topic ${options.topic}: the bus has traffic, control and audit`);
  const from = options.from === 'beginning' ? 'beginning' : { timestampMs: Date.parse(options.from) };
  if (from !== 'beginning' && Number.isNaN(from.timestampMs)) {
    throw new Error(`--from ${options.from} is neither "beginning" nor a time such as 2026-01-31T12:00:00Z`);
  }
  const follow = new AbortController();
  if (options.follow === true) process.once('SIGINT', () => follow.abort());
  const registry = new SchemaRegistry({ url: settings.schemaRegistry.url });
  const lines: Promise<void>[] = [];
  let printed = 0;
  await readTopic(
    {
      bootstrapServers: settings.kafka.bootstrapServers,
      topic,
      from,
      ...(options.follow === true ? { follow: follow.signal } : {}),
    },
    (batch, i) => {
      const headers = headersOf(batch, i);
      if (options.eventType !== undefined && headers.text(EVENT_TYPE_HEADER) !== options.eventType)
        return true;
      if (options.run !== undefined && headers.text(PLATFORM_RUN_ID_HEADER) !== options.run) return true;
      const where = `${topic}/${batch.partition[i]!}/${batch.offset[i]!}`;
      const at = new Date(batch.timestamp[i]!).toISOString();
      if (options.json === true) lines.push(printDecoded(registry, copyOfValue(batch, i), where, at));
      else
        process.stdout.write(
          `${where} ${at} ${keyOf(batch, i)} ${[...headers].map(([n, v]) => `${n}=${v?.toString() ?? ''}`).join(' ')}\n`,
        );
      printed += 1;
      return printed < options.max;
    },
  );
  await Promise.all(lines);
}

async function printDecoded(
  registry: SchemaRegistry,
  value: Buffer,
  where: string,
  admittedAt: string,
): Promise<void> {
  const bytes = new Bytes(value);
  await registry.fetch(value.readInt32BE(1));
  const envelope = avroAnyReader(registry).schemaOf(bytes).decode(bytes);
  process.stdout.write(`${JSON.stringify({ at: where, admitted_at: admittedAt, envelope })}\n`);
}

function headersOf(batch: RecordBatch, i: number): HeaderBlock {
  const headers = new HeaderBlock();
  headers.buffer = batch.data;
  headers.start = batch.headersStart[i]!;
  headers.length = batch.headersLength[i]!;
  headers.count = batch.headersCount[i]!;
  return headers;
}

function keyOf(batch: RecordBatch, i: number): string {
  const start = batch.keyStart[i]!;
  return batch.data.toString('utf8', start, start + Math.max(0, batch.keyLength[i]!));
}

function copyOfValue(batch: RecordBatch, i: number): Buffer {
  const start = batch.valueStart[i]!;
  return Buffer.from(batch.data.subarray(start, start + Math.max(0, batch.valueLength[i]!)));
}
