/** Progress lines for work that takes longer than a moment: who, what, and since when. */

const HEARTBEAT_MS = 10_000;

/**
 * @typedef {object} Progress
 * @property {(part: string, message: string) => void} line
 * @property {<T>(part: string, message: string, work: () => Promise<T>) => Promise<T>} during prints the message,
 *   repeats it with the elapsed time every ten seconds, and says how long it took
 */

/**
 * @param {(text: string) => void} [write] default: standard error, so that standard output stays for results
 * @returns {Progress}
 */
export function createProgress(write = (text) => void process.stderr.write(text)) {
  /** @param {string} part @param {string} message */
  const line = (part, message) => write(`  ${part.padEnd(16)} ${message}\n`);
  return {
    line,
    async during(part, message, work) {
      const began = performance.now();
      const elapsed = () => `${((performance.now() - began) / 1000).toFixed(0)} s`;
      line(part, message);
      const heartbeat = setInterval(() => line(part, `${message} … ${elapsed()}`), HEARTBEAT_MS);
      heartbeat.unref();
      try {
        const result = await work();
        line(part, `done in ${elapsed()}`);
        return result;
      } finally {
        clearInterval(heartbeat);
      }
    },
  };
}
