export { applyResources, planResources, ResourcesRefused, type Applied, type ApplyOptions } from './apply.ts';
export {
  InvalidDesiredState,
  type DesiredResources,
  type DesiredSubject,
  type DesiredTopic,
} from './desired.ts';
export type { LiveResources, LiveSubject, LiveTopic, SubjectRegistry, TopicAdmin } from './live.ts';
export { plan, type Change, type Plan, type PlanOptions, type Refusal, type RefusalCode } from './plan.ts';
export { changeText, PLAN_EXIT, planExitCode, planJson, planText } from './render.ts';
