/**
 * Who is knocking. The principal comes from credentials and never from the event. Secrets are compared in constant
 * time and live in the environment only.
 *
 * A service token is `st.v1.<base64url of the principal, unpadded>.<hex HMAC-SHA256(secret, "v1|" + principal)>`.
 * Several keys of one principal, and several token secrets, are valid at once: that is how they are rotated.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ConfigError, type Environment } from '../../../lib/index.ts';

export const API_KEY_HEADER = 'x-ig-api-key';
export const ANONYMOUS = 'SYSTEM::ANONYMOUS';

/** As `authentication(env)` reads it. */
export type AuthMode = 'disabled' | 'api_key' | 'service_token';

export interface Authentication {
  readonly mode: AuthMode;
  /** The principal that the request's headers prove; undefined when they prove none. */
  principalOf(headers: Readonly<Record<string, string | readonly string[] | undefined>>): string | undefined;
}

const MOST_TOKEN_CHARACTERS = 1024;
const LEAST_SECRET_CHARACTERS = 16;

/**
 * Authentication as the environment sets it: IG_AUTH_MODE (disabled, api_key, service_token; only a `local` profile may
 * leave it out, which disables it), IG_API_KEYS (`principal=key`, comma-separated, a principal may come several times)
 * and IG_SERVICE_TOKEN_SECRETS (comma-separated). Throws ConfigError naming the variable, never its value.
 */
export function authentication(env: Environment, profile: string): Authentication {
  const mode = env['IG_AUTH_MODE'] ?? '';
  switch (mode) {
    case '':
      if (profile !== 'local' && profile !== 'local_parity')
        throw environmentProblem(
          'IG_AUTH_MODE',
          `not set; profile ${profile} needs api_key or service_token`,
        );
      return disabled;
    case 'disabled':
      return disabled;
    case 'api_key':
      return apiKeys(parseApiKeys(env['IG_API_KEYS'] ?? ''));
    case 'service_token':
      return serviceTokens(parseSecrets(env['IG_SERVICE_TOKEN_SECRETS'] ?? ''));
    default:
      throw environmentProblem('IG_AUTH_MODE', 'must be disabled, api_key or service_token');
  }
}

const disabled: Authentication = { mode: 'disabled', principalOf: () => ANONYMOUS };

export function apiKeys(keys: readonly (readonly [principal: string, key: string])[]): Authentication {
  const known = keys.map(([principal, key]) => ({ principal, digest: digestOf(key) }));
  return {
    mode: 'api_key',
    principalOf(headers) {
      const key = headers[API_KEY_HEADER];
      if (typeof key !== 'string') return undefined;
      const digest = digestOf(key);
      let found: string | undefined;
      // Every key is compared, so that the time tells nothing about which one came close.
      for (const one of known) if (timingSafeEqual(digest, one.digest)) found = one.principal;
      return found;
    },
  };
}

export function serviceTokens(secrets: readonly string[]): Authentication {
  return {
    mode: 'service_token',
    principalOf(headers) {
      const header = headers['authorization'];
      if (typeof header !== 'string' || header.length > MOST_TOKEN_CHARACTERS) return undefined;
      const match = /^Bearer st\.v1\.([A-Za-z0-9_-]+)\.([a-f0-9]{64})$/.exec(header);
      if (match === null) return undefined;
      const principal = Buffer.from(match[1]!, 'base64url').toString('utf8');
      // One principal has one spelling; otherwise several tokens would be equal to the proof.
      if (Buffer.from(principal).toString('base64url') !== match[1]) return undefined;
      const claimed = Buffer.from(match[2]!, 'hex');
      let proven = false;
      for (const secret of secrets)
        if (timingSafeEqual(claimed, tokenProof(secret, principal))) proven = true;
      return proven ? principal : undefined;
    },
  };
}

/** A service token of a principal, for producers and tests. */
export function serviceToken(secret: string, principal: string): string {
  return `st.v1.${Buffer.from(principal).toString('base64url')}.${tokenProof(secret, principal).toString('hex')}`;
}

function tokenProof(secret: string, principal: string): Buffer {
  return createHmac('sha256', secret).update(`v1|${principal}`).digest();
}

/** Digests have one length, which constant-time comparison needs, and hide the key's own. */
function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function parseApiKeys(text: string): [string, string][] {
  const pairs = parts(text).map((part, i): [string, string] => {
    const at = part.lastIndexOf('=');
    if (at < 1 || part.length - at - 1 < LEAST_SECRET_CHARACTERS) {
      throw environmentProblem(
        'IG_API_KEYS',
        `entry ${i + 1} is not principal=key with a key of at least ${LEAST_SECRET_CHARACTERS} characters`,
      );
    }
    return [part.slice(0, at), part.slice(at + 1)];
  });
  if (pairs.length === 0)
    throw environmentProblem('IG_API_KEYS', 'not set; IG_AUTH_MODE=api_key needs principal=key');
  return pairs;
}

function parseSecrets(text: string): string[] {
  const secrets = parts(text);
  if (secrets.length === 0) {
    throw environmentProblem('IG_SERVICE_TOKEN_SECRETS', 'not set; IG_AUTH_MODE=service_token needs one');
  }
  if (secrets.some((secret) => secret.length < LEAST_SECRET_CHARACTERS)) {
    throw environmentProblem(
      'IG_SERVICE_TOKEN_SECRETS',
      `a secret has fewer than ${LEAST_SECRET_CHARACTERS} characters`,
    );
  }
  return secrets;
}

function parts(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function environmentProblem(variable: string, message: string): ConfigError {
  return new ConfigError([{ file: 'environment', path: variable, message }]);
}
