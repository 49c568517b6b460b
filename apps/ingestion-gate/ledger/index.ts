export { registerLedger } from './commands.ts';
export { LedgerError, type LedgerErrorCode } from './ledger-error.ts';
export { ledgerPool, runLedger, type LedgerServiceOptions } from './ledger-service.ts';
export { migrateLedger } from './migrate.ts';
export {
  reconcile,
  runsInLedger,
  type BusPartition,
  type ReconcileOptions,
  type RunReconciliation,
  type TypeReconciliation,
} from './reconcile.ts';
