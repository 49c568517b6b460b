/** Counts the results in a stream of TAP (the Test Anything Protocol) and shows it in short: failures in full. */

const RESULT = /^(not )?ok \d+ - (.*)$/;

export class TapCounter {
  #passed = 0;
  #failed = 0;
  #skipped = 0;
  #inFailure = false;
  #print;

  /** @param {(line: string) => void} print */
  constructor(print) {
    this.#print = print;
  }

  /** @param {string} line */
  push(line) {
    const result = RESULT.exec(line);
    if (result !== null) {
      const [, failed, title = ''] = result;
      this.#inFailure = failed !== undefined;
      if (/ # (SKIP|TODO)\b/i.test(title)) this.#skipped += 1;
      else if (this.#inFailure) this.#failed += 1;
      else this.#passed += 1;
      this.#print(this.#inFailure ? `  ✖ ${title}` : `  ✔ ${title}`);
    } else if (this.#inFailure || !/^(TAP version|1\.\.\d+$|#|\s*$)/.test(line)) {
      // Diagnostics of a failure, and whatever the tests themselves print.
      if (!/^(1\.\.\d+|# (tests|pass|fail|skip) )/.test(line)) this.#print(`    ${line}`);
    }
  }

  /**
   * A run that ends badly without a failed test (a crash, a server that did not start) counts as one failure, and so does a
   * test that was skipped: what did not run was not shown to work.
   *
   * @param {number | string | null} exit the exit code or the signal
   */
  result(exit) {
    const failed = this.#failed + this.#skipped;
    return { passed: this.#passed, failed: failed === 0 && exit !== 0 ? 1 : failed };
  }
}
