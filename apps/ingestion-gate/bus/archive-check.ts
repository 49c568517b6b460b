/**
 * Reads a run's record archive back and compares it with the bus, record by record: coordinates, timestamp, key,
 * headers and value. What retention has deleted from the bus meanwhile stands in the archive alone and is counted.
 */
import { createHash, type Hash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBBlobValue, type DuckDBConnection } from '@duckdb/node-api';
import { HeaderBlock, ObjectStore, type Bucket } from '../../../lib/index.ts';
import {
  PLATFORM_RUN_ID_HEADER,
  runObjects,
  SEGMENT_OFFSETS,
  segmentOf,
  type Settings,
} from '../../rails/index.ts';
import { copied, moveTo } from './bus-archive.ts';
import { PartitionReader } from './partition-reader.ts';
import { topicEnds } from './topic-reader.ts';

export interface ArchiveCheck {
  readonly platform_run_id: string;
  /** Records on the bus that the archive holds, too, bytes and all. */
  readonly equal: number;
  /** Records in the archive that the bus no longer holds. */
  readonly archive_only: number;
  readonly segments: number;
  /** Empty when every record that the bus holds of the run stands in the archive as it is on the bus. */
  readonly differences: readonly string[];
}

/** A bus record as both sides know it. */
interface BusRecord {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Uint8Array | null;
  readonly headers: readonly (readonly [string, Uint8Array | null])[];
  readonly value: Uint8Array | null;
}

const MOST_DIFFERENCES = 20;

export async function checkArchive(settings: Settings, platformRunId: string): Promise<ArchiveCheck> {
  const store = ObjectStore.connect(settings.objectStore);
  const folder = await mkdtemp(join(tmpdir(), 'fp-archive-check-'));
  const duckdb = await DuckDBInstance.create(':memory:', { threads: '1' });
  const connection = await duckdb.connect();
  try {
    const check = new Check(
      platformRunId,
      store.bucket(settings.objectStore.bucket),
      connection,
      join(folder, 'segment.parquet'),
      new PartitionReader(settings.kafka.bootstrapServers),
    );
    const { traffic, control, audit } = settings.topics;
    for (const topic of [traffic, control, audit]) {
      for (const end of await topicEnds(settings.kafka.bootstrapServers, topic)) await check.partition(end);
    }
    return check.result();
  } finally {
    connection.closeSync();
    duckdb.closeSync();
    await rm(folder, { recursive: true });
    store.close();
  }
}

class Check {
  #equal = 0;
  #archiveOnly = 0;
  #segments = 0;
  readonly #differences: string[] = [];

  constructor(
    private readonly run: string,
    private readonly bucket: Bucket,
    private readonly connection: DuckDBConnection,
    private readonly scratch: string,
    private readonly reader: PartitionReader,
  ) {}

  result(): ArchiveCheck {
    return {
      platform_run_id: this.run,
      equal: this.#equal,
      archive_only: this.#archiveOnly,
      segments: this.#segments,
      differences: this.#differences,
    };
  }

  async partition(end: { topic: string; partition: number; low: number; high: number }): Promise<void> {
    const { topic, partition, low, high } = end;
    for (let segment = 0; segment * SEGMENT_OFFSETS < high; segment += 1) {
      const first = segment * SEGMENT_OFFSETS;
      const onBus = new Map<number, string>();
      if (first + SEGMENT_OFFSETS > low) {
        const last = Math.min(first + SEGMENT_OFFSETS, high) - 1;
        await this.#readBus({ topic, partition, first, last }, onBus);
      }
      await this.#compare(topic, partition, segment, low, onBus);
    }
  }

  async #readBus(
    range: { topic: string; partition: number; first: number; last: number },
    into: Map<number, string>,
  ): Promise<void> {
    const headers = new HeaderBlock();
    await this.reader.read(range, (batch, i) => {
      moveTo(headers, batch, i);
      if (headers.text(PLATFORM_RUN_ID_HEADER) !== this.run) return;
      const record: BusRecord = {
        offset: batch.offset[i]!,
        timestamp: batch.timestamp[i]!,
        key: copied(batch.data, batch.keyStart[i]!, batch.keyLength[i]!),
        headers: [...headers],
        value: copied(batch.data, batch.valueStart[i]!, batch.valueLength[i]!),
      };
      into.set(record.offset, digestOf(record));
    });
  }

  async #compare(
    topic: string,
    partition: number,
    segment: number,
    low: number,
    onBus: Map<number, string>,
  ): Promise<void> {
    const key = runObjects(this.run).eb(topic, partition, segment);
    if ((await this.bucket.find(key)) === undefined) {
      if (onBus.size > 0) this.#differ(`${key} is missing: the bus holds ${onBus.size} of its records`);
      return;
    }
    this.#segments += 1;
    await writeFile(this.scratch, await this.bucket.get(key));
    for await (const record of archived(this.connection, this.scratch, topic, partition)) {
      const place = `${topic}/${partition}/${record.offset}`;
      const expected = onBus.get(record.offset);
      onBus.delete(record.offset);
      if (segmentOf(record.offset) !== segment) this.#differ(`${place} stands in the wrong segment, ${key}`);
      else if (expected === digestOf(record)) this.#equal += 1;
      else if (expected !== undefined) this.#differ(`${place} is another record in the archive`);
      else if (record.offset < low) this.#archiveOnly += 1;
      else this.#differ(`${place} is in the archive and not on the bus`);
    }
    for (const offset of onBus.keys()) this.#differ(`${topic}/${partition}/${offset} is not in the archive`);
  }

  #differ(what: string): void {
    if (this.#differences.length < MOST_DIFFERENCES) this.#differences.push(what);
  }
}

/** The records of an archived segment, in their order. */
async function* archived(
  connection: DuckDBConnection,
  path: string,
  topic: string,
  partition: number,
): AsyncGenerator<BusRecord> {
  const rows = await connection.stream(
    `select "offset", timestamp_ms, key, list_transform(headers, h -> h.name) as names,
       list_transform(headers, h -> h.value) as "values", value, topic, partition
     from read_parquet('${path}')`,
  );
  for await (const chunk of rows.yieldRowObjects()) {
    for (const row of chunk) {
      const names = (row['names'] as { readonly items: readonly string[] }).items;
      const values = (row['values'] as { readonly items: readonly (DuckDBBlobValue | null)[] }).items;
      if (row['topic'] !== topic || row['partition'] !== partition) {
        throw new Error(`the archive's segment of ${topic}/${partition} holds records of another partition`);
      }
      yield {
        offset: Number(row['offset']),
        timestamp: Number(row['timestamp_ms']),
        key: bytesOf(row['key']),
        headers: names.map((name, i) => [name, values[i]?.bytes ?? null] as const),
        value: bytesOf(row['value']),
      };
    }
  }
}

function bytesOf(value: unknown): Uint8Array | null {
  return value === null ? null : (value as DuckDBBlobValue).bytes;
}

/** Of everything that the archive must keep: each part with its length, so that no two records read alike. */
function digestOf(record: BusRecord): string {
  const hash = createHash('sha256');
  hash.update(`${record.offset}|${record.timestamp}|${record.headers.length}|`);
  part(hash, record.key);
  for (const [name, value] of record.headers) {
    part(hash, Buffer.from(name));
    part(hash, value);
  }
  part(hash, record.value);
  return hash.digest('base64');
}

function part(hash: Hash, bytes: Uint8Array | null): void {
  hash.update(`${bytes === null ? -1 : bytes.length}|`);
  if (bytes !== null) hash.update(bytes);
}
