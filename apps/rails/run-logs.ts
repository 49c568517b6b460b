/** The platform's logs by run, and what must never be in them. */
import { RunLogs, type RunLogsOptions } from '../../lib/index.ts';
import type { Settings } from './settings.ts';

/** Components by their full names, as in the folders of a run. */
export const COMPONENTS = [
  'scenario_runner',
  'world_streamer_producer',
  'ingestion_gate',
  'event_bus',
  'receipt_ledger',
] as const;

export type Component = (typeof COMPONENTS)[number];

/** Every credential the settings hold. */
export function secretsOf(settings: Settings): readonly string[] {
  const { objectStore, oracleStore, postgres } = settings;
  const password = new URL(postgres.dsn).password;
  return [
    objectStore.accessKey,
    objectStore.secretKey,
    oracleStore.reader.accessKey,
    oracleStore.reader.secretKey,
    ...(oracleStore.writer === undefined ? [] : [oracleStore.writer.accessKey, oracleStore.writer.secretKey]),
    password,
    decodeURIComponent(password),
  ].filter((secret) => secret !== '');
}

/**
 * The logs of platform runs, `<runs_dir>/<platform_run_id>/<component>/<component>.log` and `platform.log` beside
 * them. Services ask it for `logger(component, platformRunId)` with the run id of the event at hand.
 */
export function runLogsOf(settings: Settings, options: Pick<RunLogsOptions, 'also' | 'level'> = {}): RunLogs {
  return new RunLogs({
    root: settings.runsDir,
    runField: 'platform_run_id',
    secrets: secretsOf(settings),
    ...options,
  });
}
