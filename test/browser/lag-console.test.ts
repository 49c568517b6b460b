/** The lag console's page in a real browser, on the real server with readings made for the purpose. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'ava';
import { chromium, type Browser, type Page } from 'playwright-core';
import { lagConsoleServer } from '../../apps/lag-console/index.ts';
import { lagMetrics } from '../../apps/lag-console/lag-metrics.ts';
import { cluster, run } from './lag-console-readings.ts';

const CHROMIUM = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SCREENSHOTS = process.env['SCREENSHOTS'];

let browser: Browser;
let url: string;
let lag = 1200;
const server = lagConsoleServer(
  {
    snapshot: () => cluster(lag),
    problem: () => undefined,
    runs: () => Promise.resolve(['platform_20260101T000000Z', 'platform_20251231T000000Z']),
    run: (id) => Promise.resolve(run(id)),
  },
  lagMetrics(() => cluster(lag)),
);

test.before(async () => {
  if (!existsSync(CHROMIUM)) {
    throw new Error(
      `no browser at ${CHROMIUM}: install it (Debian: apt-get install chromium) or set CHROMIUM_PATH`,
    );
  }
  url = await server.listen({ host: '127.0.0.1', port: 0 });
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
});

test.after.always(async () => {
  await (browser as Browser | undefined)?.close();
  await server.close();
});

async function open(options: { width?: number; dark?: boolean } = {}): Promise<Page> {
  const page = await browser.newPage({
    viewport: { width: options.width ?? 1280, height: 900 },
    colorScheme: options.dark === true ? 'dark' : 'light',
  });
  await page.goto(url);
  await page.locator('tr.group').first().waitFor();
  await page.locator('.verdict').waitFor();
  return page;
}

for (const [name, options] of Object.entries({
  'on a desk, light': {},
  'on a desk, dark': { dark: true },
  'on a phone, dark': { width: 390, dark: true },
})) {
  test(`the page ${name}, has no accessibility violation and never scrolls sideways`, async (t) => {
    const page = await open(options);
    if (SCREENSHOTS !== undefined) {
      await page.screenshot({ path: `${SCREENSHOTS}/${name.replaceAll(/[ ,]+/g, '-')}.png`, fullPage: true });
    }
    const violations =
      await page.evaluate(`(() => { ${AXE}; })(); axe.run().then((found) => found.violations.map(
      (each) => each.id + ': ' + each.nodes.map((node) => node.target.join(' ')).join(', ')))`);
    t.deepEqual(violations, []);
    t.true(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'));
    await page.close();
  });
}

test('CI-80 the page shows the reconciliation of the run that is picked, green only when it is equal', async (t) => {
  const page = await open();
  t.is(await page.locator('.verdict').getAttribute('data-tone'), 'good');
  t.deepEqual(await page.locator('.sum b').allTextContents(), ['20,000', '19,990', '7', '3']);
  await page.locator('#run-pick').selectOption('platform_20251231T000000Z');
  await page.locator('.verdict[data-tone=bad]').waitFor();
  t.regex(await page.locator('.verdict').innerText(), /Does not reconcile[\s\S]*5 more receipts than events/);
  await page.close();
});

test.serial(
  'lag follows the cluster, a caught-up group shows 0, and a partition without a commit shows a dash',
  async (t) => {
    const page = await open();
    const gate = page.locator('tr.group', { hasText: 'fp.ingestion-gate' });
    await gate.locator('.lag', { hasText: /^1,200$/ }).waitFor();
    t.is(await gate.getByRole('button').getAttribute('aria-expanded'), 'true');
    lag = 0;
    await gate.locator('.lag', { hasText: /^0$/ }).waitFor();
    const ledger = page.locator('tr.group', { hasText: 'fp.receipt-ledger' });
    await ledger.getByRole('button').focus();
    await page.keyboard.press('Enter');
    const without = page.locator('tr.part', { hasText: 'fp.bus.audit.v1 / 3' });
    await without.waitFor();
    t.is(await without.locator('.lag').innerText(), '–');
    lag = 1200;
    await page.close();
  },
);

test('the metrics carry the names that dashboards expect, at the first scrape', async (t) => {
  const text = await (await fetch(`${url}/metrics`)).text();
  t.true(
    text.includes(
      'kafka_consumergroup_lag{consumergroup="fp.ingestion-gate",topic="fp.ingress.v1",partition="0"}',
    ),
  );
  t.true(text.includes('kafka_topic_partition_current_offset{topic="fp.ingress.v1",partition="0"} 250000'));
  t.false(text.includes('kafka_consumergroup_lag{consumergroup="fp.receipt-ledger",topic="fp.bus.audit.v1"'));
});
