/** No tracked file holds anything that looks like a secret. What is found is named by file and kind, never shown. */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Larger files are data. */
const MOST_BYTES = 2 * 1024 * 1024;

const KINDS: readonly (readonly [kind: string, pattern: RegExp])[] = [
  ['private key', /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/],
  ['AWS access key', /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/],
  ['GitHub token', /\b(?:ghp|gho|ghs|ghu|github_pat)_[A-Za-z0-9_]{30,}\b/],
  ['Slack token', /\bxox[abprs]-[A-Za-z0-9-]{20,}\b/],
  ['npm token', /\bnpm_[A-Za-z0-9]{36}\b/],
  ['JSON web token', /\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{15,}/],
  [
    'assigned secret',
    /(?:[Ss]ecret|SECRET|[Pp]assw(?:or)?d|PASSW(?:OR)?D|[Aa](?:pi|ccess|uth)_?(?:[Kk]ey|[Tt]oken)|(?:API|ACCESS|AUTH)_?(?:KEY|TOKEN))[A-Za-z_]*["']?\s*[:=]\s*["'](?![A-Z0-9_]+["'])(?=[^"'\s]*[0-9])(?=[^"'\s]*[A-Za-z])[A-Za-z0-9+/_-]{20,}={0,2}["']/,
  ],
  // Test files make up passwords of their own, but a long random one is real.
  ['URL with a password', /\b[a-z][a-z0-9+.-]*:\/\/[^\s/:@"'`${}<>]+:(?=[^@\s]*[0-9])[A-Za-z0-9+/_-]{16,}@/],
];

function kindsIn(text: string): string[] {
  return KINDS.filter(([, pattern]) => pattern.test(text)).map(([kind]) => kind);
}

/** What stands in `env`, `.env.platform.local` and the stacks' folders is not tracked, and must not become so. */
const NEVER_TRACKED =
  /(^|\/)(\.env(\.(?!example$|platform\.example$)[^/]*)?|env\.json|\.fp\/.*|id_rsa|[^/]*\.(pem|p12|pfx|key))$/;

function trackedFiles(): string[] {
  return execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
    .split('\0')
    .filter((file) => file !== '');
}

test('CI-38 no tracked file holds a secret', (t) => {
  const found: string[] = [];
  const files = trackedFiles();
  t.true(files.length > 100);
  for (const file of files) {
    if (NEVER_TRACKED.test(file)) found.push(`${file}: is a file for secrets`);
    const path = join(ROOT, file);
    // A file may be tracked and deleted in the working tree.
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size === 0 || size > MOST_BYTES) continue;
    for (const kind of kindsIn(readFileSync(path, 'latin1'))) found.push(`${file}: ${kind}`);
  }
  t.deepEqual(found, []);
});

/** Put together here, so that this file is not what it looks for. */
const EXAMPLES: readonly (readonly [kind: string, text: string])[] = [
  ['private key', ['-----BEGIN', 'RSA PRIVATE KEY-----'].join(' ')],
  ['AWS access key', 'AKIA' + 'ABCDEFGHIJKLMNOP'],
  ['GitHub token', 'ghp_' + 'a1'.repeat(18)],
  ['Slack token', 'xoxb-' + '1234567890-abcdefghijkl'],
  ['npm token', 'npm_' + 'a1'.repeat(18)],
  ['JSON web token', ['eyJ' + 'a'.repeat(20), 'eyJ' + 'b'.repeat(20), 'c'.repeat(20)].join('.')],
  ['assigned secret', `S3_SECRET_KEY = "${'a1B2'.repeat(6)}"`],
  ['URL with a password', 'postgres://owner:' + 'a1b2'.repeat(5) + '@db/x'],
];

for (const [kind, text] of EXAMPLES) {
  test(`the scan knows a secret of the kind '${kind}'`, (t) => {
    t.deepEqual(kindsIn(text), [kind]);
  });
}

test('placeholders, digests and short example passwords are no secrets', (t) => {
  for (const text of [
    'secret_key: ${S3_SECRET_KEY}',
    `sha256 = "${'a1'.repeat(32)}"`,
    'postgres://fp:fp@127.0.0.1/fp',
    'secretKey: options.secretKey',
    `const name = isSet ? 'S3_SECRET_KEY' : 'ORACLE_S3_ACCESS_KEY'`,
  ]) {
    t.deepEqual(kindsIn(text), [], text);
  }
});
