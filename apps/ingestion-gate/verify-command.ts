/** `fp gate verify`: the bus against the ledger against the object store, for one run, with a verdict. */
import type { Command } from 'commander';
import { Client } from 'pg';
import { ObjectStore } from '../../lib/index.ts';
import { loadSettings } from '../rails/index.ts';
import { auditBus } from './bus/bus-audit.ts';
import { reconcile } from './ledger/reconcile.ts';
import { checkSegments } from './operations/segment-check.ts';

export function registerVerify(gate: Command): void {
  gate
    .command('verify')
    .description(
      'read a run back from the bus and compare it with its receipts and their segments; exit code 1 when they differ',
    )
    .option('--run <platform_run_id>', 'the run; default PLATFORM_RUN_ID, else the newest in the ledger')
    .option('--json', 'print JSON')
    .action(async (options: { run?: string; json?: boolean }) => {
      const settings = loadSettings();
      const client = new Client(settings.postgres.dsn);
      const store = ObjectStore.connect(settings.objectStore);
      await client.connect();
      try {
        const run = options.run ?? process.env['PLATFORM_RUN_ID'] ?? (await newestRun(client));
        const [audit, ledger] = [
          await auditBus(settings, run),
          await reconcile(client, run, { from: 'rows' }),
        ];
        const differences: string[] = [];
        const places = new Map(ledger.bus.map((one) => [`${one.topic}/${one.partition}`, one]));
        for (const one of audit.bus) {
          const place = `${one.topic}/${one.partition}`;
          const receipts = places.get(place)?.records ?? 0;
          if (receipts !== one.records)
            differences.push(`${place}: ${one.records} records, ${receipts} receipts`);
          places.delete(place);
        }
        for (const [place, { records }] of places)
          differences.push(`${place}: no records, ${records} receipts`);
        if (audit.order_violations > 0)
          differences.push(`${audit.order_violations} records out of order`, ...audit.examples);
        const segments = await checkSegments(client, store.bucket(settings.objectStore.bucket), run);
        differences.push(...segments.differences);
        if (segments.pending === 0 && segments.receipts !== ledger.receipts)
          differences.push(`segments hold ${segments.receipts} receipts, the ledger ${ledger.receipts}`);
        const verdict = differences.length === 0 ? 'PASS' : 'FAIL';
        const { admitted, duplicate, quarantined } = ledger;
        const report = {
          platform_run_id: run,
          verdict,
          differences,
          admitted,
          duplicate,
          quarantined,
          bus: audit.bus,
          segments: {
            objects: segments.segments,
            receipts: segments.receipts,
            pending: segments.pending,
          },
        };
        if (options.json === true) process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
        else {
          process.stdout.write(
            `${verdict} ${run}: ${admitted} admitted, ${duplicate} duplicate, ${quarantined} quarantined; ` +
              `${segments.receipts} receipts in ${segments.segments} segments, ${segments.pending} to be packed\n`,
          );
          for (const difference of differences) process.stdout.write(`  ${difference}\n`);
        }
        if (verdict === 'FAIL') process.exitCode = 1;
      } finally {
        await client.end();
        store.close();
      }
    });
}

async function newestRun(client: Client): Promise<string> {
  const { rows } = await client.query<{ platform_run_id: string }>(
    'select platform_run_id from receipts where platform_run_id is not null order by platform_run_id desc limit 1',
  );
  const run = rows[0]?.platform_run_id;
  if (run === undefined) throw new Error('the ledger holds no run yet; `make smoke` makes one');
  return run;
}
