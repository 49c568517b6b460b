/**
 * An instance: one process of an application. One consumer in the application's group, one transactional producer,
 * tasks for the partitions it is given, and the loop poll -> process -> commit.
 */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type {
  ClientConfig,
  Consumer,
  KafkaClient,
  Producer,
  TopicPartition,
  TopicPartitionOffset,
} from '../kafka/client.ts';
import { consumerDefaults, transactionalProducerDefaults } from '../kafka/defaults.ts';
import { KafkaError } from '../kafka/kafka-error.ts';
import { RecordBatch } from '../kafka/record-batch.ts';
import { createLogger, type Logger } from '../telemetry/logger.ts';
import type { StateStore } from '../state/state-store.ts';
import { changelogTopic, type Topology } from '../topology/graph.ts';
import { systemClock, type Clock } from './clock.ts';
import { GatheredInputs } from './gathered-inputs.ts';
import { GlobalStores } from './global-stores.ts';
import { takeInstanceSlot, type InstanceSlot } from './instance-slot.ts';
import { StoreRestorer } from './store-restorer.ts';
import { StreamsMetrics } from './streams-metrics.ts';
import { ensureApplicationTopics } from './application-topics.ts';
import { Assignment } from './assignment.ts';
import { encodeStreamTime } from './stream-time.ts';
import type { Task } from './task.ts';
import { TaskSet } from './task-set.ts';
import { NotAMemberError, Transaction, type CommitStep } from './transaction.ts';

export type InstanceState =
  'CREATED' | 'REBALANCING' | 'RUNNING' | 'PENDING_SHUTDOWN' | 'NOT_RUNNING' | 'ERROR';

export interface StreamsOptions {
  /** Names the consumer group, the transactional.id and internal topics. Changing it is a new application. */
  readonly applicationId: string;
  readonly topology: Topology;
  readonly client: KafkaClient;
  readonly bootstrapServers: string;
  /** Local state and the instance's slot live here; one folder may serve many applications and instances. */
  readonly stateDir: string;
  /** A fixed instance slot (a StatefulSet's ordinal). Default: the lowest free one on this machine. */
  readonly slot?: number;
  /** Most milliseconds between commits while there is something to commit. Default 100. */
  readonly commitIntervalMs?: number;
  /** A commit starts early when this many bytes of output are gathered. Default 16 MiB. */
  readonly maxTransactionBytes?: number;
  /** For tasks with several inputs (joins): see TaskOptions.maxTaskIdleMs. Default 0. */
  readonly maxTaskIdleMs?: number;
  /** Most records of one poll. Default 4096. */
  readonly maxPollRecords?: number;
  /** Further librdkafka properties, over the library's defaults. */
  readonly consumerConfig?: ClientConfig;
  readonly producerConfig?: ClientConfig;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly onStateChange?: (state: InstanceState) => void;
  /** After each step of a commit: for fault tests. */
  readonly onCommitStep?: (step: CommitStep) => void;
}

const METADATA_TIMEOUT_MS = 30_000;
/** A fatal producer error is repaired with a new producer; this many in a row are a condition, not an accident. */
const MOST_FATAL_ERRORS_IN_A_ROW = 5;
const BLOCKED_RETRY_MS = 1000;
/** Most records that one input of a task may have in memory; its partition pauses beyond. */
const MOST_BUFFERED_RECORDS = 8192;
const IDLE_WAIT_MS = 100;
const INIT_TIMEOUT_MS = 60_000;
const CLOSE_TIMEOUT_MS = 5000;
const COMMITTED_ATTEMPTS = 30;

export class StreamsApp {
  readonly metrics = new StreamsMetrics();
  readonly #options: StreamsOptions;
  /** With the application's own topic names. */
  readonly #topology: Topology;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #state: InstanceState = 'CREATED';
  #stopping = false;
  #running: Promise<void> | null = null;

