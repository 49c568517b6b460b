/** The tasks an instance owns, by what may be done with them now. */
import type { Consumer, TopicPartition } from '../kafka/client.ts';
import type { Task } from './task.ts';

/**
 * RESTORING: its stores are being filled. RUNNING: takes records. BLOCKED: paused until it is sought to its position
 * (after an abort, or while something is fetched that it needs).
 */
export type TaskState = 'RESTORING' | 'RUNNING' | 'BLOCKED';

interface Owned {
  readonly task: Task;
  state: TaskState;
  /** Where the task began when nothing was committed: what an abort before the first commit goes back to. */
  readonly starts: ReadonlyMap<string, number>;
}

export class TaskSet {
  readonly #consumer: Consumer;
  readonly #owned = new Map<string, Owned>();
  /** Running tasks by the consumer's topic index and partition; rebuilt after a change, since it is read per record. */
  #index: (Task | undefined)[][] = [];
  readonly #topicNames: string[] = [];
  #running: Task[] = [];
  readonly #unblocked = new Set<Task>();
  /** Inputs that are paused because enough of them is buffered. */
  readonly #held = new Map<Task, Set<string>>();

  constructor(consumer: Consumer) {
    this.#consumer = consumer;
  }

  add(task: Task, starts: ReadonlyMap<string, number>): void {
    this.#owned.set(task.id, { task, state: 'RESTORING', starts });
  }

  has(task: Task): boolean {
    return this.#owned.get(task.id)?.task === task;
  }

  remove(task: Task): void {
    this.#owned.delete(task.id);
    this.#unblocked.delete(task);
    this.#held.delete(task);
    this.#changed();
  }

  get(id: string): Task | undefined {
    return this.#owned.get(id)?.task;
  }

  all(): Task[] {
    return [...this.#owned.values()].map((owned) => owned.task);
  }

  running(): readonly Task[] {
    return this.#running;
  }

  /** Those whose position counts: everything but what is still being restored. */
  started(): Task[] {
    return [...this.#owned.values()]
      .filter((owned) => owned.state !== 'RESTORING')
      .map((owned) => owned.task);
  }

  /** Whether every task is running. */
  settled(): boolean {
    return this.#owned.size === this.#running.length;
  }

  /** Whether a commit has something to commit. A blocked task's work before it blocked counts. */
  dirty(): boolean {
    for (const { task, state } of this.#owned.values()) if (state !== 'RESTORING' && task.dirty) return true;
    return false;
  }

  /** The running task that takes a polled record, or undefined. */
  taskOf(topicIndex: number, partition: number): Task | undefined {
    return (this.#index[topicIndex] ?? this.#indexTopic(topicIndex))[partition];
  }

  topicName(topicIndex: number): string {
    return (this.#topicNames[topicIndex] ??= this.#consumer.topicName(topicIndex));
  }

  partitionsOf(task: Task): TopicPartition[] {
    return task.subtopology.sources.map(({ topic }) => ({ topic, partition: task.partition }));
  }

  startOf(task: Task, topic: string): number {
    return this.#owned.get(task.id)!.starts.get(topic)!;
  }

  markRunning(task: Task): void {
    this.#set(task, 'RUNNING');
  }

  /** Pauses one input of a running task: enough of it is buffered. */
  hold(task: Task, topic: string): void {
    const held = this.#held.get(task) ?? new Set();
    if (held.has(topic)) return;
    this.#held.set(task, held.add(topic));
    this.#consumer.pause([{ topic, partition: task.partition }]);
  }

  /** Resumes those held inputs of a task that may go on. */
  letGo(task: Task, may: (topic: string) => boolean): void {
    const held = this.#held.get(task);
    if (held === undefined) return;
    for (const topic of held) {
      if (!may(topic)) continue;
      held.delete(topic);
      this.#consumer.resume([{ topic, partition: task.partition }]);
    }
  }

  /** The reader has reached the log end of a partition. */
  reachedEnd(topic: string, partition: number, offset: number): void {
    for (const task of this.#running) if (task.partition === partition) task.reachedEnd(topic, offset);
  }

  /** Pauses the task's partitions and takes no more records for it until it is unblocked, sought and resumed. */
  block(task: Task): void {
    this.#unblocked.delete(task);
    this.#held.delete(task);
    this.#set(task, 'BLOCKED');
    this.#consumer.pause(this.partitionsOf(task));
  }

  /** What the task waited for is there. Ignored when the task is gone. */
  unblock(task: Task): void {
    if (this.#owned.get(task.id)?.task === task) this.#unblocked.add(task);
  }

  /** Tasks that can be sought to their positions and resumed now. */
  takeUnblocked(): Task[] {
    if (this.#unblocked.size === 0) return [];
    const tasks = [...this.#unblocked];
    this.#unblocked.clear();
    return tasks;
  }

  #set(task: Task, state: TaskState): void {
    const owned = this.#owned.get(task.id);
    if (owned?.task !== task) return;
    owned.state = state;
    this.#changed();
  }

  #changed(): void {
    this.#index = [];
    this.#running = [...this.#owned.values()]
      .filter((owned) => owned.state === 'RUNNING')
      .map((owned) => owned.task);
  }

  #indexTopic(topicIndex: number): (Task | undefined)[] {
    const row: (Task | undefined)[] = [];
    const topic = this.topicName(topicIndex);
    for (const task of this.#running) {
      if (task.subtopology.sources.some((source) => source.topic === topic)) row[task.partition] = task;
    }
    this.#index[topicIndex] = row;
    return row;
  }
}
