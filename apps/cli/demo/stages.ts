/** The stages of a demonstration: a line when one starts, its seconds when it ends, a bar while it counts. */

const BAR_WIDTH = 30;
const REDRAW_MS = 100;
/** Where there is no terminal to redraw a line on, a line this often is enough. */
const LINE_EVERY_MS = 5000;

export class Stages {
  /** Seconds by stage. */
  readonly seconds: Record<string, number> = {};
  readonly #out = process.stderr;
  #drawnAt = 0;
  #open = false;

  async run<T>(stage: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    this.#out.write(`▸ ${stage}\n`);
    try {
      return await work();
    } finally {
      this.#endBar();
      this.seconds[stage] = Math.round(performance.now() - started) / 1000;
      this.#out.write(`  ${stage}: ${this.seconds[stage].toFixed(1)} s\n`);
    }
  }

  /** Draws how far the running stage is; cheap enough to call in a loop. */
  progress(done: number, total: number, what: string): void {
    const now = performance.now();
    const every = this.#out.isTTY ? REDRAW_MS : LINE_EVERY_MS;
    if (now - this.#drawnAt < every) return;
    this.#drawnAt = now;
    const share = total === 0 ? 0 : Math.min(1, done / total);
    const filled = Math.round(share * BAR_WIDTH);
    const bar = '█'.repeat(filled) + '░'.repeat(BAR_WIDTH - filled);
    const line = `  ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${done.toLocaleString('en')} ${what}`;
    this.#out.write(this.#out.isTTY ? `\r\u001b[2K${line}` : `${line}\n`);
    this.#open = this.#out.isTTY;
  }

  #endBar(): void {
    if (this.#open) this.#out.write('\n');
    this.#open = false;
    this.#drawnAt = 0;
  }
}
