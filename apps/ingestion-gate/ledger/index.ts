export { registerLedger } from './commands.ts';
export { LedgerError, type LedgerErrorCode } from './ledger-error.ts';
export { ledgerPool } from './ledger-pool.ts';
export { runLedger, type LedgerServiceOptions } from './ledger-service.ts';
export { archiveAll } from './open-archiver.ts';
export { rebuildLedger, type Rebuilt } from './rebuild.ts';
export { migrateLedger } from './migrate.ts';
export {
  reconcile,
  runsInLedger,
  type BusPartition,
  type ReconcileOptions,
  type RunReconciliation,
  type TypeReconciliation,
} from './reconcile.ts';
