/**
 * Keeps docs/acceptance.md true: every acceptance row (CI-1 … CI-105) is either shown by tests whose titles begin with its id,
 * or listed with the reason why it is not. Reasons stand in docs/acceptance-reasons.json; the rest is read from the tests.
 *
 * Usage: node test/acceptance.mjs           checks, exit code 1 when the page is not what the tests say
 *        node test/acceptance.mjs --write   writes the page
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');
const PAGE = join(ROOT, 'docs', 'acceptance.md');
const ROWS = 105;
/** A test's title, also inside a template: the row ids stand in front, separated by spaces. */
const TITLE = /['"`]((?:CI-\d+[a-z]? )+)([^'"`]*)/g;

/** @type {{ rows: Record<string, string>, reasons: Record<string, string> }} */
const { rows, reasons } = JSON.parse(readFileSync(join(ROOT, 'docs', 'acceptance-reasons.json'), 'utf8'));

/** @returns {Map<number, Set<string>>} test files by row */
function shownRows() {
  const shown = new Map();
  const files = readdirSync(join(ROOT, 'test'), { recursive: true }).map(String);
  for (const file of files.filter((name) => name.endsWith('.ts')).sort()) {
    const path = join(ROOT, 'test', file);
    for (const [, ids] of readFileSync(path, 'utf8').matchAll(TITLE)) {
      for (const id of ids.trim().split(' ')) {
        const row = Number(/\d+/.exec(id)[0]);
        if (!shown.has(row)) shown.set(row, new Set());
        shown.get(row).add(relative(ROOT, path));
      }
    }
    // Tables of cases give the id as a field of its own: ['CI-58', 'a ts_utc without …'].
    for (const [, id] of readFileSync(path, 'utf8').matchAll(/['"]CI-(\d+)['"]/g)) {
      const row = Number(id);
      if (!shown.has(row)) shown.set(row, new Set());
      shown.get(row).add(relative(ROOT, path));
    }
  }
  return shown;
}

const shown = shownRows();
const problems = [];
const lines = [];
for (let row = 1; row <= ROWS; row++) {
  const id = `CI-${row}`;
  const files = [...(shown.get(row) ?? [])];
  const reason = reasons[id];
  if (files.length === 0 && reason === undefined) problems.push(`${id} has neither a test nor a reason`);
  if (rows[id] === undefined) problems.push(`${id} has no text in acceptance-reasons.json`);
  const tests = files.map((file) => `\`${file}\``).join(', ');
  lines.push(
    `| ${id} | ${rows[id] ?? ''} | ${tests}${reason === undefined ? '' : `${tests === '' ? '' : '; '}**open:** ${reason}`} |`,
  );
}
for (const row of shown.keys())
  if (row < 1 || row > ROWS) problems.push(`a test names CI-${row}, which is no row`);

const page = `# Acceptance rows and the tests that show them

Made by \`node test/acceptance.mjs --write\` from the titles of the tests; \`make test-unit\` checks that it is up to date. What is
open, or does not apply to a Kafka-native design, has its reason.

| row | what | shown by |
|---|---|---|
${lines.join('\n')}
`;
if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}
if (process.argv.includes('--write')) writeFileSync(PAGE, page);
else if (readFileSync(PAGE, 'utf8') !== page) {
  process.stderr.write(
    'docs/acceptance.md is not what the tests say: run node test/acceptance.mjs --write\n',
  );
  process.exit(1);
}
