/** The bus as others see it: kcat, a consumer in Python with nothing but the registry, and the broker's own retention. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { decodeDecisionHeader, type Envelope } from '../../apps/rails/index.ts';
import { TestPlatform, type TestRun } from '../support/platform.ts';
import { runPython } from '../support/python-peer.ts';
import { partitionOfKey, readBus } from '../support/record-log.ts';
import { exactly, verdictOf } from '../support/run-verdict.ts';

const EVENTS = 2000;
const DAY_MS = 86_400_000;
const MOST_OUTPUT_BYTES = 64 * 1024 * 1024;
const run = promisify(execFile);

let platform: TestPlatform;
let sent: TestRun;
const startedAt = Date.now();

test.before(async () => {
  platform = await TestPlatform.open('readers');
  for (const service of ['gate', 'ledger', 'streamer'] as const) platform.start(service);
  sent = await platform.submit(await platform.pack('7', EVENTS));
  const verdict = await verdictOf(platform, sent);
  if (JSON.stringify(verdict) !== JSON.stringify(exactly(EVENTS)))
    throw new Error(`the run does not reconcile: ${JSON.stringify(verdict)}`);
});
test.after.always(() => platform.close());

async function kcat(...args: string[]): Promise<string> {
  try {
    const { stdout } = await run('kcat', ['-b', platform.settings.kafka.bootstrapServers, ...args], {
      maxBuffer: MOST_OUTPUT_BYTES,
    });
    return stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error('kcat is not there; `make test-tools` installs it or says how', { cause: error });
  }
}

test('kcat shows stamped keys and readable headers; a key has one partition; its count is that of the receipts', async (t) => {
  const { traffic } = platform.settings.topics;
  const output = await kcat('-C', '-q', '-t', traffic, '-o', 'beginning', '-e', '-f', '%t %p %o %k %h\n');
  const lines = output.trimEnd().split('\n');
  const partitionsOfKeys = new Map<string, Set<number>>();
  for (const line of lines) {
    const match =
      /^(\S+) (\d+) (\d+) ([0-9a-f]{64}) event_type=(\w+),event_class=(\w+),platform_run_id=(\w+),decision=(\{.*\})$/.exec(
        line,
      );
    if (match === null) {
      t.fail(`not readable: ${line}`);
      return;
    }
    const [, topic, partition, , key, , , platformRunId, decision] = match;
    const { scenarioRunId, ingressTopic, ingressPartition } = decodeDecisionHeader(decision!);
    t.deepEqual(
      { topic, platformRunId, scenarioRunId, ingressTopic, ingressPartition },
      {
        topic: traffic,
        platformRunId: sent.platform_run_id,
        scenarioRunId: sent.scenario_run_id,
        ingressTopic: platform.settings.topics.ingress,
        ingressPartition: Number(partition),
      },
    );
    const partitions = partitionsOfKeys.get(key!) ?? new Set();
    partitionsOfKeys.set(key!, partitions.add(Number(partition)));
  }
  const strays = [...partitionsOfKeys].filter(
    ([key, partitions]) =>
      partitions.size !== 1 || !partitions.has(partitionOfKey(key, platform.settings.partitions)),
  );
  t.deepEqual(strays, []);
  const { rows } = await platform.pool.query<{ receipts: string }>(
    `select count(*) as receipts from receipts where decision = 'ADMIT' and eb_topic = $1`,
    [traffic],
  );
  t.is(lines.length, Number(rows[0]!.receipts));
  t.is(lines.length, EVENTS);
});

interface PythonReading {
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly header_mismatches: number;
  readonly example: Readonly<Record<string, Envelope>>;
}

test('CI-84 a Python consumer decodes every record from the registry alone, and counts what the ledger counts', async (t) => {
  const { kafka, schemaRegistry, topics } = platform.settings;
  const reading = await runPython<PythonReading>('decode_bus.py', [
    kafka.bootstrapServers,
    schemaRegistry.url,
    topics.traffic,
    topics.control,
  ]);
  const { rows } = await platform.pool.query<{ topic: string; type: string; records: string }>(
    `select eb_topic as topic, event_type as type, count(*) as records from receipts
     where decision = 'ADMIT' group by 1, 2`,
  );
  const receipts: Record<string, Record<string, number>> = {};
  for (const { topic, type, records } of rows) (receipts[topic] ??= {})[type] = Number(records);
  t.deepEqual(reading.counts, receipts);
  t.is(reading.header_mismatches, 0);
  // Field by field what our own decoder reads, of a record with payload.
  const own = await readBus(platform.settings);
  const example = reading.example[topics.traffic]!;
  const same = own.find(
    ({ topic, value }) => topic === topics.traffic && value.event_id === example.event_id,
  )!;
  t.deepEqual(example, JSON.parse(JSON.stringify(same.value)) as Envelope);
});

test('a world dated more than a year ago survives retention, which runs on the wall time that records carry', async (t) => {
  const records = await readBus(platform.settings);
  const events = records.filter(({ topic }) => topic === platform.settings.topics.traffic);
  const newest = events.reduce((max, { value }) => (value.ts_utc > max ? value.ts_utc : max), '');
  t.true(Date.parse(newest) < startedAt - 365 * DAY_MS, `the newest event is of ${newest}`);
  const now = Date.now();
  t.deepEqual(
    records.filter(({ timestamp }) => timestamp < startedAt - 60_000 || timestamp > now + 60_000),
    [],
  );
  // Retention deletes by the records' own timestamps; a topic that took the broker's clock would hide bad ones.
  const { ingress, traffic, control } = platform.settings.topics;
  const topics = await platform.admin.describeTopics([ingress, traffic, control]);
  t.deepEqual(
    topics.map(({ configs }) => [configs['message.timestamp.type'], configs['cleanup.policy']]),
    topics.map(() => ['CreateTime', 'delete']),
  );
  for (const { name, configs } of topics) {
    t.true(Number(configs['retention.ms']) >= 7 * DAY_MS, name);
    // The broker's own time index, which retention reads: no record is older than this test, and none is gone.
    const offsets = await platform.admin.topicOffsets(name);
    const asked = offsets.flatMap(({ partition }) => ['-t', `${name}:${partition}:${startedAt - 60_000}`]);
    const filled = offsets.filter(({ high }) => high > 0);
    const answer = await kcat('-Q', ...asked);
    for (const { partition, low } of filled) {
      t.is(low, 0, name);
      t.regex(answer, new RegExp(`^${name} \\[${partition}\\] offset 0$`, 'm'));
    }
  }
});
