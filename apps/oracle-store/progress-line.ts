/** Progress for people, on stderr: a line that is rewritten on a terminal, one line per stage elsewhere. */

const WIDTH = 24;
const REDRAW_MS = 100;

export class ProgressLine {
  readonly #out: NodeJS.WriteStream;
  #stage = '';
  #drawnAt = 0;

  constructor(out: NodeJS.WriteStream = process.stderr) {
    this.#out = out;
  }

  update(stage: string, detail: string, done: number, total: number): void {
    const isNew = stage !== this.#stage;
    if (!this.#out.isTTY) {
      if (isNew) this.#out.write(`oracle: ${stage}\n`);
      this.#stage = stage;
      return;
    }
    if (isNew) this.end();
    this.#stage = stage;
    const now = Date.now();
    if (!isNew && done < total && now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    const share = total === 0 ? 1 : Math.min(1, done / total);
    const filled = Math.round(share * WIDTH);
    const bar = '#'.repeat(filled) + '.'.repeat(WIDTH - filled);
    this.#out.write(`\r\u001b[2Koracle: ${stage.padEnd(7)} [${bar}] ${Math.floor(share * 100)} % ${detail}`);
  }

  /** Ends the line, so that what is printed next stands on its own. */
  end(): void {
    if (this.#out.isTTY && this.#stage !== '') this.#out.write('\n');
    this.#stage = '';
  }
}
