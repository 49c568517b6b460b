/** A plan as text for people and as JSON for scripts. */
import type { Change, Plan } from './plan.ts';

/** One line a change: `+` comes into being, `~` changes, `-` is deleted, `!` is refused. */
export function planText(plan: Plan): string {
  const lines = [`cluster ${plan.clusterId}`];
  lines.push(...plan.changes.map(changeText));
  lines.push(...plan.refusals.map(({ code, message }) => `! ${code}: ${message}`));
  const { topics, subjects } = plan.unmanaged;
  if (topics.length > 0)
    lines.push(`  not managed, left alone: ${topics.length} topics (${topics.join(', ')})`);
  if (subjects.length > 0)
    lines.push(`  not managed, left alone: ${subjects.length} subjects (${subjects.join(', ')})`);
  lines.push(summary(plan));
  return `${lines.join('\n')}\n`;
}

export function planJson(plan: Plan): string {
  return `${JSON.stringify({ ...plan, upToDate: plan.changes.length === 0 && plan.refusals.length === 0 }, null, 2)}\n`;
}

export function changeText(change: Change): string {
  switch (change.kind) {
    case 'create-topic': {
      const configs = Object.entries(change.configs).map(([key, value]) => ` ${key}=${value}`);
      return `+ topic ${change.topic}: ${change.partitions} partitions${configs.join('')}`;
    }
    case 'add-partitions':
      return `~ topic ${change.topic}: partitions ${change.from} -> ${change.to}`;
    case 'alter-config':
      return `~ topic ${change.topic}: ${change.key} ${change.from ?? '(unset)'} -> ${change.to}`;
    case 'set-compatibility':
      return `~ subject ${change.subject}: compatibility ${change.from ?? '(default)'} -> ${change.to}`;
    case 'register-schema':
      return `+ subject ${change.subject}: ${change.evolves ? 'a new version' : 'its first version'}`;
    case 'delete-topic':
      return `- topic ${change.topic}, with its records`;
    case 'delete-subject':
      return `- subject ${change.subject}`;
  }
}

function summary({ changes, refusals }: Plan): string {
  if (refusals.length > 0)
    return `refused: ${refusals.length} of the differences cannot be made so; nothing is changed`;
  return changes.length === 0 ? 'up to date' : `${changes.length} changes`;
}

/** Exit codes of a plan, for scripts. */
export const PLAN_EXIT = { upToDate: 0, refused: 1, changes: 3 } as const;

/** 0 when there is nothing to do, 3 when there are changes, 1 when something is refused. */
export function planExitCode(plan: Plan): number {
  if (plan.refusals.length > 0) return PLAN_EXIT.refused;
  return plan.changes.length > 0 ? PLAN_EXIT.changes : PLAN_EXIT.upToDate;
}
