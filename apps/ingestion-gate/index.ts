/** The gate's surface for the demo, the lag console and tests. */
export { admissionTopology } from './admission-topology.ts';
export { auditBus, type BusAudit, type BusPartitionCount } from './bus/bus-audit.ts';
export { readTopic, type RecordVisitor, type TopicReadOptions } from './bus/topic-reader.ts';
export { runGate, type GateOptions } from './gate-service.ts';
export { reconcile, type RunReconciliation } from './ledger/reconcile.ts';
