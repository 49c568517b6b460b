/** What every command of the runner does around its work: open, work, close; and who its user is. */
import { userInfo } from 'node:os';
import type { RunLogsOptions } from '../../lib/index.ts';
import { loadSettings, type Settings } from '../rails/index.ts';
import { openScenarioRunner } from './runner.ts';
import type { RunnerContext } from './runner-context.ts';

/** Standard output belongs to the command's own answer. */
const QUIET: NonNullable<RunLogsOptions['also']> = { stream: process.stderr, level: 'warn' };

export async function withRunner(
  work: (context: RunnerContext, settings: Settings) => Promise<void>,
  logTo: NonNullable<RunLogsOptions['also']> = QUIET,
): Promise<void> {
  const settings = loadSettings();
  const runner = await openScenarioRunner(settings, {
    logTo,
    onWaiting: (missing, untilMs) => {
      const left = Math.max(0, Math.ceil((untilMs - Date.now()) / 1000));
      const what = missing.map((finding) => `${finding.code} ${finding.subject}`).join(', ');
      process.stderr.write(`waiting up to ${left} s for ${what} (--no-wait looks once)\n`);
    },
  });
  try {
    await work(runner.context, settings);
  } finally {
    await runner.close();
  }
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Actor id of whoever runs the command. */
export function userActor(): string {
  return `HUMAN::${userInfo().username}`;
}
