import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import {
  ConfigError,
  assertPolicyOnly,
  assertWiringOnly,
  loadConfig,
  resolvePlaceholders,
  type SchemaObject,
} from '../../../lib/index.ts';

const directory = mkdtempSync(join(tmpdir(), 'config-'));
test.after.always(() => rmSync(directory, { recursive: true }));

let files = 0;
function yaml(text: string): string {
  const file = join(directory, `${(files += 1)}.yaml`);
  writeFileSync(file, text);
  return file;
}

const SCHEMA: SchemaObject = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  properties: {
    name: { type: 'string', minLength: 1 },
    port: { type: 'integer', minimum: 1, maximum: 65535, default: 80 },
    on: { type: 'boolean' },
    password: { type: 'string', minLength: 8 },
    nested: {
      type: 'object',
      additionalProperties: false,
      properties: { list: { type: 'array', items: { type: 'number' } }, cap: { type: ['integer', 'null'] } },
    },
  },
};

interface Config {
  readonly name: string;
  readonly port: number;
  readonly on?: boolean;
  readonly nested?: { readonly list?: readonly number[]; readonly cap?: number | null };
}

function load(text: string, env: Record<string, string> | null = {}): Config {
  return loadConfig<Config>({ files: [yaml(text)], schema: SCHEMA, env });
}

function problems(run: () => unknown): string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path, message }) => `${path}: ${message}`);
    throw error;
  }
  return [];
}

test('placeholders are filled, defaults apply to unset and empty variables, $$ is a dollar', (t) => {
  t.is(load('name: a-${X}-${Y:-d}-$${Z}', { X: 'x', Y: '' }).name, 'a-x-d-${Z}');
  t.is(load('name: ${X:-http://h:1/}').name, 'http://h:1/');
});

test('what a variable holds is not looked into again', (t) => {
  t.is(load('name: ${X}', { X: '${HOME} $$' }).name, '${HOME} $$');
});

test('an unset or empty variable is named with its file and key, all of them at once', (t) => {
  t.deepEqual(
    problems(() => load('name: ${A}\nnested:\n  list: ["${B}"]', { B: '' })),
    [
      'name: environment variable A is not set; set it',
      'nested.list[0]: environment variable B is empty; set it',
    ],
  );
  const error = t.throws(() => load('name: ${A}'), { instanceOf: ConfigError });
  t.true(error.message.includes(directory));
  t.regex(problems(() => load('name: ${1A}'))[0]!, /not a placeholder/);
});

test('a placeholder may stand for a number, a boolean or null where the schema wants one', (t) => {
  t.deepEqual(
    load('name: n\nport: ${P}\non: ${ON}\nnested: { list: ["${N}"], cap: "${C:-}" }', {
      P: '8',
      ON: 'true',
      N: '-1.5',
    }),
    {
      name: 'n',
      port: 8,
      on: true,
      nested: { list: [-1.5], cap: null },
    },
  );
});

test('text is never turned into a number unless it came from a placeholder', (t) => {
  t.deepEqual(
    problems(() => load('name: n\nport: "8"')),
    ['port: must be integer, got "8"'],
  );
  t.deepEqual(
    problems(() => load('name: n\nport: ${P}', { P: '8x' })),
    ['port: must be integer, got "8x"'],
  );
  t.is(load('name: ${N}', { N: '0123' }).name, '0123');
});

test('every problem is listed with its path, value and way out', (t) => {
  t.deepEqual(problems(() => load('port: 70000\nnmae: x\nnested: { list: [1, two] }')).sort(), [
    '(document): "name" is missing',
    '(document): "nmae" is not a known key; remove it or check its spelling',
    'nested.list[1]: must be number, got "two"',
    'port: must be <= 65535, got 70000',
  ]);
});

test('a secret is never shown in an error', (t) => {
  const [problem] = problems(() => load('name: n\npassword: hunter2'));
  t.is(problem, 'password: must NOT have fewer than 8 characters, got [REDACTED]');
  const [url] = problems(() => load('name: n\nport: postgres://u:hunter2@h/d'));
  t.is(url, 'port: must be integer, got [REDACTED]');
});

test('later files override earlier ones key by key, and lists whole', (t) => {
  const base = yaml('name: base\nport: 1\nnested: { list: [1, 2], cap: 3 }');
  const over = yaml('name: over\nnested: { list: [9] }');
  t.deepEqual(loadConfig<Config>({ files: [base, over], schema: SCHEMA, env: {} }), {
    name: 'over',
    port: 1,
    nested: { list: [9], cap: 3 },
  });
});

test('schema defaults are filled in', (t) => {
  t.is(load('name: n').port, 80);
});

test('a file that is missing, broken or says a key twice is a problem and not a crash', (t) => {
  t.regex(problems(() => loadConfig({ files: ['/nowhere.yaml'], schema: SCHEMA }))[0]!, /cannot be read/);
  t.is(problems(() => load('name: [')).length > 0, true);
  t.regex(problems(() => load('name: a\nname: b'))[0]!, /unique/i);
});

test('a file that must not depend on the environment may hold no placeholder', (t) => {
  t.deepEqual(
    problems(() => load('name: ${X:-y}', null)),
    ['name: a placeholder is not allowed here'],
  );
});

test('the check sees the finished configuration', (t) => {
  const file = yaml('name: n\nport: 5');
  const check = (config: Config): { path: string; message: string }[] =>
    config.port === 5 ? [{ path: 'port', message: 'not five' }] : [];
  t.deepEqual(
    problems(() => loadConfig<Config>({ files: [file], schema: SCHEMA, env: {}, check })),
    ['port: not five'],
  );
});

test('which strings held placeholders is reported as JSON pointers', (t) => {
  const { substituted } = resolvePlaceholders({ 'a/b': ['x', '${N}'], c: 'y' }, { N: '1' }, 'f');
  t.deepEqual([...substituted], ['/a~1b/1']);
});

test('CI-97 a policy holds no endpoint, credential, address or placeholder', (t) => {
  const found = problems(() =>
    assertPolicyOnly(
      {
        policy_id: 'p',
        store: { endpoint: 'x', api_key: 'y' },
        list: ['kafka://h'],
        late: '${X}',
        keys: ['a'],
      },
      'f',
    ),
  );
  t.deepEqual(
    found.map((problem) => problem.split(':')[0]),
    ['store.endpoint', 'store.api_key', 'list[0]', 'late'],
  );
  t.notThrows(() => assertPolicyOnly({ policy_id: 'p', revision: 1, key_precedence: ['run_id'] }, 'f'));
});

test('CI-97 a wiring profile holds no key that decides outcomes, at any depth', (t) => {
  const keys = new Set(['stream_speedup']);
  t.deepEqual(
    problems(() => assertWiringOnly({ a: [{ stream_speedup: 1 }] }, 'f', keys)),
    ['a[0].stream_speedup: this decides outcomes; it belongs in a versioned policy'],
  );
  t.notThrows(() => assertWiringOnly({ kafka: { bootstrap_servers: 'stream_speedup' } }, 'f', keys));
});
