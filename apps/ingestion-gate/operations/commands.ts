/** `fp gate receipts` and `fp gate quarantine`: what became of everything, and a second chance for what was refused. */
import { userInfo } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidArgumentError, type Command } from 'commander';
import { Client } from 'pg';
import { nativeClient, ObjectStore, SchemaRegistry } from '../../../lib/index.ts';
import { loadPolicies, loadSettings, type Settings } from '../../rails/index.ts';
import { explanationOf } from './explanations.ts';
import { rawInSegment } from './packed-raw.ts';
import { findReceipts, receiptsWhere, type LedgerReceipt } from './receipt-lookup.ts';
import { rawInLedger, reingest, ReingestError } from './reingest.ts';

interface ListOptions {
  readonly run?: string;
  readonly eventType?: string;
  readonly decision?: string;
  readonly reason?: string;
  readonly max: number;
  readonly json?: boolean;
}

const OUTCOME_WAIT_MS = 15_000;

export function registerOperations(gate: Command): void {
  const receipts = gate.command('receipts').description('what the gate decided, from the ledger');
  listCommand(receipts.command('list').description('receipts, the first first'))
    .option('--decision <decision>', 'ADMIT, DUPLICATE or QUARANTINE')
    .action((options: ListOptions) => list(options));
  receipts
    .command('show <id>')
    .description('the receipts of a receipt id, an event id or a dedupe key, as JSON')
    .option('--run <platform_run_id>', 'only of this platform run')
    .action((id: string, options: { run?: string }) =>
      withLedger(async (database) => print(await found(database, id, options.run))),
    );

  const quarantine = gate.command('quarantine').description('what was refused, why, and the way out');
  listCommand(quarantine.command('list').description('quarantined records, the first first'))
    .option('--reason <code>', 'only with this reason code')
    .action((options: ListOptions) => list({ ...options, decision: 'QUARANTINE' }));
  quarantine
    .command('show <receipt_id>')
    .description('one quarantined record as JSON, with its bytes in base64')
    .action((id: string) =>
      withLedger(async (database, settings) => {
        const receipt = await quarantined(database, id);
        const raw = await rawOf(database, settings, receipt);
        print({ ...receipt, raw: raw?.toString('base64') ?? null });
      }),
    );
  quarantine
    .command('explain <receipt_id>')
    .description('the rule that failed, what was found, and the way out')
    .action((id: string) => withLedger(async (database) => explain(await quarantined(database, id))));
  quarantine
    .command('reingest <receipt_id>')
    .description('send the same bytes through the front door again, linked to this record')
    .requiredOption('--reason <text>', 'why it should be admitted now; kept with the link')
    .option('--by <name>', 'who asks (default: the user of this machine)', userInfo().username)
    .action((id: string, options: { reason: string; by: string }) => again(id, options));
}

function listCommand(command: Command): Command {
  return command
    .option('--run <platform_run_id>', 'only of this platform run')
    .option('--event-type <type>', 'only of this event type')
    .option('--max <n>', 'at most this many', count, 20)
    .option('--json', 'JSON lines');
}

function count(text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new InvalidArgumentError('expected a whole number from 1');
  return n;
}

async function list(options: ListOptions): Promise<void> {
  const conditions = ['true'];
  const values: unknown[] = [];
  const where = (condition: string, value: string | undefined): void => {
    if (value === undefined) return;
    values.push(value);
    conditions.push(condition.replace('?', `$${values.length}`));
  };
  where('platform_run_id = ?', options.run);
  where('event_type = ?', options.eventType);
  where('decision = ?', options.decision);
  where('? = any (reason_codes)', options.reason);
  await withLedger(async (database) => {
    for (const one of await receiptsWhere(database, conditions.join(' and '), values, options.max)) {
      process.stdout.write(
        options.json === true
          ? `${JSON.stringify(one)}\n`
          : `${one.receipt_id} ${one.decided_at_utc} ${one.decision.padEnd(10)} ${one.event_type ?? '-'} ` +
              `${one.event_id ?? '-'} ${one.reason_codes.join(',')}\n`,
      );
    }
  });
}

