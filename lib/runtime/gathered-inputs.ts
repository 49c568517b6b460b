/** Records of one poll for tasks with several inputs, gathered by task and topic so that they are buffered in runs. */
import type { Task } from './task.ts';

export class GatheredInputs {
  readonly #byTask = new Map<Task, Map<number, number[]>>();

  /** @param topic index of the consumer's topic names */
  gather(task: Task, topic: number, i: number): void {
    let topics = this.#byTask.get(task);
    if (topics === undefined) this.#byTask.set(task, (topics = new Map<number, number[]>()));
    const indices = topics.get(topic);
    if (indices === undefined) topics.set(topic, [i]);
    else indices.push(i);
  }

  /** Hands over what was gathered and forgets it. */
  hand(to: (task: Task, topic: number, indices: readonly number[]) => void): void {
    if (this.#byTask.size === 0) return;
    for (const [task, topics] of this.#byTask)
      for (const [topic, indices] of topics) to(task, topic, indices);
    this.#byTask.clear();
  }
}
