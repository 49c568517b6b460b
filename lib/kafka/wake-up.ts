/** Promises that end at the next wake-up or after a time, whichever is first. */
export class WakeUp {
  readonly #waiting = new Set<() => void>();

  /** Resolves at the next `wake()`, or after `timeoutMs`. Holds the process alive until then. */
  wait(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = setTimeout(end, timeoutMs);
      this.#waiting.add(end);
    });
  }

  wake(): void {
    for (const end of [...this.#waiting]) end();
  }
}
