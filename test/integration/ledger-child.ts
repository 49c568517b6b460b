/** A ledger in a process of its own, to be killed by tests. Everything comes from the environment. */
import { runLedger } from '../../apps/ingestion-gate/ledger/index.ts';
import { loadSettings } from '../../apps/rails/index.ts';
import { createLogger } from '../../lib/index.ts';

await runLedger({
  settings: loadSettings(),
  signal: new AbortController().signal,
  logger: createLogger({ component: 'ledger-child', level: 'warn' }),
  idleFlushMs: 1_000,
});