async function found(database: Client, id: string, run?: string): Promise<LedgerReceipt[]> {
  const narrowed = run === undefined ? {} : { platform_run_id: run };
  for (const name of ['receipt_id', 'event_id', 'dedupe_key'] as const) {
    // ledger_hash() reads hex only.
    if (name !== 'event_id' && !/^(?:[a-f0-9]{32}|[a-f0-9]{64})$/.test(id)) continue;
    const receipts = await findReceipts(database, { [name]: id, ...narrowed });
    if (receipts.length > 0) return receipts;
  }
  throw new Error(
    `the ledger has no receipt, event or dedupe key ${id}; \`fp gate receipts list\` shows what it has`,
  );
}

async function quarantined(database: Client, id: string): Promise<LedgerReceipt> {
  const receipt = (await found(database, id)).find(({ decision }) => decision === 'QUARANTINE');
  if (receipt === undefined)
    throw new Error(`${id} was not quarantined; \`fp gate receipts show ${id}\` says more`);
  return receipt;
}

function explain(receipt: LedgerReceipt): void {
  const detail = receipt.evidence_refs.find(({ kind }) => kind === 'reason_detail')?.ref;
  const retryable = receipt.evidence_refs.some(({ kind, ref }) => kind === 'retryable' && ref === 'true');
  const { topic, partition, offset } = receipt.ingress;
  const lines = [
    `${receipt.receipt_id}: ${receipt.event_type ?? 'a record'} at ${topic}/${partition}/${offset}`,
  ];
  for (const code of receipt.reason_codes) {
    const { rule, wayOut } = explanationOf(code);
    lines.push(
      `  reason   ${code}`,
      `  rule     ${rule}`,
      `  found    ${detail ?? 'nothing more'}`,
      `  way out  ${wayOut}`,
    );
  }
  lines.push(
    `  the very same bytes ${retryable ? 'can' : 'cannot'} be admitted later without another policy`,
  );
  for (const one of receipt.superseded_by)
    lines.push(`  sent again by ${one.requested_by}: receipt ${one.receipt_id ?? '(not decided yet)'}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}

async function again(id: string, options: { readonly reason: string; readonly by: string }): Promise<void> {
  await withLedger(async (database, settings) => {
    const original = await quarantined(database, id);
    const raw = await rawOf(database, settings, original);
    if (raw === undefined)
      throw new ReingestError(`the bytes of ${id} were not kept (over the limit, or none)`);
    const { partitioning } = loadPolicies(settings.policies);
    const ingress = await reingest(
      {
        database,
        client: nativeClient,
        bootstrapServers: settings.kafka.bootstrapServers,
        schemas: new SchemaRegistry({ url: settings.schemaRegistry.url }),
        partitioning,
        partitions: settings.partitions,
        ingressTopic: settings.topics.ingress,
      },
      { original, raw, requestedBy: options.by, reason: options.reason },
    );
    const until = Date.now() + OUTCOME_WAIT_MS;
    let [outcome] = await findReceipts(database, { ingress });
    while (outcome === undefined && Date.now() < until) {
      await delay(200);
      [outcome] = await findReceipts(database, { ingress });
    }
    print({ ingress, original_receipt_id: original.receipt_id, outcome: outcome ?? null });
  });
}

async function rawOf(
  database: Client,
  settings: Settings,
  receipt: LedgerReceipt,
): Promise<Buffer | undefined> {
  const held = await rawInLedger(database, receipt);
  if (held !== undefined) return held;
  const store = ObjectStore.connect(settings.objectStore);
  try {
    return await rawInSegment(store.bucket(settings.objectStore.bucket), receipt);
  } finally {
    store.close();
  }
}

async function withLedger(work: (database: Client, settings: Settings) => Promise<void>): Promise<void> {
  const settings = loadSettings();
  const database = new Client(settings.postgres.dsn);
  await database.connect();
  try {
    await work(database, settings);
  } finally {
    await database.end();
  }
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
