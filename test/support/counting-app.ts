/** The counting application under test: its topics, its instances, its input, and the independent reading of its output. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readTopic } from '../../apps/ingestion-gate/index.ts';
import {
  Admin,
  changelogTopic,
  nativeClient,
  OutgoingBatch,
  producerDefaults,
  type Producer,
} from '../../lib/index.ts';
import type { CountingProgramOptions, Interruption } from './counting-program.ts';
import { eventually } from './eventually.ts';
import { sharedBy } from './group-members.ts';
import { ServiceProcess } from './service-process.ts';
import { stackSetting } from './stack-settings.ts';

const PROGRAM = fileURLToPath(new URL('./counting-program.ts', import.meta.url));
const PARTITIONS = 4;
const KEYS = 40;
const TIMEOUT_MS = 30_000;
const COMPLETE_DEADLINE_MS = 60_000;

export class CountingApp {
  readonly #id = `it-counting-${randomBytes(4).toString('hex')}`;
  readonly #input = `${this.#id}-in`;
  readonly #output = `${this.#id}-out`;
  readonly #bootstrapServers = stackSetting('KAFKA_BOOTSTRAP_SERVERS');
  readonly #stateDir = mkdtempSync(join(tmpdir(), 'counting-'));
  readonly #admin = new Admin({ bootstrapServers: this.#bootstrapServers });
  readonly #producer: Producer = nativeClient.createProducer({
    ...producerDefaults,
    'bootstrap.servers': this.#bootstrapServers,
  });
  readonly #instances: ServiceProcess[] = [];
  #fed = 0;

  static async open(): Promise<CountingApp> {
    const app = new CountingApp();
    await app.#admin.createTopics([
      { name: app.#input, partitions: PARTITIONS },
      { name: app.#output, partitions: PARTITIONS },
      {
        name: changelogTopic(app.#id, 'counts'),
        partitions: PARTITIONS,
        configs: { 'cleanup.policy': 'compact' },
      },
    ]);
    return app;
  }

  start(interruption?: Interruption): ServiceProcess {
    const options: CountingProgramOptions = {
      applicationId: this.#id,
      input: this.#input,
      output: this.#output,
      bootstrapServers: this.#bootstrapServers,
      stateDir: this.#stateDir,
      ...(interruption === undefined ? {} : { interruption }),
    };
    const name = `instance ${this.#instances.length + 1}`;
    const args = ['--import=tsx', PROGRAM, JSON.stringify(options)];
    const instance = new ServiceProcess(name, args, process.env);
    this.#instances.push(instance);
    return instance;
  }

  /** Waits until this many instances have partitions. */
  sharedBy(instances: number): Promise<void> {
    return sharedBy(this.#admin, this.#id, instances, { check: this.#check });
  }

  readonly #check = (): void => {
    for (const instance of this.#instances) instance.check();
  };

  /** Writes this many more records, the keys in turn, and waits until they are acknowledged. */
  async feed(records: number): Promise<void> {
    const batch = new OutgoingBatch(records);
    for (let i = 0; i < records; i += 1, this.#fed += 1)
      batch.add({
        topic: this.#input,
        key: `key-${this.#fed % KEYS}`,
        value: Buffer.from(String(this.#fed)),
      });
    await this.#producer.produce(batch);
    await this.#producer.flush(TIMEOUT_MS);
  }

  /** Counts that have been written, by key, in the order they stand in the log. */
  async counts(): Promise<Map<string, number[]>> {
    const counts = new Map<string, number[]>();
    await readTopic({ bootstrapServers: this.#bootstrapServers, topic: this.#output }, (batch, i) => {
      const text = (start: number, length: number): string =>
        batch.data.toString('utf8', start, start + length);
      const key = text(batch.keyStart[i]!, batch.keyLength[i]!);
      const found = counts.get(key) ?? [];
      counts.set(key, found);
      found.push(Number(text(batch.valueStart[i]!, batch.valueLength[i]!)));
      return true;
    });
    return counts;
  }

  /** Waits until at least as much is written as was fed, or `records`. */
  async written(records = this.#fed): Promise<void> {
    let sum = 0;
    await eventually(
      `${records} counts are written`,
      async () => {
        sum = [...(await this.counts()).values()].reduce((all, one) => all + one.length, 0);
        return sum >= records;
      },
      {
        deadlineMs: COMPLETE_DEADLINE_MS,
        everyMs: 300,
        check: this.#check,
      },
      () => `${sum} so far; ${this.#instances.map((one) => `${one.name}: ${one.tail()}`).join('\n')}`,
    );
  }

  /** What the output must be: every key counted up, once for each time it was fed. */
  expected(): Map<string, number[]> {
    const keys = Array.from({ length: Math.min(KEYS, this.#fed) }, (_, i) => i);
    return new Map(
      keys.map((i) => {
        const times = Math.floor((this.#fed - 1 - i) / KEYS) + 1;
        return [`key-${i}`, Array.from({ length: times }, (_, n) => n + 1)];
      }),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#instances.map((one) => one.dispose()));
    await this.#producer.close(TIMEOUT_MS);
    const own = (await this.#admin.listTopics()).filter((name) => name.startsWith(this.#id));
    await this.#admin.deleteTopics(own);
    await eventually(
      `the group ${this.#id} is deleted`,
      async () => {
        const groups = (await this.#admin.listGroups()).filter((group) => group.startsWith(this.#id));
        await this.#admin.deleteGroups(groups).catch(() => undefined);
        return groups.length === 0;
      },
      { everyMs: 500 },
    );
    await this.#admin.close();
    rmSync(this.#stateDir, { recursive: true });
  }
}

/** The map as sorted lists, so that two of them can be compared. */
export function sorted(counts: ReadonlyMap<string, readonly number[]>): [string, readonly number[]][] {
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}
