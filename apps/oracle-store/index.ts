/** The oracle store for its readers: sealed packs, gate evidence, stream views. Writers use the commands. */
export { verifyGates, type GateScope, type GateStatus, type GateVerification } from './gate-verification.ts';
export { ORACLE_CODES, OracleError, type OracleCode } from './oracle-error.ts';
export {
  formatRoot,
  packKey,
  parseRoot,
  RUN_RECEIPT_FILE,
  viewFolder,
  type StoreRoot,
} from './pack-layout.ts';
export { readLastPack, type LastPack } from './last-pack.ts';
export {
  catalogueDigest,
  gateMapDigest,
  type EngineFile,
  type OraclePackManifest,
  type OraclePackSeal,
  type PackedOutput,
  type SealStatus,
} from './pack-manifest.ts';
export { readPack, type OraclePack } from './pack-reader.ts';
export { parseRunReceipt, readRunReceipt, worldOf, type RunReceipt } from './run-receipt.ts';
export {
  readViewManifest,
  type MultisetStats,
  type StreamSortReceipt,
  type StreamView,
  type StreamViewManifest,
  type StreamViewPart,
} from './stream-view-manifest.ts';
export {
  checkWorld,
  type CheckFinding,
  type CheckReport,
  type CheckRequest,
  type CheckStatus,
} from './check.ts';
export {
  outputsOfModes,
  prepareWorld,
  type PreparedWorld,
  type PrepareRequest,
  type PrepareStage,
} from './prepare.ts';
export { sampleIdentity, SMALLEST_WORLD, type SampleRequest } from './sample/sample-world.ts';
