import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import ts from 'typescript';

const FILE = fileURLToPath(new URL('must-not-compile.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MARK = /^\/\/ @ts-expect-error (TS\d+) (.*)$/;

test('programs with wrong types do not compile, each for the reason that is written above it', (t) => {
  // Without the marks the compiler says what it finds; lines keep their numbers.
  const source = readFileSync(FILE, 'utf8');
  const lines = source.split('\n');
  const bare = source.replaceAll('@ts-expect-error', '');
  const config: unknown = ts.readConfigFile(`${ROOT}tsconfig.json`, (path) => ts.sys.readFile(path)).config;
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  const host = ts.createCompilerHost(options);
  const read = host.readFile.bind(host);
  host.readFile = (path) => (path === FILE ? bare : read(path));
  const original = host.getSourceFile.bind(host);
  host.getSourceFile = (path, version) =>
    path === FILE ? ts.createSourceFile(path, bare, version, true) : original(path, version);
  const program = ts.createProgram([FILE], options, host);
  const parsed = program.getSourceFile(FILE)!;
  const found = program.getSemanticDiagnostics(parsed).map(({ start, code }) => {
    const statement = parsed.statements.find((one) => one.getStart() <= start! && start! < one.end)!;
    const line = parsed.getLineAndCharacterOfPosition(statement.getStart()).line;
    return { line, code: `TS${code}` };
  });
  const wanted = lines.flatMap((text, i) => {
    const mark = MARK.exec(text);
    return mark === null ? [] : [{ line: i + 1, code: mark[1]! }];
  });
  t.true(wanted.length > 15);
  t.deepEqual(found, wanted);
});
