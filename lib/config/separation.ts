/**
 * Policy apart from wiring. A policy decides outcomes, is versioned and digested, and is the same everywhere; a
 * wiring profile says where things are and how large, and differs per environment. Neither may carry the other.
 */
import { ConfigError, type ConfigProblem } from './config-error.ts';

const WIRING_KEY =
  /(^|_)(endpoint|url|uri|dsn|host|hostname|port|broker|bootstrap_servers?|user|username|password|passphrase|secret|secret_key|access_key|api_key|private_key|credential|certificate|bucket)s?$/i;
const ADDRESS_VALUE = /^[a-z][a-z0-9+.-]*:\/\//i;

/**
 * Throws ConfigError when a policy holds an endpoint, a credential, an address or a placeholder: its digest must
 * not depend on where it runs.
 */
export function assertPolicyOnly(document: unknown, file: string): void {
  const problems: ConfigProblem[] = [];
  visit(document, '', (path, key, value) => {
    if (key !== null && WIRING_KEY.test(key)) {
      problems.push({ file, path, message: 'wiring does not belong in a policy; move it to a profile' });
    } else if (typeof value === 'string' && ADDRESS_VALUE.test(value)) {
      problems.push({ file, path, message: 'an address does not belong in a policy; move it to a profile' });
    } else if (typeof value === 'string' && value.includes('${')) {
      problems.push({ file, path, message: 'a policy must not depend on the environment; write the value' });
    }
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

/**
 * Throws ConfigError when a wiring profile holds one of the keys that decide outcomes. `outcomeKeys` are key
 * names, looked for at any depth.
 */
export function assertWiringOnly(document: unknown, file: string, outcomeKeys: ReadonlySet<string>): void {
  const problems: ConfigProblem[] = [];
  visit(document, '', (path, key) => {
    if (key !== null && outcomeKeys.has(key)) {
      problems.push({ file, path, message: 'this decides outcomes; it belongs in a versioned policy' });
    }
  });
  if (problems.length > 0) throw new ConfigError(problems);
}

function visit(
  value: unknown,
  path: string,
  see: (path: string, key: string | null, value: unknown) => void,
  key: string | null = null,
): void {
  see(path === '' ? '(document)' : path, key, value);
  if (Array.isArray(value)) {
    value.forEach((item, i) => visit(item, `${path}[${i}]`, see));
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, member] of Object.entries(value)) {
      visit(member, path === '' ? name : `${path}.${name}`, see, name);
    }
  }
}
