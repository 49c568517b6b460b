/** What the native stack asks of each of its servers. */
import type { Progress } from '../provisioning/progress.mjs';
import type { PortName, Ports } from '../ports.ts';
import type { LaunchCommand } from '../server-process.ts';
import type { Credentials, StackFolder } from '../stack-folder.ts';

export const SERVER_NAMES = ['kafka', 'registry', 'minio', 'postgres'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export interface ServerContext {
  readonly folder: StackFolder;
  readonly ports: Ports;
  readonly credentials: Credentials;
  readonly progress: Progress;
}

export interface NativeServer {
  readonly name: ServerName;
  /** Where its process record, log, configuration and data live. */
  readonly home: string;
  /** The ports it binds. */
  readonly ports: readonly PortName[];
  /** A server that must be healthy before this one starts. */
  readonly after?: ServerName;
  readonly stopSignal: NodeJS.Signals;
  /** Fetches the software into the cache if it is missing. */
  provide(): Promise<void>;
  /** Writes configuration and, the first time, formats the data folder. May run again after it was interrupted. */
  prepare(): Promise<void>;
  launch(): LaunchCommand;
  isHealthy(): Promise<boolean>;
  /** Makes what applications expect to find: buckets, identities, databases. Repeatable. */
  provision(): Promise<void>;
}

/** True if a GET of the address answers 2xx. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
