/** The ledger for the lag console and for tests. */
export { LedgerError } from './ledger-error.ts';
export { runLedger, type LedgerServiceOptions } from './ledger-service.ts';
export { archiveAll } from './open-archiver.ts';
export { reconcile, runsInLedger, type RunReconciliation } from './reconcile.ts';
export { rebuildLedger } from './rebuild.ts';