  #slot!: InstanceSlot;
  #consumer!: Consumer;
  #producer!: Producer;
  #transaction!: Transaction;
  #tasks!: TaskSet;
  #assignment!: Assignment;
  #globals!: GlobalStores;
  readonly #inputs = new GatheredInputs();
  #lastCommit = 0;
  #fatalErrors = 0;

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.#topology = options.topology.bind(options.applicationId);
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? createLogger({ component: options.applicationId });
  }

  get state(): InstanceState {
    return this.#state;
  }

  /**
   * Runs until `close` is called (then it resolves) or a fatal error (then it rejects with the reason). Everything
   * is released either way.
   */
  run(): Promise<void> {
    if (this.#running !== null)
      throw new Error(`instance of "${this.#options.applicationId}" is started already`);
    this.#running = this.#start();
    return this.#running;
  }

  /** Stops after a last commit. Resolves when everything is released. */
  async close(): Promise<void> {
    this.#stopping = true;
    await this.#running?.catch(() => undefined);
  }

  async #start(): Promise<void> {
    const { applicationId, stateDir, slot } = this.#options;
    this.#slot = await takeInstanceSlot(applicationId, stateDir, slot);
    try {
      await Promise.all(this.#topology.serdes.map(async (serde) => serde.prepare?.()));
      this.#consumer = this.#createConsumer();
      this.#tasks = new TaskSet(this.#consumer);
      this.#globals = this.#createGlobals();
      this.#assignment = this.#createAssignment();
      await ensureApplicationTopics({
        topology: this.#topology,
        applicationId,
        bootstrapServers: this.#options.bootstrapServers,
        consumer: this.#consumer,
        logger: this.#logger,
        stopping: () => this.#stopping,
      });
      await this.#globals.fill(() => this.#stopping);
      await this.#newProducer();
      this.#consumer.subscribe(this.#topology.subtopologies.map((part) => part.sources[0]!.topic));
      this.#become('REBALANCING');
      this.#logger.info({ slot: this.#slot.number }, 'instance started');
      await this.#loop();
      this.#become('PENDING_SHUTDOWN');
      await this.#commitNow();
      await this.#release();
      this.#become('NOT_RUNNING');
      this.#logger.info('instance stopped');
    } catch (error) {
      this.#become('ERROR');
      this.#logger.fatal(
        { error: (error as Error).message, stack: (error as Error).stack },
        'instance failed',
      );
      await this.#release().catch(() => undefined);
      throw error;
    }
  }

  async #loop(): Promise<void> {
    const maxBytes = this.#options.maxTransactionBytes ?? 16 * 1024 * 1024;
    const transaction = () => this.#transaction;
    while (!this.#stopping) {
      const slab = transaction().takeSlab(
        () => new RecordBatch({ maxRecords: this.#options.maxPollRecords ?? 4096 }),
      );
      const count = this.#consumer.poll(slab);
      this.metrics.recordsPolled += count;
      await this.#serveEvents();
      this.#globals.follow();
      if (count > 0) this.#process(slab);
      this.#runBuffered();
      transaction().returnSlab(slab);
      for (const task of this.#tasks.running()) task.punctuate();
      try {
        transaction().throwFailure();
        await transaction().handOver();
        if (this.#commitDue(maxBytes)) this.#startCommit();
        // The next transaction is full too: wait for the one in flight instead of gathering more.
        else if (transaction().committing && transaction().batch.bytes >= maxBytes)
          await transaction().settled();
      } catch (error) {
        await this.#recover(error);
      }
      await this.#resumeReady();
      if (count === 0) await this.#consumer.wait(this.#idleWait());
      else await nextTurn();
    }
  }

  #process(slab: RecordBatch): void {
    const tasks = this.#tasks;
    for (let i = 0; i < slab.count; i++) {
      const task = tasks.taskOf(slab.topic[i]!, slab.partition[i]!);
      if (task === undefined) {
        // Of a partition that is leaving, restoring or blocked: read again by whoever owns it then.
        this.metrics.recordsRewound += 1;
      } else if (task.buffersInputs) {
        this.#inputs.gather(task, slab.topic[i]!, i);
      } else if (task.process(slab, i, tasks.topicName(slab.topic[i]!)) === 'blocked') {
        this.#block(task);
      }
    }
    this.#inputs.hand((task, topic, indices) => {
      const name = tasks.topicName(topic);
      task.offer(slab, indices, name);
      if (task.buffered(name) > MOST_BUFFERED_RECORDS) tasks.hold(task, name);
    });
  }

  /** Lets tasks with several inputs go as far as they can; time alone may have let them. */
  #runBuffered(): void {
    for (const task of this.#tasks.running()) {
      if (!task.buffersInputs) continue;
      if (task.run() === 'blocked') this.#block(task);
      else this.#tasks.letGo(task, (topic) => task.buffered(topic) <= MOST_BUFFERED_RECORDS / 2);
    }
  }

  /** The task waits for something it cannot do without: its partition pauses and is read again from its position. */
  #block(task: Task): void {
    const waiting = task.waitingFor!;
    task.waitingFor = null;
    task.dropBuffered();
    this.#tasks.block(task);
    waiting.then(
      () => this.#tasks.unblock(task),
      (error: unknown) => {
        this.#logger.warn(
          { task: task.id, error: (error as Error).message },
          'waiting with the partition paused',
        );
        setTimeout(() => this.#tasks.unblock(task), BLOCKED_RETRY_MS).unref();
      },
    );
  }

  /** Seeks what was blocked to its position and lets it run; one that cannot be sought now is tried again. */
  async #resumeReady(): Promise<void> {
    for (const task of this.#tasks.takeUnblocked()) {
      const partitions = this.#tasks.partitionsOf(task);
      try {
        await this.#consumer.seek(
          partitions.map((one) => ({ ...one, offset: task.positions.get(one.topic)! })),
          METADATA_TIMEOUT_MS,
        );
        this.#consumer.resume(partitions);
        this.#tasks.markRunning(task);
      } catch (error) {
        // Usually the partition has just been lost, and the event that removes the task is on its way.
        this.#logger.warn({ task: task.id, error: (error as Error).message }, 'seek failed; trying again');
        setTimeout(() => this.#tasks.unblock(task), BLOCKED_RETRY_MS).unref();
      }
    }
    const assigned = this.metrics.rebalances > 0 && this.#assignment.settled && this.#tasks.settled();
    if (this.#state === 'REBALANCING' && assigned) this.#become('RUNNING');
  }

  #commitDue(maxBytes: number): boolean {
    if (this.#transaction.committing || !this.#tasks.dirty()) return false;
    const interval = this.#options.commitIntervalMs ?? 100;
    return this.#clock.now() - this.#lastCommit >= interval || this.#transaction.batch.bytes >= maxBytes;
  }

  #idleWait(): number {
    const now = this.#clock.now();
    let until = now + IDLE_WAIT_MS;
    for (const task of this.#tasks.running()) until = Math.min(until, task.nextWallClockPunctuation());
    if (this.#tasks.dirty())
      until = Math.min(until, this.#lastCommit + (this.#options.commitIntervalMs ?? 100));
    return Math.max(1, until - now);
  }

  /** Seals every task that has something and starts the commit; the loop goes on with the next records meanwhile. */
  #startCommit(): void {
    this.#lastCommit = this.#clock.now();
    const tasks = this.#tasks.started().filter((task) => task.dirty);
    for (const task of tasks) task.seal(this.#transaction.batch);
    this.#transaction.commit({
      offsets: tasks.flatMap((task) => {
        const metadata = encodeStreamTime(task.streamTime);
        return [...task.positions].map(([topic, offset]) => ({
          topic,
          partition: task.partition,
          offset,
          metadata,
        }));
      }),
      apply: () => {
        for (const task of tasks) task.apply((store) => this.#checkpointOf(task, store));
        this.#fatalErrors = 0;
      },
    });
  }

  /** Where a restore of the store may begin: behind the last record of its changelog that is acknowledged. */
  #checkpointOf(task: Task, store: StateStore): number | undefined {
    const acknowledged = this.#producer.acknowledged(
      changelogTopic(this.#options.applicationId, store.name),
      task.partition,
    );
    return acknowledged < 0 ? undefined : acknowledged + 1;
  }

  /** Commits what there is and waits for the answer; puts everything back when it fails. */
  async #commitNow(): Promise<void> {
    try {
      await this.#transaction.settled();
      if (!this.#tasks.dirty()) return;
      this.#startCommit();
      await this.#transaction.settled();
    } catch (error) {
      await this.#recover(error);
    }
  }

  /** Puts everything uncommitted back: abort, drop, rewind, go on. Rejects when that cannot help. */
  async #recover(error: unknown): Promise<void> {
    if (!(error instanceof KafkaError || error instanceof NotAMemberError)) throw error;
    this.#logger.warn({ error: error.message }, 'transaction aborted; reading again from the last commit');
    let replace = error instanceof KafkaError && error.fatal;
    if (!replace) {
      try {
        await this.#transaction.abort();
      } catch (abortError) {
        this.#logger.warn({ error: (abortError as Error).message }, 'abort failed; the producer is replaced');
        replace = true;
      }
    }
    if (replace) {
      this.#fatalErrors += 1;
      if (this.#fatalErrors > MOST_FATAL_ERRORS_IN_A_ROW) throw error;
      await this.#newProducer();
    } else {
      this.#transaction.begin();
    }
    await this.#rewind();
  }

  /** Moves every started task back to its last committed position; each is sought before it runs again. */
  async #rewind(): Promise<void> {
    const tasks = this.#tasks.started();
    if (tasks.length === 0) return;
    const committed = await this.#committedOffsets(tasks.flatMap((task) => this.#tasks.partitionsOf(task)));
    for (const task of tasks) {
      const positions = new Map<string, number>();
      for (const { topic, partition } of this.#tasks.partitionsOf(task)) {
        const offset =
          committed.find((one) => one.topic === topic && one.partition === partition)?.offset ?? -1;
        positions.set(topic, offset >= 0 ? offset : this.#tasks.startOf(task, topic));
      }
      task.abort(positions);
      this.#tasks.block(task);
      this.#tasks.unblock(task);
    }
  }

  async #committedOffsets(partitions: readonly TopicPartition[]): Promise<readonly TopicPartitionOffset[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#consumer.committed(partitions, METADATA_TIMEOUT_MS);
      } catch (error) {
        if (!(error instanceof KafkaError) || error.fatal || attempt === COMMITTED_ATTEMPTS) throw error;
        this.#logger.warn(
          { error: error.message, attempt },
          'committed offsets cannot be read; trying again',
        );
        await delay(BLOCKED_RETRY_MS);
      }
    }
  }

  async #serveEvents(): Promise<void> {
    for (const event of this.#consumer.takeEvents()) {
      switch (event.type) {
        case 'assigned':
          this.#become('REBALANCING');
          this.metrics.rebalances += 1;
          this.#assignment.take(event.partitions);
          break;
        case 'revoked':
          this.#become('REBALANCING');
          await this.#giveUp(event.partitions);
          break;
        case 'lost':
          this.#become('REBALANCING');
          await this.#lose(event.partitions);
          break;
        case 'end':
          this.#tasks.reachedEnd(event.topic, event.partition, event.offset);
          break;
        case 'error':
          if (event.error.fatal || event.error.codeName === '_AUTO_OFFSET_RESET') throw event.error;
          this.#logger.warn({ error: event.error.message }, 'client error');
          break;
        default:
      }
    }
    this.#assignment.throwFailure();
  }

  /** Partitions that are being taken back: commit, close their tasks, hand them over. */
  async #giveUp(partitions: readonly TopicPartition[]): Promise<void> {
    const tasks = this.#assignment.tasksOf(partitions);
    for (const task of tasks) this.#assignment.dropRestore(task);
    await this.#commitNow();
    this.#closeTasks(tasks);
    this.#consumer.incrementalUnassign(this.#assignment.siblings(partitions));
  }

  /** Partitions that are gone already: nothing of theirs may be committed. */
  async #lose(partitions: readonly TopicPartition[]): Promise<void> {
    const tasks = this.#assignment.tasksOf(partitions);
    for (const task of tasks) this.#assignment.dropRestore(task);
    const failure = await this.#transaction.settled().then(
      () => new NotAMemberError('partitions were lost'),
      (error: unknown) => error,
    );
    this.#closeTasks(tasks);
    this.#consumer.incrementalUnassign(this.#assignment.siblings(partitions));
    await this.#recover(failure);
  }

  #closeTasks(tasks: readonly Task[]): void {
    for (const task of tasks) {
      this.#tasks.remove(task);
      task.close();
    }
  }

  #createConsumer(): Consumer {
    const { client, bootstrapServers, applicationId, consumerConfig } = this.#options;
    return client.createConsumer({
      ...consumerDefaults,
      // The runtime always names the offset to start at, so a reset would be a hole in the log: it must be heard of.
      'auto.offset.reset': 'error',
      ...consumerConfig,
      'bootstrap.servers': bootstrapServers,
      'group.id': applicationId,
      'client.id': this.#slot.transactionalId,
    });
  }

  #createAssignment(): Assignment {
    const { client, applicationId } = this.#options;
    const shared = { applicationId, metrics: this.metrics, logger: this.#logger, clock: this.#clock };
    return new Assignment({
      ...shared,
      topology: this.#topology,
      stateDir: this.#options.stateDir,
      globals: (name) => this.#globals.get(name),
      ...(this.#options.maxTaskIdleMs === undefined ? {} : { maxTaskIdleMs: this.#options.maxTaskIdleMs }),
      consumer: this.#consumer,
      tasks: this.#tasks,
      collector: {
        // Tasks outlive a transaction when the producer is replaced, so they reach it through the instance.
        get: () => this.#transaction.batch,
      },
      restorer: new StoreRestorer({
        ...shared,
        client,
        config: this.#readerConfig(),
      }),
    });
  }

  #createGlobals(): GlobalStores {
    const { client, applicationId } = this.#options;
    return new GlobalStores({
      client,
      applicationId,
      topology: this.#topology,
      config: this.#readerConfig(),
      logger: this.#logger,
      clock: this.#clock,
    });
  }

  /** For consumers that read whole topics, outside the group. */
  #readerConfig(): ClientConfig {
    const { bootstrapServers, consumerConfig } = this.#options;
    return { ...consumerDefaults, ...consumerConfig, 'bootstrap.servers': bootstrapServers };
  }

  /** A new producer under the same transactional.id: the broker aborts and fences whatever the old one left. */
  async #newProducer(): Promise<void> {
    const { client, bootstrapServers, producerConfig, onCommitStep } = this.#options;
    const old = this.#producer as Producer | undefined;
    await old?.close(0).catch(() => undefined);
    this.#producer = client.createProducer({
      ...transactionalProducerDefaults,
      ...producerConfig,
      'bootstrap.servers': bootstrapServers,
      'transactional.id': this.#slot.transactionalId,
      'client.id': this.#slot.transactionalId,
    });
    await this.#producer.initTransactions(INIT_TIMEOUT_MS);
    this.#transaction = new Transaction({
      producer: this.#producer,
      consumer: this.#consumer,
      metrics: this.metrics,
      onStep: onCommitStep,
    });
    this.#transaction.begin();
  }

  async #release(): Promise<void> {
    const assignment = this.#assignment as Assignment | undefined;
    await assignment?.close();
    await (this.#globals as GlobalStores | undefined)?.close();
    for (const task of (this.#tasks as TaskSet | undefined)?.all() ?? []) task.close();
    await (this.#consumer as Consumer | undefined)?.close();
    await (this.#producer as Producer | undefined)?.close(CLOSE_TIMEOUT_MS);
    await this.#slot.release();
  }

  #become(state: InstanceState): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onStateChange?.(state);
  }
}
