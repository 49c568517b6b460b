/** The scenario runner: from a run request to READY on the control bus. Open one, submit runs to it, close it. */
export type { Finding } from './evidence.ts';
export { closePlatformRun, type CloseOutcome, type CloseRequest } from './close-run.ts';
export { governanceFacts, GOVERNANCE_FAMILIES, tellGovernance, type GovernanceFact } from './governance.ts';
export { issuePlatformRun } from './platform-runs.ts';
export { REASON_CODES, ScenarioRunnerError, type ReasonCode } from './reason-codes.ts';
export { reemit, type ReemitKind, type ReemitOutcome, type ReemitRequest } from './reemit.ts';
export type { OraclePackRef, ReadyOutput, ReplayRequest, RunFactsView, RunPins } from './run-artifacts.ts';
export type { RunRequest } from './run-request.ts';
export { RUN_STATES, type RunState } from './run-state.ts';
export { openScenarioRunner, type ScenarioRunner, type ScenarioRunnerOptions } from './runner.ts';
export { ENGINE_STEPS, RUN_STEPS, type RunnerContext, type RunStep } from './runner-context.ts';
export { defaultRunRequest, type RunRequestDefaults } from './default-request.ts';
export { serveRunner, type RunnerService } from './service.ts';
export { runStatus, submitRun, type RunOutcome, type RunSubmission } from './submit.ts';
