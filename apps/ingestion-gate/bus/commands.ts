/** `fp bus`: what is on the bus, one record a line, and whether the archive holds the same. */
import type { Command } from 'commander';
import { avroAnyReader, Bytes, HeaderBlock, SchemaRegistry, type RecordBatch } from '../../../lib/index.ts';
import { EVENT_TYPE_HEADER, loadSettings, PLATFORM_RUN_ID_HEADER, type Settings } from '../../rails/index.ts';
import { checkArchive } from './archive-check.ts';
import { moveTo } from './bus-archive.ts';
import { readTopic, type ReplayStart } from './topic-reader.ts';

export interface TailOptions {
  readonly topic: string;
  readonly from: string;
  readonly fromOffset?: readonly string[];
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
    .option('--from-offset <partition:offset...>', 'start at these offsets, and read these partitions only')
    .option('--event-type <type>', 'only this event type')
    .option('--run <platform_run_id>', 'only this platform run')
    .option('--max <n>', 'stop after this many', Number, 20)
    .option(
      '--json',
      'whole envelopes as JSON lines; the coordinates that the read covers go to stderr, as JSON',
    )
    .option('--follow', 'go on at the end, until Ctrl-C')
    .action(async (options: TailOptions) => {
      const follow = new AbortController();
      if (options.follow === true) process.once('SIGINT', () => follow.abort());
      await tail(loadSettings(), options, {
        line: (text) => process.stdout.write(`${text}\n`),
        basis: (text) => process.stderr.write(`${text}\n`),
        follow: follow.signal,
      });
    });
  bus
    .command('check-archive <platform_run_id>')
    .description("read a run's record archive back and compare it with the bus; exit code 1 when they differ")
    .action(async (run: string) => {
      const check = await checkArchive(loadSettings(), run);
      process.stdout.write(`${JSON.stringify(check, null, 2)}\n`);
      if (check.differences.length > 0) process.exitCode = 1;
    });
}

export interface TailOutput {
  line(text: string): void;
  /** What the read covers, once, before the first line. Only with `json`. */
  basis(text: string): void;
  readonly follow: AbortSignal;
}

/** Throws a RangeError for options that make no sense. */
export async function tail(settings: Settings, options: TailOptions, output: TailOutput): Promise<void> {
  const { traffic, control, audit } = settings.topics;
  const topic = new Map(Object.entries({ traffic, control, audit })).get(options.topic);
  if (topic === undefined)
    throw new RangeError(`--topic ${options.topic}: the bus has traffic, control and audit`);
  const from = replayStart(options);
  const reader = avroAnyReader(new SchemaRegistry({ url: settings.schemaRegistry.url }));
  const headers = new HeaderBlock();
  const value = new Bytes();
  let printed = 0;
  if (options.max < 1) return;
  await readTopic(
    {
      bootstrapServers: settings.kafka.bootstrapServers,
      topic,
      from,
      ...(options.follow === true ? { follow: output.follow } : {}),
      ...(options.json === true
        ? { onBasis: (basis) => output.basis(JSON.stringify({ replay_basis: basis })) }
        : {}),
    },
    (batch, i) => {
      moveTo(headers, batch, i);
      if (options.eventType !== undefined && headers.text(EVENT_TYPE_HEADER) !== options.eventType)
        return true;
      if (options.run !== undefined && headers.text(PLATFORM_RUN_ID_HEADER) !== options.run) return true;
      const at = `${topic}/${batch.partition[i]!}/${batch.offset[i]!}`;
      const admittedAt = new Date(batch.timestamp[i]!).toISOString();
      if (options.json === true) {
        value.buffer = batch.data;
        value.start = batch.valueStart[i]!;
        value.length = batch.valueLength[i]!;
        // May have to wait for a schema, and is called again then.
        const envelope = reader.schemaOf(value).decode(value);
        output.line(JSON.stringify({ at, admitted_at: admittedAt, key: keyOf(batch, i), envelope }));
      } else {
        const shown = [...headers].map(([name, text]) => `${name}=${text?.toString() ?? ''}`);
        output.line(`${at} ${admittedAt} ${keyOf(batch, i)} ${shown.join(' ')}`);
      }
      printed += 1;
      return printed < options.max;
    },
  );
}

function replayStart(options: TailOptions): ReplayStart {
  if (options.fromOffset !== undefined) {
    const offsets = options.fromOffset.map((text) => {
      const match = /^(\d+):(\d+)$/.exec(text);
      if (match === null)
        throw new RangeError(`--from-offset ${text} is not partition:offset, such as 0:1200`);
      return [Number(match[1]), Number(match[2])] as const;
    });
    return { offsets: new Map(offsets) };
  }
  if (options.from === 'beginning') return 'beginning';
  const timestampMs = Date.parse(options.from);
  if (Number.isNaN(timestampMs)) {
    throw new RangeError(
      `--from ${options.from} is neither "beginning" nor a time such as 2026-01-31T12:00:00Z`,
    );
  }
  return { timestampMs };
}

function keyOf(batch: RecordBatch, i: number): string {
  const start = batch.keyStart[i]!;
  return batch.data.toString('utf8', start, start + Math.max(0, batch.keyLength[i]!));
}
