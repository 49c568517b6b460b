/** A configuration that cannot be used: every problem at once, each with its place, value and way out. */

export interface ConfigProblem {
  /** The file the value comes from; for merged files, all of them. */
  readonly file: string;
  /** Where in the document: `kafka.bootstrap_servers`, `lanes[2]`; `(document)` for the whole. */
  readonly path: string;
  readonly message: string;
}

export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map((problem) => `  ${problem.file}: ${problem.path}: ${problem.message}`);
    super(
      `${problems.length === 1 ? 'a configuration problem' : `${problems.length} configuration problems`}:\n` +
        lines.join('\n'),
    );
    this.problems = problems;
  }
}

/** Keys whose values are secrets, and so never shown. */
const SECRET_KEY =
  /pass(word|phrase)?|secret|token|credential|api_?key|access_?key|private_?key|dsn|authorization/i;
/** `scheme://user:password@host`. */
const USER_INFO = /[a-z][a-z0-9+.-]*:\/\/[^/@\s]*:[^/@\s]*@/i;

/** A value for an error text: JSON, cut to a line's length; secrets show as `[REDACTED]`. */
export function showValue(path: string, value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  if (SECRET_KEY.test(path) || USER_INFO.test(text)) return '[REDACTED]';
  // A container may hold secrets below: its own path says nothing about them.
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'a mapping';
  return text.length > 128 ? `${text.slice(0, 128)}…` : text;
}
