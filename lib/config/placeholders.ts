/**
 * `${NAME}` and `${NAME:-default}` in the strings of a document, filled from the environment. As in a shell, `:-`
 * also replaces an empty value. `$$` is a plain `$`.
 */
import type { ConfigProblem } from './config-error.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ResolvedDocument {
  readonly document: unknown;
  /** JSON pointers of the strings that held a placeholder: their text may stand for a number or boolean. */
  readonly substituted: ReadonlySet<string>;
  readonly problems: readonly ConfigProblem[];
}

const PLACEHOLDER = /\$\$|\$\{([^}]*)\}/g;
const INNER = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s;

/**
 * Fills every placeholder in string values (not in keys). What cannot be filled is a problem that names the
 * variable, and stays as it is.
 */
export function resolvePlaceholders(document: unknown, env: Environment, file: string): ResolvedDocument {
  const substituted = new Set<string>();
  const problems: ConfigProblem[] = [];

  const resolveText = (text: string, path: string, pointer: string): string => {
    if (!text.includes('$')) return text;
    return text.replace(PLACEHOLDER, (place, inner: string | undefined) => {
      if (inner === undefined) return '$';
      const parts = INNER.exec(inner);
      if (parts === null) {
        problems.push({
          file,
          path,
          message: `${place} is not a placeholder; write \${NAME} or \${NAME:-default}`,
        });
        return place;
      }
      const name = parts[1]!;
      const fallback = parts[2];
      const value = env[name];
      substituted.add(pointer);
      if (fallback !== undefined) return value === undefined || value === '' ? fallback : value;
      if (value === undefined || value === '') {
        const state = value === undefined ? 'not set' : 'empty';
        problems.push({ file, path, message: `environment variable ${name} is ${state}; set it` });
        return place;
      }
      return value;
    });
  };

  const walk = (value: unknown, path: string, pointer: string): unknown => {
    if (typeof value === 'string') return resolveText(value, path === '' ? '(document)' : path, pointer);
    if (Array.isArray(value)) return value.map((item, i) => walk(item, `${path}[${i}]`, `${pointer}/${i}`));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, member]) => [
          key,
          walk(member, path === '' ? key : `${path}.${key}`, `${pointer}/${escapePointer(key)}`),
        ]),
      );
    }
    return value;
  };

  return { document: walk(document, '', ''), substituted, problems };
}

function escapePointer(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1');
}
